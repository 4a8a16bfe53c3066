"""Paired translation by diffusion: the colour of a picture given its luminance, drawn anew for every sample."""

from dataclasses import dataclass

from jaxgen import ddpm, nn
from jaxgen.core import GenerativeModel, Spec
from jaxgen.experiments import _ddpm, _translation
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_translation.Config):
    """Settings of translation_ddpm.

    Args:
        sampler: Way from noise to a colouring.
        model: Configuration of the diffusion model.
    """

    at_hand = (*_translation.Config.at_hand, "sampler")

    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DPMSolver(15)
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(200),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=32, multipliers=(1, 2), attention=(), patch=2),
        condition={"luminance": nn.Concat(dropout=0.0)},
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.998,
    )
    steps: int = 3000

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        estimates = _ddpm.estimates(model, dataset)
        return _translation.experiment(self, model, dataset, "diffusion", estimates, sampling={"sampler": self.sampler})
