"""Known parameters of rendered galaxies, found again in their statistics, of galaxies and of samples.

A picture is blurred and noisy, so that a statistic is not the parameter that it stands for. A polynomial of second
order in the statistics, fitted by least squares on training galaxies, is the best guess of that kind. Guesses from
samples must then be distributed as guesses from galaxies that the fit has not seen.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen import evaluate
from jaxgen.core import Estimate
from jaxgen.evaluate.photometry import photometry, two_samples

_UNITS = {
    "flux": "dex",
    "radius": "dex",
    "sersic_index": "dex",
    "axis_ratio": "minor / major",
    "colour": "magnitudes",
}
_FITTED = 2000  # training galaxies


def report(dataset: Any, sampled: Mapping[str, np.ndarray], num: int) -> dict[str, Estimate]:
    """Errors of the guesses on held-out galaxies, and the distances of the guesses from the known parameters.

    Args:
        dataset: Rendered galaxies, with their parameters as fields.
        sampled: Statistics of samples, see `jaxgen.evaluate.photometry`.
        num: Number of held-out galaxies that they are compared with.
    """
    train = dataset.train.rows(np.arange(min(_FITTED, len(dataset.train))))
    test = dataset.test.rows(np.arange(num))
    found = {}
    known = {name: _parameters(part) for name, part in (("train", train), ("test", test))}
    seen = {name: _polynomial(photometry(part.x).columns) for name, part in (("train", train), ("test", test))}
    seen["sampled"] = _polynomial(sampled)
    for name, unit in _UNITS.items():
        usable = np.isfinite(seen["train"]).all(axis=1)
        weights = np.linalg.lstsq(seen["train"][usable], known["train"][name][usable], rcond=None)[0]
        guesses = {which: seen[which] @ weights for which in ("test", "sampled")}
        truth = known["test"][name]
        errors = np.abs(guesses["test"] - truth)
        said = f"{unit}, mean, of held-out galaxies"
        found[f"recovered/{name}/error"] = evaluate.estimate(errors[np.isfinite(errors)], said)
        spread = f"{unit}, standard deviation"
        found[f"recovered/{name}/spread"] = Estimate(float(truth.std()), None, f"{spread} of the known values")
        for which, said in (("test", "real"), ("sampled", "sampled")):
            each = two_samples(guesses[which], truth)
            text = f"Kolmogorov-Smirnov, guesses from known values, p = {each.p_value:.2g}"
            found[f"recovered/{name}/{said}/distance"] = Estimate(each.distance, None, text)
        each = two_samples(guesses["sampled"], guesses["test"])
        text = f"Kolmogorov-Smirnov, guesses from samples and galaxies, p = {each.p_value:.2g}"
        found[f"recovered/{name}/distance"] = Estimate(each.distance, None, text)
    return found


def _parameters(split: Any) -> dict[str, np.ndarray]:
    values = {name: np.asarray(split.fields[name], np.float64) for name in _UNITS}
    return {name: np.log10(value) if _UNITS[name] == "dex" else value for name, value in values.items()}


def _polynomial(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """1, the statistics, and their products in pairs: flux and radius as logarithms."""
    logs = ("flux", "radius")
    with np.errstate(invalid="ignore", divide="ignore"):
        first = [np.log10(value) if name in logs else value for name, value in columns.items()]
    pairs = [a * b for i, a in enumerate(first) for b in first[i:]]
    return np.stack([np.ones_like(first[0]), *first, *pairs], axis=1)
