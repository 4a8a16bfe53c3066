"""Training: one loop for every model.

`fit` trains; `Checkpoints` keeps the states that it reached; `parallel` spreads it over devices; `ensemble` trains a
model from several seeds in one program; `digest` tells whether two states are the same to the bit.
"""

from jaxgen.digest import digest
from jaxgen.train import parallel
from jaxgen.train.checkpoints import Checkpoints, DamagedCheckpointWarning
from jaxgen.train.ensemble import ensemble
from jaxgen.train.fit import fit
from jaxgen.train.history import History, NonFiniteError
from jaxgen.train.hooks import Hook, Stop
from jaxgen.train.program import CompiledAgainWarning
from jaxgen.train.window import Window

__all__ = [
    "Checkpoints",
    "CompiledAgainWarning",
    "DamagedCheckpointWarning",
    "History",
    "Hook",
    "NonFiniteError",
    "Stop",
    "Window",
    "digest",
    "ensemble",
    "fit",
    "parallel",
]
