"""Unpaired translation: digits of one hand-written set as those of another, through the noise of a diffusion model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import data, ddpm, evaluate, plot, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, Split, digit_frames, space
from jaxgen.ddpm.schedule import uniform_timesteps
from jaxgen.evaluate import TrainedClassifier
from jaxgen.experiments import _ddpm
from jaxgen.optimizers import Adam, Cosine
from jaxgen.progress import counted
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, Settings

_AT_ONCE = 500  # digits that are translated in one call


@dataclass(frozen=True)
class Config(Settings):
    """Two diffusion models in one network, which is told of which set it is to be; no pair is ever seen, and no label
    of a digit but by the classifiers that judge at the end.

    Args:
        data: One set of digits: a name, or a .npz file with train_x, train_label, test_x and test_label.
        other: Another such set.
        size: Height and width of a digit: both sets are framed alike, see `jaxgen.data.digit_frames`.
        translated: Test digits of each set that are translated at the end; 0 for all of them.
        levels: Levels of noise that are visited on the way up, and again on the way down.
        iterations: Calls of the network in each step upwards.
        classifier_steps: Updates of each classifier.
        model: Configuration of the diffusion model; it is always told which set a digit is of.
    """

    at_hand = (*Settings.at_hand, "translated", "levels", "iterations", "classifier_steps")
    paths: ClassVar[tuple[str, ...]] = ("data", "other")

    data: str = "mnist"
    other: str = "digits"
    size: int = 16
    translated: int = 2000
    levels: int = 50
    iterations: int = 1
    classifier_steps: int = 2000
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(200),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=32, multipliers=(1, 2), attention=(1,), patch=2),
        conditional=True,
        label_dropout=0.0,
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
    )
    steps: int = 6000
    batch_size: int = 64
    log_every: int = 100
    checkpoint_every: int = 2000

    def __post_init__(self):
        super().__post_init__()
        self.require(size=8, translated=0, iterations=1, classifier_steps=1)
        require.integer(
            "levels", self.levels, 1, self.model.schedule.schedule().num_timesteps, "the model's levels of noise"
        )
        if not self.model.conditional:
            raise ValueError(
                "model.conditional must be True, for the model must know of which set a digit is, got False"
            )

    def digits(self) -> dict[str, Dataset]:
        """Both sets, framed alike, by their names.

        Raises:
            ValueError: Data that are no images of one channel with labels.
        """
        found = {}
        for field in ("data", "other"):
            place = getattr(self, field)
            whole = data.load(place, seed=self.seed)
            spec = whole.spec
            if len(spec.event_shape) != 3 or spec.event_shape[-1] != 1 or not spec.levels or not spec.num_classes:
                raise ValueError(f"{field} must be grey images [h, w, 1] with labels, got {spec} from {place}")
            side = digit_frames.extent(whole.train.x, spec.levels)
            parts = {
                name: Split(digit_frames.framed(split.x, side, self.size, spec.levels), split.label)
                for name, split in whole.splits.items()
            }
            named = Spec((self.size, self.size, 1), "uint8", 256, spec.num_classes)
            name = whole.name if whole.name not in found else f"{whole.name}_2"
            found[name] = Dataset(name=name, spec=named, **parts)
        return found

    def dataset(self, both: Mapping[str, Dataset]) -> Dataset:
        """Digits of both sets, as often of the one as of the other; the label is the set."""

        def joined(split: str, least: int) -> Split | None:
            some = [each.splits[split] for each in both.values() if split in each.splits]
            if len(some) < len(both):
                return None
            num = max(map(len, some)) if split == "train" else min(least, *map(len, some))
            rows = [np.resize(np.arange(len(each)), num) for each in some]
            x = np.concatenate([each.x[row] for each, row in zip(some, rows, strict=True)])
            return Split(x, np.repeat(np.arange(len(some), dtype=np.int32), num))

        splits: dict[str, Any] = {name: joined(name, 1000) for name in ("train", "valid", "test")}
        spec = Spec((self.size, self.size, 1), "uint8", 256, len(both), class_names=tuple(both))
        return Dataset(name="_and_".join(both), spec=spec, **splits)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def translator(self, model: GenerativeModel, spec: Spec) -> Any:
        """The function that translates digits.

        Args:
            model: A model of this config.
            spec: Description of its data.

        Returns:
            (variables, x, source, target, share=1.0) -> digits [n, size, size, 1] in [0, 1]. x is uint8, source and
            target are numbers of the two sets, and share is that of all levels of noise up to which they are taken.
        """
        schedule = model.parts.schedule
        every = uniform_timesteps(schedule.num_timesteps, self.levels)

        @partial(jax.jit, static_argnames="visited")
        def moved(variables: Any, x: Array, source: Array, target: Array, visited: int) -> Array:
            one, other = (model.parts.bind(variables, label=jnp.full(len(x), s, jnp.int32)) for s in (source, target))
            y = ddpm.translate(
                one,
                other,
                schedule,
                space.to_model(x, spec),
                timesteps=every[-visited:],
                iterations=self.iterations,
                clip=1.0,
            )
            return space.from_model(y, spec)

        def translated(variables: Any, x: Any, source: int, target: int, share: float = 1.0) -> np.ndarray:
            require.number("share", share, above=0, high=1)
            visited = max(1, round(share * self.levels))
            parts = []
            for batch in counted(Split(x).evaluation_batches(_AT_ONCE), "digits", len(x), _AT_ONCE):
                y = host(moved(variables, batch["x"], jnp.int32(source), jnp.int32(target), visited))
                parts.append(y[batch["index"] >= 0])
            return np.concatenate(parts)

        return translated

    def build(self) -> Experiment:
        both = self.digits()
        names = tuple(both)
        dataset = self.dataset(both)
        model = self.model_for(dataset.spec)
        translated = self.translator(model, dataset.spec)
        directions = ((0, 1), (1, 0))

        def test_digits(source: int) -> Split:
            split = both[names[source]].test
            return split.rows(np.arange(min(self.translated or len(split), len(split))))

        def judges() -> tuple[list[TrainedClassifier], TrainedClassifier]:
            """A classifier of the digits of each set, and one that tells the sets apart."""
            options: dict[str, Any] = {"levels": 256, "num_steps": self.classifier_steps}
            parts: list[Any] = [(each.train.x, each.train.label, each.spec.num_classes) for each in both.values()]
            parts.append((dataset.train.x, dataset.train.label, len(both)))
            found = [
                evaluate.train_classifier(
                    jax.random.fold_in(jax.random.key(self.seed), i), x, y, n, batch_size=min(128, len(x)), **options
                )
                for i, (x, y, n) in enumerate(parts)
            ]
            return found[:-1], found[-1]

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _ddpm.estimates(model, dataset)(key, variables, split)
            if split is not dataset.test:
                return found
            of_level = {
                (source, target, share): translated(variables, test_digits(source).x, source, target, share)
                for source, target in directions
                for share in (0.25, 0.5, 0.75, 1.0)
            }
            of_digits, of_sets = judges()
            for source, target in directions:
                given: Any = test_digits(source)
                judge, way = of_digits[target], f"{names[source]}_to_{names[target]}"
                y = {"as_it_is": data.to_unit(given.x, dataset.spec)}
                y |= {f"up_to_{share:g}": of_level[source, target, share] for share in (0.25, 0.5, 0.75)}
                y |= {"translated": of_level[source, target, 1.0]}
                for name, x in y.items():
                    found[f"{way}/{name}/accuracy"] = judge.accuracy(host(x), given.label)
                    taken = (of_sets.predictions(host(x)) == target).astype(np.float32)
                    found[f"{way}/{name}/taken_for_target"] = evaluate.estimate(taken, "share")
                real: Any = test_digits(target)
                found[f"real/{names[target]}/accuracy"] = judge.accuracy(real.x, real.label)
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            """Columns: the same digit of one set as it is, and as one of the other set."""
            del key
            groups = {}
            for source, target in directions:
                x = test_digits(source).x[:20]
                groups[f"{names[source]}, test digits as they come"] = data.to_unit(x, dataset.spec)
                groups[f"the same as {names[target]}"] = translated(state.variables, x, source, target)
            title = f"unpaired translation after {int(state.step)} steps, seed {self.seed}"
            return plot.rows(groups, title=title, columns=20)

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_ddpm.estimates(model, dataset),
            picture=picture,
            samples=lambda x, title: plot.examples({"": x}, title=title),
            report=report,
            sampling={"sampler": ddpm.DDIM(self.levels)},
            pictures={"samples": _ddpm.uncurated(model, dataset, self.seed, True)},
        )
