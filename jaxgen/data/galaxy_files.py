"""Pictures of real galaxies, from files that the user has: nothing of them comes with the library.

    sdss_galaxies     x uint8 [n, h, h, 3], label 0 or 1 (spiral), test bool [n] (held out)
    radio_galaxies    x uint8 [n, h, h, 1], label 0 .. 3, fold 0 .. 4 for cross-validation, 5 for the fixed test images

Pictures of the SDSS have been through an arcsinh on their way into 256 grey levels, and stay as they are. Those of the
FIRST survey are linear in the flux: they become float32, so that a scale (`jaxgen.data.Arcsinh`) can do the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.data import checks, npy
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.permutation import shuffled
from jaxgen.data.scale import Arcsinh, Scale

RADIO_CLASSES = ("FRI", "FRII", "compact", "bent")
SDSS_CLASSES = ("smooth", "spiral")
NUM_FOLDS = 5
_VALID = 0.1
_RADIO = Arcsinh(softening=10.0, mean=2.0, std=2.0)
"""Scale of radio galaxies: from -1 at 0 to 0.97 at the largest of their grey levels, as that of images."""


def kind_of(path: str | Path) -> str | None:
    """The kind of galaxies in a file by its keys: "sdss" for one with x, label and test, "radio" with fold; else None.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file that is damaged.
    """
    path = Path(path).expanduser()
    if path.suffix != ".npz":
        return None
    found = _headers(path)
    if {"x", "label"} <= set(found):
        return next((kind for kind, key in (("sdss", "test"), ("radio", "fold")) if key in found), None)
    return None


def sdss_galaxies(path: str | Path, *, seed: int = 0) -> Dataset:
    """Colour pictures of galaxies of the Sloan Digital Sky Survey, grey levels.

    Args:
        path: File with x, label and test, see the module's docstring.
        seed: Seed of the shuffle by which a tenth of those not held out become the validation set.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A key that is missing, or of another dtype or shape.
    """
    x, label, test = _columns(path, 3, SDSS_CLASSES, "test")
    held_out = test.astype(bool)
    rest = np.flatnonzero(~held_out)
    rest = rest[shuffled(len(rest), require.seed("seed", seed))]
    num_valid = int(_VALID * len(rest))
    return _dataset("sdss_galaxies", x, label, SDSS_CLASSES, rest[num_valid:], rest[:num_valid], held_out.nonzero()[0])


def radio_galaxies(path: str | Path, *, fold: int = 0, scale: Scale = _RADIO) -> Dataset:
    """Radio galaxies of the FIRST survey in four classes, in float32, by the published cross-validation.

    Args:
        path: File with x, label and fold, see the module's docstring.
        fold: The fold 0 .. 4 that is the validation set; the other four are for training.
        scale: How models see the flux.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A key that is missing, or of another dtype or shape, or a fold out of range.
    """
    fold = require.integer("fold", fold, 0, NUM_FOLDS - 1)
    x, label, of = _columns(path, 1, RADIO_CLASSES, "fold")
    parts = ((of != fold) & (of < NUM_FOLDS), of == fold, of >= NUM_FOLDS)
    rows = [np.flatnonzero(which) for which in parts]
    return _dataset("radio_galaxies", x.astype(np.float32), label, RADIO_CLASSES, *rows).scaled(scale)


def _headers(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"data must be a file of galaxies, there is none at {path}")
    return npy.headers(path)


def _columns(path: str | Path, channels: int, classes: Sequence[str], key: str) -> tuple[np.ndarray, ...]:
    """Images, labels and what divides them.

    Raises:
        ValueError: Something else than the module's docstring says, by file, key and shape.
    """
    path = Path(path).expanduser()
    found = _headers(path)
    for name in ("x", "label", key):
        if name not in found:
            raise ValueError(f"{path} must hold x, label and {key}, got {', '.join(found) or 'nothing'}")
    x, label, which = npy.read(path, ["x", "label", key]).values()
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[1] != x.shape[2] or x.shape[3] != channels:
        raise ValueError(f"x of {path} must be uint8 [n, h, h, {channels}], got {x.dtype} of shape {x.shape}")
    label = checks.labels(f"label of {path}", label, len(x))
    checks.below(f"label of {path}", label, len(classes), "the number of classes")
    if which.shape != label.shape or which.dtype.kind not in "biu":
        raise ValueError(f"{key} of {path} must be of shape ({len(x)},), got {which.dtype} of shape {which.shape}")
    return x, label, which


def _dataset(name: str, x: Any, label: Any, classes: Sequence[str], *rows: np.ndarray) -> Dataset:
    train, valid, test = (Split(x[index], label[index]) for index in rows)
    levels = 256 if x.dtype == np.uint8 else None
    spec = Spec(x.shape[1:], x.dtype.name, levels, len(classes), class_names=tuple(classes))
    return Dataset(name, spec, train, test, valid)
