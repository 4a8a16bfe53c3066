"""Parts that ring_gan and grid_gan share: several seeds side by side, modes counted, D held against the optimal D."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import data, evaluate, gan, plot, train
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.experiments import _gan
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Modes counted as Lin et al. 2018 (PacGAN) do: 2,500 samples, of high quality within three deviations.

    `model.loss:non-saturating model.penalty:no-penalty` is the plain GAN of the lecture.

    Args:
        num: Points drawn for training; 5,000 for validation and 10,000 for testing besides.
        members: Seeds trained side by side in one program; the batch is divided among them.
        samples: Draws that the modes are counted in.
        model: Configuration of the GAN.
    """

    at_hand = (*Settings.at_hand, "samples")
    toy: ClassVar[str]  # name of the data set

    num: int = 100_000
    members: int = 5
    samples: int = 2500
    model: gan.Config = gan.Config(
        latent_dim=32,
        network=gan.MLP(generator_hidden=(128, 128, 128), discriminator_hidden=(128, 128, 128)),
        loss=gan.Relativistic(),
        penalty=gan.ZeroCentred(r1=0.01, r2=0.01),
        generator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
        discriminator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
    )
    steps: int = 50_000
    batch_size: int = 640
    log_every: int = 500
    checkpoint_every: int = 5000
    picture_every: int = 5000

    def __post_init__(self):
        super().__post_init__()
        self.require(num=1, members=1, samples=1)
        if self.batch_size != type(self).batch_size and self.batch_size % self.batch_unit:
            raise ValueError(
                f"batch_size must be a multiple of members={self.members} times n_critic={self.model.n_critic}, "
                f"got {self.batch_size}"
            )

    @property
    def batch_unit(self) -> int:
        return self.members * self.model.n_critic

    def dataset(self) -> data.Dataset:
        """The points, drawn from the seed."""
        return data.load(self.toy, seed=self.seed, num=(self.num, 5_000, 10_000))

    def model_for(self, spec: Spec) -> GenerativeModel:
        return train.ensemble(gan.model(self.model.lasting(self.steps), spec), self.members)

    def samples_figure(self, spec: Spec, x: Any, title: str) -> Any:
        return plot.scatter({"data": self.dataset().test.x[: len(x)], "samples": x}, title=title)


def experiment(config: Config, centres: np.ndarray, std: float) -> Experiment:
    """A GAN on equal Gaussians of this spread around these centres."""
    dataset = config.dataset()
    model = config.model_for(dataset.spec)
    alone = model.parts.model
    reach = float(np.abs(centres).max() + max(10 * std, 0.35 * np.abs(centres).max()))

    def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        found = _gan.estimates(model)(key, variables, split)
        if split is dataset.test:
            each = model.parts.sample_each(key, variables, config.samples)
            seen = jax.vmap(lambda x: evaluate.mode_statistics(x, centres, std))(each)
            for quantity, unit in (("modes", "modes"), ("high_quality", "share"), ("reverse_kl", "nats")):
                values = host(getattr(seen, quantity)).astype(np.float32)
                found[quantity] = evaluate.estimate(values, f"{unit}, mean of {config.members} seeds")
                found |= {f"{quantity}/{s}": Estimate(float(v), None, unit) for s, v in enumerate(values)}
        return found

    def picture(key: PRNGKey, state: Any) -> Any:
        each = host(model.parts.sample_each(key, state.variables, config.samples))
        members = {f"samples, seed {s}": x for s, x in enumerate(each)}
        return plot.scatter(
            {"data": dataset.test.x[: config.samples], **members},
            title=f"GAN on {dataset.name} after {int(state.step)} steps",
        )

    def discriminators(key: PRNGKey, state: Any) -> Any:
        """D of member 0 beside p_d / (p_d + p_g), p_g a density estimate of its samples."""
        member = model.parts.member(state.variables, 0)
        x = alone.sample(key, member, config.samples)
        ticks = np.linspace(-reach, reach, 161, dtype=np.float32)
        grid = jnp.asarray(np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2))
        p_data = gan.oracle.Mixture.equal(centres, std)
        log_p_model = gan.oracle.kernel_density(x, grid, bandwidth=std)
        optimal = gan.objective.optimal_logits(p_data.log_prob(grid), log_p_model)
        learnt = alone.parts.discriminate(member, grid)
        shape = (len(ticks), len(ticks))
        return plot.fields(
            {
                "learnt D(x)": jax.nn.sigmoid(learnt).reshape(shape),
                "optimal D(x) = p_d / (p_d + p_g)": jax.nn.sigmoid(optimal).reshape(shape),
            },
            (-reach, reach, -reach, reach),
            title=f"GAN on {dataset.name} after {int(state.step)} steps, seed 0; dots: samples",
            points=x[:500],
            limits=(0, 1),
            label="probability that x is real",
        )

    def film(frames: Mapping[str, Any], title: str) -> Any:
        """A film of member 0: sample k of the ensemble is drawn by member k mod `members`."""
        shown = {name: x[:: config.members] for name, x in frames.items()}
        return plot.scatter({"data": dataset.test.x[:500], **shown}, title=f"{title}, member 0")

    return Experiment(
        model=model,
        dataset=dataset,
        evaluate=_gan.estimates(model),
        picture=picture,
        samples=partial(config.samples_figure, dataset.spec),
        report=report,
        film=film,
        film_samples=500 * config.members,
        levels=_gan.LEVELS,
        pictures={"discriminator": discriminators},
    )
