"""A diffusion model on MNIST: its bound in bits/dim, a classifier's view of its samples, and their neighbours."""

from dataclasses import dataclass
from typing import Any

from jaxgen import data, ddpm, evaluate
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _ddpm, _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """A small U-Net at 14 x 14, on blocks of 2 x 2 pixels: about an hour on one core.

    Args:
        data: Name of a data set of images; see `jaxgen.data.load` for where they come from.
        scale: Scale of real values (float32); grey levels have their own.
        samples: Draws that the classifier and the distances look at; 0 for none.
        sampler: Sampler of these draws and of those of `jaxgen compare`; it makes no more steps than the model has.
        classifier_steps: Updates of the classifier, which is trained at the end.
        model: Configuration of the diffusion model.

    Raises:
        ValueError: A negative number of samples, or no updates.
    """

    at_hand = (*Settings.at_hand, "samples", "sampler", "classifier_steps")

    data: str = "mnist"
    scale: Scale = Identity()
    samples: int = 5000
    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DDIM(50)
    classifier_steps: int = 2000
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(1000),
        prediction=ddpm.V(),
        variance=ddpm.LearnedVariance(),
        network=ddpm.UNet(features=32, multipliers=(1, 2), attention=(1,), patch=2),
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
        num_draws=16,
    )
    steps: int = 13_000
    batch_size: int = 32
    log_every: int = 200
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        self.require(samples=0, classifier_steps=1)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        model = self.model_for(dataset.spec)
        estimates = _ddpm.estimates(model, dataset)
        sampler = _ddpm.at_most(model, self.sampler)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            if split is dataset.test and self.samples:
                x = evaluate.samples(model, key, variables, self.samples, sampler=sampler)
                found |= _images.fidelity(x, dataset, split, self.seed, self.classifier_steps)
            return found

        return _ddpm.experiment(model, dataset, self.seed, report, sampler, conditional=self.model.conditional)
