"""Parts that galaxies_vae, galaxies_gan and galaxies_ddpm share: the data, the statistics and the pictures.

The rendered galaxies have known parameters (`jaxgen.data.galaxies`); those of the SDSS and of FIRST come from files of
the user's (`jaxgen.data.galaxy_files`). Samples are held against galaxies that no model has seen, by what an astronomer
would measure (`jaxgen.evaluate.photometry`), and beside that stands how far two sets of galaxies are from each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, evaluate, plot, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Arcsinh, Dataset, Galaxies, Scale, Split, galaxy_files, orientations
from jaxgen.data.permutation import shuffled
from jaxgen.evaluate.photometry import photometry, two_samples
from jaxgen.experiments import _images, _recovery
from jaxgen.runs import Experiment, Settings, pictures

_ARCSINH = Arcsinh()


@dataclass(frozen=True)
class Config(Settings):
    """Settings of the experiments with galaxies.

    Args:
        data: File of galaxies of the SDSS or of FIRST (`jaxgen.data.galaxy_files`), or other square images, as
            `jaxgen.data.load` takes them; None for rendered galaxies with known parameters.
        galaxies: Population that rendered galaxies are drawn from.
        num: Rendered galaxies for training; 500 for validation and 1000 for testing besides.
        fold: Fold of FIRST that is held out.
        scale: Scale of rendered galaxies and other real values; FIRST has its own, grey levels have none.
        turned: Whether training images are turned and mirrored at random, in all eight ways.
        samples: Samples that are measured at the end; no more than there are galaxies to compare them with.
    """

    at_hand = (*Settings.at_hand, "samples")

    data: str | None = None
    galaxies: Galaxies = Galaxies()
    num: int = 8000
    fold: int = 0
    scale: Scale = _ARCSINH
    turned: bool = True
    samples: int = 1000
    log_every: int = 50
    checkpoint_every: int = 2000

    def __post_init__(self):
        super().__post_init__()
        self.require(num=1, samples=2)
        require.integer("fold", self.fold, 0, galaxy_files.NUM_FOLDS - 1)

    def dataset(self) -> Dataset:
        """The galaxies.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: A file of another kind, or images that are not square.
        """
        if self.data is None:
            return self._rendered()
        kind = galaxy_files.kind_of(self.data)
        if kind == "sdss":
            return galaxy_files.sdss_galaxies(self.data, seed=self.seed)
        if kind == "radio":
            return galaxy_files.radio_galaxies(self.data, fold=self.fold)
        whole = data.load(self.data, seed=self.seed)
        shape = whole.spec.event_shape
        if len(shape) != 3 or shape[0] != shape[1]:
            raise ValueError(f"data must be square images [h, h, c], got {shape} from {self.data}")
        return whole if whole.spec.levels else whole.scaled(self.scale)

    def _rendered(self) -> Dataset:
        root = jax.random.key(self.seed, impl="threefry2x32")
        splits = []
        for i, num in enumerate((self.num, max(2, min(500, self.num)), max(2, min(1000, self.num)))):
            x, parameters = self.galaxies.sample(jax.random.fold_in(root, i), num)
            splits.append(Split(x, parameters.kind, fields=parameters.fields))
        train, valid, test = splits
        options: dict[str, Any] = {"valid": valid, "test": test, "class_names": data.galaxies.KINDS}
        return data.from_arrays(train.x, train.label, fields=train.fields, name="galaxies", scale=self.scale, **options)

    def ready(self, model: GenerativeModel) -> GenerativeModel:
        """The model as it is trained: on images in all orientations, or as they are."""
        return orientations.turned_at_random(model) if self.turned else model


Report = Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]]


def light(x: Any, spec: Spec) -> np.ndarray:
    """Examples in data space as pictures in which light adds up: counts, or grey levels 0 .. 255."""
    return np.asarray(x, np.float32) * np.float32((spec.levels or 2) - 1)


def held_out(dataset: Dataset) -> Split:
    """Galaxies that samples are compared with: those of the test, but for FIRST, whose test has other shares of the
    classes than the rest, the fold that is held out."""
    if dataset.name == "radio_galaxies" and dataset.valid is not None:
        return dataset.valid
    return dataset.test


def measured(config: Config, model: GenerativeModel, dataset: Dataset, estimates: Report, **options: Any) -> Report:
    """(key, variables, split) -> the estimates, and on the test set the statistics of samples beside those of galaxies.

    Args:
        config: The experiment's config.
        model: The model.
        dataset: Its data.
        estimates: Quick estimates, which are part of the report.
        options: Options of `model.sample`.
    """
    spec, others = dataset.spec, held_out(dataset)

    def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        found = dict(estimates(key, variables, split))
        if split is not dataset.test or min(spec.event_shape[:2]) < 8:
            return found
        num = min(config.samples, len(others), len(dataset.train))
        x = evaluate.samples(model, key, variables, num, chunk=100, **options)
        finite = np.isfinite(x).all(axis=(1, 2, 3))
        found["finite"] = evaluate.estimate(np.asarray(finite, np.float32), "share of samples")
        if finite.sum() < 2:
            return found
        sets = {"sampled": light(x[finite], spec)}
        sets |= _real(dataset, num)
        columns = {name: photometry(images).columns for name, images in sets.items()}
        for statistic, reference in columns["held_out"].items():
            for name in ("sampled", "training"):
                distance, said = _distance(columns[name][statistic], reference)
                unit = f"Kolmogorov-Smirnov, from {num} held out, {said}"
                found[f"{statistic}/{name}/distance"] = Estimate(distance, None, unit)
            for name in columns:
                values = columns[name][statistic]
                if np.isfinite(values).any():
                    known = values[np.isfinite(values)]
                    found[f"{statistic}/{name}/mean"] = evaluate.estimate(known, _UNITS[statistic])
        if config.data is None:
            found |= _recovery.report(dataset, columns["sampled"], num)
        return found

    return report


_UNITS = {
    "flux": "flux, all channels",
    "radius": "pixels, half-light",
    "ellipticity": "1 - b / a",
    "concentration": "5 log10(r_80 / r_20)",
    "colour": "magnitudes",
}


def _distance(x: np.ndarray, y: np.ndarray) -> tuple[float, str]:
    """Distance of two samples and what to say of it: 1 where hardly any picture of one has something to measure."""
    if min(np.isfinite(x).sum(), np.isfinite(y).sum()) < 2:
        return 1.0, "of pictures without a galaxy"
    found = two_samples(x, y)
    return found.distance, f"p = {found.p_value:.2g}"


def _real(dataset: Dataset, num: int) -> dict[str, np.ndarray]:
    """As many galaxies to learn from and held out, drawn from all of them: files have an order of their own."""
    found = {}
    for name, part in {"training": dataset.train, "held_out": held_out(dataset)}.items():
        rows = shuffled(len(part), 0)[:num]
        found[name] = light(data.to_unit(part.x[rows], dataset.spec), dataset.spec)
    return found


def histograms(
    model: GenerativeModel, dataset: Dataset, num: int, name: str, **options: Any
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the distribution functions of all statistics, of samples and of galaxies."""

    def figure(key: PRNGKey, state: Any) -> Any:
        spec = dataset.spec
        few = min(num, len(held_out(dataset)))
        x = evaluate.samples(model, key, state.variables, few, chunk=100, **options)
        x = x[np.isfinite(x).all(axis=(1, 2, 3))]
        sets = {f"{name}, {len(x)} samples": light(x, spec)}
        sets |= {said.replace("_", " "): images for said, images in _real(dataset, few).items()}
        columns = {said: photometry(images).columns for said, images in sets.items() if len(images)}
        panels = {}
        for statistic in columns["held out"]:
            panels[f"{statistic} ({_UNITS[statistic]})"] = {
                said: _distribution(each[statistic], statistic == "flux") for said, each in columns.items()
            }
        title = f"{name} on {dataset.name} after {int(state.step)} steps: statistics of samples and galaxies"
        return plot.lines(panels, title=title, x_label="value (flux: log10)", y_label="share below")

    return figure


def _distribution(values: np.ndarray, logarithm: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values in order, and the share below each; the outermost hundredths are left out of a picture."""
    values = np.sort(values[np.isfinite(values)])
    values = np.log10(values[values > 0]) if logarithm else values
    low, high = (0, len(values)) if len(values) < 100 else (len(values) // 100, len(values) - len(values) // 100)
    return values[low:high], (np.arange(low, high) + 0.5) / max(1, len(values))


def experiment(
    config: Config, model: GenerativeModel, dataset: Dataset, name: str, estimates: Report, **options: Any
) -> Experiment:
    """A model of galaxies: what is measured and what is drawn, whatever the family.

    Args:
        config: The experiment's config.
        model: The model.
        dataset: Its data.
        name: Name of the family in titles.
        estimates: Quick estimates for every checkpoint.
        options: Options of `model.sample` and further parts of the experiment.
    """
    sampling = options.pop("sampling", {})

    def uncurated(key: PRNGKey, state: Any) -> Any:
        x = model.sample(key, state.variables, 60, **sampling)
        title = f"{name} on {dataset.name} after {int(state.step)} steps, seed {config.seed}: samples k = 0 .. 59"
        return pictures.examples({"": x}, dataset.spec, title=title, columns=10)

    return Experiment(
        model=config.ready(model),
        dataset=dataset,
        evaluate=estimates,
        picture=_images.beside_neighbours(model, dataset, name, config.seed, num=10, **sampling),
        samples=_images.samples(dataset.spec),
        report=measured(config, model, dataset, estimates, **sampling),
        sampling=sampling,
        pictures={
            "samples": uncurated,
            "statistics": histograms(model, dataset, config.samples, name, **sampling),
            **options.pop("pictures", {}),
        },
        **options,
    )
