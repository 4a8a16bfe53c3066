"""Training: one loop for every model.

`fit` trains; `Checkpoints` keeps what it reached; `parallel` spreads it over devices; `ensemble` trains a model from
several seeds in one program; `digest` tells whether two states are the same to the bit.
"""

from jaxgen.digest import digest
from jaxgen.train import parallel
from jaxgen.train.checkpoints import Checkpoints, DamagedCheckpointWarning
from jaxgen.train.ensemble import ensemble
from jaxgen.train.fit import Hook, Window, fit
from jaxgen.train.history import History, NonFiniteError

__all__ = [
    "Checkpoints",
    "DamagedCheckpointWarning",
    "History",
    "Hook",
    "NonFiniteError",
    "Window",
    "digest",
    "ensemble",
    "fit",
    "parallel",
]
