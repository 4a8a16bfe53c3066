"""A diffusion model of galaxies, rendered or from a file of the SDSS or FIRST, judged as astronomers would."""

from dataclasses import dataclass

from jaxgen import ddpm
from jaxgen.core import GenerativeModel, Spec
from jaxgen.experiments import _ddpm, _galaxies
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_galaxies.Config):
    """Settings of galaxies_ddpm.

    Noise has as many degrees of freedom as pixels: a network that takes larger blocks of pixels as channels than it has
    features (`patch` 4 of three bands) cannot hand it through, and should predict the image: `model.prediction:x0`.

    Args:
        sampler: Way from noise to the samples that are measured and drawn.
        model: Configuration of the diffusion model.
    """

    at_hand = (*_galaxies.Config.at_hand, "sampler")

    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DPMSolver(30)
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(400),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=48, multipliers=(1, 2), attention=(1,), patch=2),
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
    )
    steps: int = 8000
    batch_size: int = 16

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        return _galaxies.experiment(
            self,
            model,
            dataset,
            "DDPM",
            _ddpm.estimates(model, dataset),
            sampling={"sampler": _ddpm.at_most(model, self.sampler)},
            pictures={"chain": _ddpm.film_strip(model, dataset)},
        )
