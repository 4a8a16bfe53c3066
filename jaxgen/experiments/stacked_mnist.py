"""A GAN on three digits as the channels of one image: 1,000 modes, counted by a classifier of digits."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import numpy as np

from jaxgen import data, evaluate, gan, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, Split
from jaxgen.digest import digest
from jaxgen.experiments import _gan
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, Settings

_CHANNELS = 3
_SHOWN = 10_000  # images whose modes are drawn
_DATA_KEY = 2018  # one data set for every seed: runs of several seeds differ in nothing else


@dataclass(frozen=True)
class Config(Settings):
    """Modes counted as Lin et al. 2018 (PacGAN) do: 26,000 samples, read by a classifier of single digits.

    The loss and the penalties are those of Huang et al. 2024 (R3GAN), the networks are those of the DCGAN without any
    normalisation in the discriminator. `model.loss:non-saturating model.penalty:no-penalty` is the plain GAN.

    Args:
        data: Name of a labelled data set of grey images of one channel; see `jaxgen.data.load`.
        stacks: Stacked images to train on.
        samples: Draws that the modes are counted in, and stacked test images that they are counted in beside.
        classifier_steps: Updates of the classifier of single digits, which is trained once and then kept.
        model: Configuration of the GAN.
    """

    at_hand = (*Settings.at_hand, "samples", "classifier_steps")

    data: str = "mnist"
    stacks: int = 128_000
    samples: int = 26_000
    classifier_steps: int = 2000
    model: gan.Config = gan.Config(
        latent_dim=64,
        network=gan.DCGAN(features=32, spectral=False, num_groups=None),
        loss=gan.Relativistic(),
        penalty=gan.ZeroCentred(r1=0.5, r2=0.5),
        generator_optimizer=Adam(5e-4, Cosine(), b1=0.0, b2=0.99),
        discriminator_optimizer=Adam(5e-4, Cosine(), b1=0.0, b2=0.99),
    )
    steps: int = 20_000
    batch_size: int = 64
    log_every: int = 200
    checkpoint_every: int = 2000
    picture_every: int = 2000

    def __post_init__(self):
        super().__post_init__()
        self.require(stacks=1, samples=1, classifier_steps=1)

    @property
    def batch_unit(self) -> int:
        return self.model.n_critic

    def digits(self) -> Dataset:
        """The single digits.

        Raises:
            ValueError: Data that are no grey images of one channel with labels.
        """
        digits = data.load(self.data)
        spec = digits.spec
        if len(spec.event_shape) != 3 or spec.event_shape[-1] != 1 or spec.levels is None or spec.num_classes is None:
            raise ValueError(f"data must be grey images [h, w, 1] with labels, got {spec} from {self.data}")
        return digits

    def dataset(self, digits: Dataset) -> Dataset:
        """Stacked training digits to train on, and stacked test digits that no network has seen.

        Args:
            digits: The single digits.
        """
        spec = digits.spec
        root = jax.random.key(_DATA_KEY, impl="threefry2x32")

        def drawn(number: int, split: Split, num: int) -> Split:
            key = jax.random.fold_in(root, number)
            return Split(data.stacked_digits(key, split.x[..., 0], num, channels=_CHANNELS)[0])

        return Dataset(
            name=f"stacked_{digits.name}",
            spec=Spec((*spec.event_shape[:-1], _CHANNELS), "uint8", levels=spec.levels),
            train=drawn(0, digits.train, self.stacks),
            test=drawn(1, digits.test, self.samples),
        )

    def model_for(self, spec: Spec) -> GenerativeModel:
        return gan.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        digits = self.digits()
        dataset = self.dataset(digits)
        model = self.model_for(dataset.spec)
        estimates = _gan.estimates(model)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split.rows(np.arange(min(len(split), 2000))))
            x = evaluate.samples(model, key, variables, self.samples)
            return found if rehearsing() else found | coverage({"": x, "real/": dataset.test.x}, digits, self)

        def modes(key: PRNGKey, state: Any) -> Any:
            """How often each mode is drawn, the most frequent first, beside real images."""
            num = min(self.samples, _SHOWN)
            x = evaluate.samples(model, key, state.variables, num)
            if rehearsing():
                return None
            num_modes = (digits.spec.num_classes or 1) ** _CHANNELS
            counts = {
                name: np.sort(np.bincount(classes(each, digits, self), minlength=num_modes))[::-1]
                for name, each in {"samples": x, "real images": dataset.test.x[:num]}.items()
            }
            ranks = {name: (np.arange(1, len(each) + 1), each) for name, each in counts.items()}
            return plot.lines(
                {f"{num:,} of each": ranks},
                title=f"GAN on {dataset.name} after {int(state.step)} steps, seed {self.seed}",
                x_label="mode, the most frequent first",
                y_label="number of images",
            )

        def picture(key: PRNGKey, state: Any) -> Any:
            x = host(model.sample(key, state.variables, 60))
            channels = np.moveaxis(x[:20], -1, 0).reshape(-1, *x.shape[1:3], 1).repeat(_CHANNELS, axis=-1)
            return plot.rows(
                {
                    "real (test digits)": data.to_unit(dataset.test.x[:40], dataset.spec),
                    "samples as they come": x,
                    "the three channels of the first 20 samples, one below the other": channels,
                },
                title=f"GAN on {dataset.name} after {int(state.step)} steps, seed {self.seed}",
                columns=20,
            )

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=estimates,
            picture=picture,
            samples=lambda x, title: plot.examples({"": x}, title=title),
            report=report,
            film=_gan.film(dataset),
            levels=_gan.LEVELS,
            pictures={"modes": modes},
        )


def classes(x: np.ndarray, digits: Dataset, config: Config) -> np.ndarray:
    """Modes of stacked images, read by the classifier of the single digits, which is trained once and then kept.

    Args:
        x: Stacked images, as samples or as they are stored.
        digits: The single digits.
        config: Config of the experiment.
    """
    return evaluate.stacked_classes(evaluate.trained_judge(digits, num_steps=config.classifier_steps), x)


def coverage(groups: Mapping[str, np.ndarray], digits: Dataset, config: Config) -> dict[str, Estimate]:
    """Modes, KL from equal shares and KL from the shares of the data, of stacked images by the prefix of their name."""
    judge = evaluate.trained_judge(digits, num_steps=config.classifier_steps)
    labels: Any = {name: split.label for name, split in digits.splits.items()}
    accuracy = judge.accuracy(digits.test.x, labels["test"])
    by = f"classifier {digest(judge.params)[:8]}"
    found = {"classifier": accuracy._replace(unit=f"accuracy on single test digits, {by}")}
    shares = evaluate.class_histogram(labels["train"], judge.network.num_classes)
    of_data = reduce(np.multiply.outer, [shares] * _CHANNELS).ravel()
    for prefix, x in groups.items():
        modes = classes(x, digits, config)
        equal, drawn = (evaluate.mode_counts(modes, len(of_data), reference) for reference in (None, of_data))
        said = f"n = {len(x)}, {by}"
        found[f"{prefix}modes"] = Estimate(float(equal.modes), None, f"of {len(equal.counts)}, {said}")
        found[f"{prefix}kl"] = Estimate(equal.kl, None, f"nats from equal shares, {said}")
        found[f"{prefix}kl_of_data"] = Estimate(drawn.kl, None, f"nats from the data's shares, {said}")
    return found
