"""Flow matching on scikit-learn's 8x8 handwritten digits."""

from dataclasses import dataclass

from jaxgen import data, flow
from jaxgen.core import GenerativeModel, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _flow
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of digits_flow.

    Args:
        data: Name of a data set of images, or a .npy or .npz file.
        scale: Scale of real values (float32); grey levels have their own.
        model: Configuration of the model.
    """

    data: str = "digits"
    scale: Scale = Identity()
    model: flow.Config = flow.Config(
        network=flow.UNet(features=24, multipliers=(1, 2), attention=(1,)),
        optimizer=Adam(2e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.99,
        num_draws=16,
    )
    steps: int = 1000
    batch_size: int = 64
    log_every: int = 50
    checkpoint_every: int = 500

    def model_for(self, spec: Spec) -> GenerativeModel:
        return flow.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        model = self.model_for(dataset.spec)
        few = flow.Jump(1) if self.model.average is not None else flow.DPMSolver(10)
        return _flow.experiment(
            model, dataset, self.seed, tried=[few], conditional=self.model.conditional, name="Flow matching"
        )
