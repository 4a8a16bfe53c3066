"""Network blocks that the families share. Stateless linen modules, channels last, float32 parameters."""

from jaxgen.nn.dense import MLP

__all__ = ["MLP"]
