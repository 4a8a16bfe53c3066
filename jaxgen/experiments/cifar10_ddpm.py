"""The diffusion model of Ho et al. 2020 on CIFAR-10: 35.7 M parameters, for an accelerator."""

from dataclasses import dataclass

from jaxgen import data, ddpm
from jaxgen.core import GenerativeModel, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _ddpm
from jaxgen.optimizers import Adam
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Appendix B of the paper: 800,000 steps, batches of 128, mirrored images, a moving average of 0.9999.

    On a CPU, to see that it runs: `--steps 5 --batch-size 4 --model.num-draws 1 model.schedule:linear
    --model.schedule.num-timesteps 20 model.network:u-net --model.network.features 32`.

    Args:
        data: Name of a data set of images; see `jaxgen.data.load` for where they come from.
        scale: Scale of real values (float32); grey levels have their own.
        model: Configuration of the diffusion model.
    """

    data: str = "cifar10"
    scale: Scale = Identity()
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Linear(),
        prediction=ddpm.Eps(),
        variance=ddpm.BetaVariance(),
        network=ddpm.UNet.cifar10(),
        flip=True,
        optimizer=Adam(2e-4, clip_norm=1.0),
        ema_decay=0.9999,
    )
    steps: int = 800_000
    batch_size: int = 128
    log_every: int = 1000
    checkpoint_every: int = 20_000
    picture_every: int = 20_000

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        model = self.model_for(dataset.spec)
        return _ddpm.experiment(model, dataset, self.seed, conditional=self.model.conditional)
