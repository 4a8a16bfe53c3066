"""Measures of coloured pictures: how near to the truth, how varied, and as often of each colour as they should be.

Several colourings of one picture are right, so that a squared error alone says little: it is smallest for the mean of
all, which is none of them. A model whose samples come from p(chroma | luminance) itself has

    E |sample - truth|^2 = 2 E |mean - truth|^2
    calibration = (1 + 1/k) E[variance of k samples] / E |mean of k samples - truth|^2 = 1
"""

import numpy as np

from jaxgen import evaluate
from jaxgen.core import Estimate
from jaxgen.data import Split, coloured_shapes
from jaxgen.data.coloured_shapes import COLOURS, KINDS, PALETTE, PROBABILITIES, Shapes

_POOLED = 4  # colours of an image are compared as averages of 4 x 4 parts
_CLEAR = 0.15  # largest distance of a clearly filled shape from a colour of the palette; two are 0.64 apart


def measured(x: np.ndarray, test: Split, train: Split) -> dict[str, Estimate]:
    """Errors, spread and statistics of colourings of test pictures, beside simpler ways to colour.

    Args:
        x: Colourings [k, n, h, w, 2] of the test pictures; with k = 1 they are taken for the mean of all.
        test: Test pictures, chroma with the field "luminance".
        train: Training pictures.
    """
    truth = test.x
    guesses = {
        "grey": np.zeros_like(truth),
        "mean_of_training": np.broadcast_to(train.x.mean(axis=0), truth.shape),
        "nearest_luminance": train.x[_nearest(test, train)],
        **({"sample": x[0], f"mean_of_{len(x)}": x.mean(axis=0)} if len(x) > 1 else {"mean": x[0]}),
    }
    found = {}
    for name, guess in guesses.items():
        error = _error(guess, truth)
        found[f"{name}/squared_error"] = evaluate.estimate(error, "of the chroma, per pixel")
        found[f"{name}/psnr"] = evaluate.estimate(_psnr(error), "dB, of red, green and blue")
    sets = {name: guesses[name] for name in guesses if name not in ("grey", "mean_of_training")}
    for name, chroma in {**sets, "training": train.x}.items():
        distance = evaluate.frechet_distance(_pooled(chroma), _pooled(truth))
        found[f"{name}/colour_distance"] = Estimate(distance, None, "Fréchet distance of colours in 4 x 4 parts")
    if len(x) > 1:
        spread = _error(x, x.mean(axis=0)).sum(axis=0) / (len(x) - 1)
        found["calibration"] = _ratio((1 + 1 / len(x)) * spread, _error(x.mean(axis=0), truth))
    return found


def of_shapes(x: np.ndarray, truth: np.ndarray, shapes: Shapes, filling: np.ndarray) -> dict[str, Estimate]:
    """Colourings of drawings held against the known distribution of their colours.

    Args:
        x: Colourings [k, n, h, w, 2]; with k = 1 they are taken for the mean of all.
        truth: Chroma of the drawings.
        shapes: Shapes of the drawings.
        filling: Share of each pixel that each shape's filling covers.
    """
    kind = np.asarray(shapes.kind)
    exact = coloured_shapes.mean_chroma(filling, kind)
    found = {"exact_mean/squared_error": evaluate.estimate(_error(exact, truth), "of the chroma, per pixel")}
    mean = x.mean(axis=0)
    found["mean_error"] = evaluate.estimate(_error(mean, exact), "squared difference of the mean from the exact one")
    if len(x) == 1:
        return found
    number, distance = (
        np.stack(part) for part in zip(*(coloured_shapes.colours_of(y, filling) for y in x), strict=True)
    )
    clear = distance < _CLEAR
    found["clear"] = evaluate.estimate(clear.mean(axis=(0, 2)), "share of shapes of one colour of the palette")
    chi_squared = 0.0
    for i, name in enumerate(KINDS):
        # Of one sample of each drawing: the shapes of all of them are independent.
        counts = np.bincount(number[0][kind == i], minlength=len(COLOURS))
        total = counts.sum()
        for each, p, count in zip(COLOURS, PROBABILITIES[i], counts, strict=True):
            share = count / total
            error = float(np.sqrt(p * (1 - p) / total))
            found[f"share/{name}/{each}"] = Estimate(float(share), error, f"share, exact {p:g}")
            chi_squared += float((count - total * p) ** 2 / (total * p))
        found[f"differ/{name}"] = _differ(number, kind == i, 1 - float(np.square(PROBABILITIES[i]).sum()))
    freedom = len(KINDS) * (len(COLOURS) - 1)
    found["chi_squared"] = Estimate(
        chi_squared, float(np.sqrt(2 * freedom)), f"exact {freedom}, deviation of exact draws"
    )
    return found


def _differ(number: np.ndarray, where: np.ndarray, exact: float) -> Estimate:
    """How often two samples give a shape different colours: over all pairs of samples, mean over shapes."""
    k = len(number)
    counts = np.stack([(number == c).sum(axis=0) for c in range(len(PALETTE))])
    alike = (counts * (counts - 1)).sum(axis=0) / (k * (k - 1))
    return evaluate.estimate(1 - alike[where], f"share of pairs of samples, exact {exact:g}")


def _error(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared distance of the chroma, mean over pixels."""
    return np.square(guess - truth).sum(axis=-1).mean(axis=(-2, -1))


def _psnr(error: np.ndarray) -> np.ndarray:
    """Of pictures whose luminance is right: the squared error of red, green and blue is a third of the chroma's."""
    return 10 * np.log10(3 / np.maximum(error, 1e-12))


def _pooled(x: np.ndarray) -> np.ndarray:
    n, h, w, c = x.shape
    parts = x[:, : h // _POOLED * _POOLED, : w // _POOLED * _POOLED]
    return parts.reshape(n, _POOLED, h // _POOLED, _POOLED, w // _POOLED, c).mean(axis=(2, 4)).reshape(n, -1)


def _nearest(test: Split, train: Split) -> np.ndarray:
    given, known = (split.fields["luminance"].reshape(len(split), -1) for split in (test, train))
    return evaluate.nearest(given, known).indices[:, 0]


def _ratio(over: np.ndarray, under: np.ndarray) -> Estimate:
    """A ratio of two means with its standard error to first order (Cochran 1977, section 2.11)."""
    ratio = over.mean() / under.mean()
    error = np.std(over - ratio * under, ddof=1) / np.sqrt(len(over)) / under.mean()
    return Estimate(float(ratio), float(error), "1 for samples of the truth")
