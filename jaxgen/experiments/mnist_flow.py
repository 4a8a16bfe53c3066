"""Flow matching on MNIST: the quality of its samples in many steps and in few."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxgen import data, flow, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _flow
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """A small U-Net at 14 x 14, on blocks of 2 x 2 pixels, that of `mnist_ddpm`: about an hour on one core.

    Args:
        data: Name of a data set of images with labels; see `jaxgen.data.load` for where they come from.
        scale: Scale of real values (float32); grey levels have their own.
        samples: Draws of each sampler whose Fréchet distance is taken at the end; 0 for none.
        sampler: Sampler of the samples that are shown and compared.
        tried: Numbers of steps that are tried besides, by the sampler of `sampler`.
        model: Configuration of the model.

    Raises:
        ValueError: A negative number of samples, or no step.
    """

    title: ClassVar[str] = "Flow matching"

    at_hand = (*Settings.at_hand, "samples", "sampler", "tried")

    data: str = "mnist"
    scale: Scale = Identity()
    samples: int = 10_000
    sampler: flow.AnySampler = flow.DPMSolver(50)
    tried: tuple[int, ...] = (20, 10, 5)
    model: flow.Config = flow.Config(
        times=flow.LogitNormal(),
        network=flow.UNet(features=32, multipliers=(1, 2), attention=(1,), patch=2),
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
        num_draws=16,
    )
    steps: int = 26_000
    batch_size: int = 32
    log_every: int = 200
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        self.require(samples=0)
        for i, num_steps in enumerate(self.tried):
            require.size(f"tried[{i}]", num_steps)

    @property
    def samplers(self) -> list[Any]:
        """The sampler, and the same with the other numbers of steps."""
        return [self.sampler, *(dataclasses.replace(self.sampler, num_steps=n) for n in self.tried)]

    def model_for(self, spec: Spec) -> GenerativeModel:
        return flow.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        model = self.model_for(dataset.spec)
        estimates = _flow.estimates(model, dataset)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            if split is dataset.test and self.samples:
                num = min(self.samples, len(split))
                found |= _flow.frechet(model, dataset, key, variables, "test", self.samplers, num)
            return found

        return _flow.experiment(
            model,
            dataset,
            self.seed,
            report,
            self.sampler,
            tried=self.samplers[1:],
            conditional=self.model.conditional,
            name=self.title,
        )
