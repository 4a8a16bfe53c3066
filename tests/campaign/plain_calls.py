"""A campaign of wrong data and wrong calls: each is refused by a ValueError that names what it got, none passes.

`test_plain_calls.py` runs it without the tests' own checks of types: as a user's program calls the library.
"""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, distributions, gan, vae

GOOD = np.linspace(0, 1, 240, dtype=np.float32).reshape(20, 4, 3)
LABEL = np.arange(20) % 4

DTYPES = ("float64", "float16", "int64", "int32", "bool", "complex64", "object", "U8")
ARRAYS = {
    "list": GOOD.tolist(),
    "none": None,
    "text": "digits",
    "scalar": np.float32(1),
    "no axis": np.array(1, np.float32),
    "no example": GOOD[:0],
    "empty event": GOOD[:, :0],
    "nan": np.where(GOOD > 0.9, np.nan, GOOD),
    "infinity": np.where(GOOD > 0.9, np.inf, GOOD),
    **{
        dtype: GOOD.astype(dtype)
        for dtype in ("float64", "float16", "int64", "int32", "bool", "complex64", "object", "U8")
    },
    "structured": np.zeros(20, [("a", np.float32)]),
}
LABELS = {
    "short": LABEL[:-1],
    "long": np.append(LABEL, 0),
    "column": LABEL[:, None],
    "one hot": np.eye(4, dtype=np.int64)[LABEL],
    "negative": LABEL - 1,
    "floats": LABEL.astype(np.float32),
    "flags": LABEL > 1,
    "text": LABEL.astype("U1"),
    "huge": LABEL + 2**40,
    "sparse": LABEL * 300_000,
    "list": LABEL.tolist(),
    "masked": np.ma.masked_equal(LABEL, 1),
}
MASKS = {
    "numbers": np.ones(GOOD.shape, np.uint8),
    "floats": np.ones(GOOD.shape, np.float32),
    "short": np.ones((19, 4, 3), bool),
    "broadcast": np.ones((20, 1, 1), bool),
    "per example": np.ones(20, bool),
    "list": [True] * 20,
}
SHARES = [-1, -0.1, 0.0, 1.0, 1.5, 20, 10**9, float("nan"), float("inf"), True, "1/10", (0.1,), np.zeros(2)]
SEEDS = [-1, 2**32, 2**63, 1.0, True, None, "zero", float("nan")]
LEVELS = [1, 0, -1, 257, 2.0, True, "many", float("nan")]

DATA = [
    *(pytest.param({"x": x}, id=f"x {name}") for name, x in ARRAYS.items()),
    *(pytest.param({"x": GOOD, "label": label}, id=f"label {name}") for name, label in LABELS.items()),
    *(pytest.param({"x": GOOD, "mask": mask}, id=f"mask {name}") for name, mask in MASKS.items()),
    *(pytest.param({"x": GOOD, "valid": share}, id=f"valid {share}") for share in SHARES),
    *(pytest.param({"x": GOOD, "test": share}, id=f"test {share}") for share in SHARES),
    *(pytest.param({"x": GOOD, "seed": seed}, id=f"seed {seed}") for seed in SEEDS),
    *(pytest.param({"x": (255 * GOOD).astype(np.uint8), "levels": n}, id=f"levels {n}") for n in LEVELS),
]


@pytest.mark.parametrize("arguments", DATA)
def test_wrong_data_are_refused_by_name(arguments):
    with pytest.raises(ValueError, match=r"got|must|leave"):
        data.from_arrays(**arguments)


B, Z = (6,), (6, 3)
CALLS = {
    distributions.standard_normal_kl: (Z, Z),
    distributions.normal_kl: (Z, Z, Z, Z),
    distributions.normal_log_prob: (Z, Z, Z),
    distributions.bernoulli_log_prob: (Z, Z),
    vae.objective.negative_elbo: (B, Z, Z),
    vae.objective.path_negative_elbo: (B, Z, Z, Z),
    vae.objective.importance_weighted_bound: ((5, 6), (5, 6), (5, 6)),
    gan.objective.value: (B, B),
    gan.objective.discriminator_loss: (B, B),
    gan.objective.least_squares_discriminator_loss: (B, B),
    gan.objective.hinge_discriminator_loss: (B, B),
}
WRONG = {
    "a column": lambda v: v.reshape(*v.shape[:1], -1)[:, :1] if v.ndim == 1 else v[..., None],
    "one example fewer": lambda v: v[:-1],
    "integers": lambda v: v.astype(jnp.int32),
    "flags": lambda v: v > 0,
}


def wrong_calls():
    for function, shapes in CALLS.items():
        for place, (name, change) in itertools.product(range(len(shapes)), WRONG.items()):
            yield pytest.param(function, shapes, place, change, id=f"{function.__name__} {place} {name}")


@pytest.mark.parametrize(("function", "shapes", "place", "change"), list(wrong_calls()))
def test_wrong_calls_are_refused_by_name(function, shapes, place, change):
    arguments = [jnp.full(shape, 0.5) for shape in shapes]
    jax.eval_shape(inspect.unwrap(function), *arguments)
    arguments[place] = change(arguments[place])
    with pytest.raises(ValueError, match="must"):
        jax.eval_shape(inspect.unwrap(function), *arguments)
