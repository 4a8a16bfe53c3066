"""Parts that translation_gan, translation_ddpm and translation_mean share: the data, the measures and the pictures.

    picture = luminance + chroma,      chroma ~ p(chroma | luminance)

The luminance is given, the chroma is modelled (`jaxgen.data.colour`): what is drawn is a coloured picture whose
brightness is that of the given one, and several colourings of one picture are right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.data import Dataset, Split, Standardise, colour, coloured_shapes
from jaxgen.experiments import _colouring
from jaxgen.progress import counted
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, Settings

_VALID = 0.1  # share of the pictures that are not for testing


@dataclass(frozen=True)
class Config(Settings):
    """Settings of the experiments that colour pictures.

    Args:
        data: Colour images to learn from, as `jaxgen.data.load` takes them; None for drawings of shapes, whose colours
            have a known distribution (`jaxgen.data.coloured_shapes`). A .npz file may mark its test images by a field
            "held_out" of bools: `--data FILE.npz:x=x,held_out=KEY`.
        size: Height and width; larger images are reduced to it by averages, so that theirs must be multiples of it.
        turned: Whether training images are also learned turned and mirrored, in all eight ways: for pictures that
            have no upright, of the sky say.
        num: Drawings to learn from, where no data are given.
        cases: Test pictures that are coloured at the end.
        samples: Colourings of each of them.
    """

    at_hand = (*Settings.at_hand, "cases", "samples")

    data: str | None = None
    size: int = 32
    turned: bool = False
    num: int = 8000
    cases: int = 300
    samples: int = 8
    batch_size: int = 16
    log_every: int = 50
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        self.require(size=16, num=1, cases=2, samples=2)

    def drawings(self, number: int) -> coloured_shapes.Shapes:
        """Shapes of the drawings of a split: 0 for training, 1 for validation, 2 for testing."""
        root = jax.random.key(self.seed, impl="threefry2x32")
        num = self.num if number == 0 else max(2, min(self.num, 1000))
        return coloured_shapes.sample(jax.random.fold_in(root, number), num)

    def dataset(self) -> Dataset:
        """Chroma, which is modelled, and luminance, which is given.

        Raises:
            ValueError: Data that are no colour images of a suitable size.
        """
        name, splits = ("coloured_shapes", self._drawn()) if self.data is None else self._loaded()
        train = splits.pop("train")
        whole: dict[str, Any] = {**splits, "name": f"colour_of_{name}", "scale": Standardise(mean=0.0)}
        return data.from_arrays(train.x, fields=train.fields, **whole)

    def _drawn(self) -> dict[str, Split]:
        splits = {}
        for number, name in enumerate(("train", "valid", "test")):
            shapes = self.drawings(number)
            luminance, filling = coloured_shapes.rendered(shapes, self.size)
            splits[name] = Split(coloured_shapes.chroma(filling, shapes.colour), fields={"luminance": luminance})
        return splits

    def _loaded(self) -> tuple[str, dict[str, Split]]:
        whole = data.load(str(self.data), seed=self.seed)
        shape, of = whole.spec.event_shape, whole.spec.levels
        fits = len(shape) == 3 and shape[0] == shape[1] and shape[0] % self.size == 0
        if not fits or shape[-1] != 3 or of != 256:
            raise ValueError(
                f"data must be uint8 colour images [h, h, 3] with h a multiple of size={self.size}, got "
                f"{whole.spec.dtype} of shape {shape} from {self.data}"
            )
        return whole.name, {
            name: self._coloured(x, turned=self.turned and name == "train") for name, x in _divided(whole).items()
        }

    def _coloured(self, x: np.ndarray, turned: bool) -> Split:
        factor = x.shape[1] // self.size
        unit = x.astype(np.float32) / np.float32(255)
        small = unit.reshape(len(x), self.size, factor, self.size, factor, 3).mean(axis=(2, 4))
        if turned:
            small = np.concatenate([np.rot90(y, k, (1, 2)) for y in (small, small[:, :, ::-1]) for k in range(4)])
        luminance, chroma = colour.separated(np.ascontiguousarray(small))
        return Split(chroma, fields={"luminance": luminance})


def _divided(whole: Dataset) -> dict[str, np.ndarray]:
    """Images by split: as they are, or by the mark "held_out" where the data have one."""
    marked = whole.spec.fields.get("held_out")
    if marked is None or marked.dtype != "bool" or marked.shape != ():
        return {name: split.x for name, split in whole.splits.items()}
    x = np.concatenate([split.x for split in whole.splits.values()])
    test = np.concatenate([split.fields["held_out"] for split in whole.splits.values()])
    rest = x[~test]
    few = max(1, round(_VALID * len(rest)))
    return {"train": rest[:-few], "valid": rest[-few:], "test": x[test]}


def experiment(
    config: Config,
    model: GenerativeModel,
    dataset: Dataset,
    name: str,
    estimates: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]],
    *,
    random: bool = True,
    sampling: Mapping[str, Any] | None = None,
    **options: Any,
) -> Experiment:
    """A model that colours pictures: what is measured and what is drawn, whatever the family.

    Args:
        config: The experiment's config.
        model: The model.
        dataset: Its data.
        name: Name of the model in titles.
        estimates: Estimates for every checkpoint.
        random: Whether samples of one picture differ.
        sampling: Options of the model's `sample`.
        options: Further fields of the experiment.
    """
    chosen = dict(sampling or {})
    cases = config.fitted("cases", len(dataset.test), "the test pictures")
    few = dataset.test.rows(np.arange(cases))

    def coloured(key: PRNGKey, variables: Any, luminance: np.ndarray, num: int) -> np.ndarray:
        """Colourings 0 .. num - 1 of each picture, [num, m, h, w, 2]."""
        given = {"condition": {"luminance": luminance}, **chosen}
        drawn = [
            host(model.sample(jax.random.fold_in(key, k), variables, len(luminance), **given))
            for k in counted(range(1 if rehearsing() else num), "colourings", num)
        ]
        return np.stack(drawn * num if rehearsing() else drawn)

    def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        found = dict(estimates(key, variables, split))
        if split is not dataset.test:
            return found
        x = coloured(key, variables, few.fields["luminance"], config.samples if random else 1)
        found |= _colouring.measured(x, few, dataset.train)
        if config.data is None:
            shapes = coloured_shapes.Shapes(*(part[:cases] for part in config.drawings(2)))
            found |= _colouring.of_shapes(x, few.x, shapes, coloured_shapes.rendered(shapes, config.size)[1])
        return found

    def picture(key: PRNGKey, state: Any) -> Any:
        """Columns: pictures of the test set; rows: what is given, the truth, and what the model makes of it."""
        some = few.rows(np.arange(min(10, cases)))
        luminance = some.fields["luminance"]
        x = coloured(key, state.variables, luminance, config.samples if random else 1)
        rows = {"given: the luminance": np.zeros_like(some.x), "truth": some.x}
        rows |= {f"{name}, sample {k}": x[k] for k in range(min(4, len(x)))} if random else {f"{name}": x[0]}
        rows |= {f"{name}, mean of {len(x)} samples": x.mean(axis=0)} if random else {}
        title = f"{dataset.name} after {int(state.step)} steps, seed {config.seed}: test pictures, as they come"
        seen = {label: np.clip(colour.joined(luminance, chroma), 0, 1) for label, chroma in rows.items()}
        return plot.rows(seen, title=title, columns=len(luminance))

    first = few.fields["luminance"][0]

    def samples(x: Any, title: str) -> Any:
        luminance = np.broadcast_to(first, (*x.shape[:-1], 1))
        seen = np.clip(colour.joined(luminance, host(x)), 0, 1)
        return plot.rows({"": seen}, title=f"{title}: colourings of one picture", columns=8)

    return Experiment(
        model=model,
        dataset=dataset,
        evaluate=estimates,
        picture=picture,
        samples=samples,
        report=report,
        sampling={"condition": {"luminance": first}, **chosen},
        **options,
    )
