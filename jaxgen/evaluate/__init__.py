"""Evaluation that knows no family: arrays and callables in, numbers out."""

from jaxgen.evaluate.likelihood import bits_per_dim, estimate, estimates, per_example

__all__ = ["bits_per_dim", "estimate", "estimates", "per_example"]
