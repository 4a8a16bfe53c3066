"""GANs on 25 Gaussians on a grid, five seeds in one program: how many modes survive?"""

from dataclasses import dataclass

from jaxgen import data
from jaxgen.experiments import _toys
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_toys.Config):
    """25 modes; see `_toys.Config` for the settings."""

    def build(self) -> Experiment:
        return _toys.experiment(self, "grid", data.grid_centres(), std=0.05)
