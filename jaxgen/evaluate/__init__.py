"""Evaluation that knows no family: arrays and callables in, numbers out."""

from jaxgen.evaluate.features import Classifier, balanced_choice, few_label_accuracy, fine_tune, linear_probe
from jaxgen.evaluate.likelihood import bits_per_dim, estimate, estimates, per_example

__all__ = [
    "Classifier",
    "balanced_choice",
    "bits_per_dim",
    "estimate",
    "estimates",
    "few_label_accuracy",
    "fine_tune",
    "linear_probe",
    "per_example",
]
