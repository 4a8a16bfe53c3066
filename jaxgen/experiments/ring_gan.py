"""GANs on 8 Gaussians on a circle, five seeds in one program: how many modes survive?"""

from dataclasses import dataclass

from jaxgen import data
from jaxgen.experiments import _toys
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_toys.Config):
    """8 modes; see `_toys.Config` for the settings."""

    toy = "ring"

    def build(self) -> Experiment:
        return _toys.experiment(self, data.ring_centres(), std=0.01)
