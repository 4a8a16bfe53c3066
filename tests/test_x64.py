"""Under JAX_ENABLE_X64 a model is the same: states, metrics and draws stay float32, whatever float64 is about."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from models import MODELS, tiny_ddpm, tiny_gan, tiny_vae

from jaxgen import data, ddpm, gan, train, vae
from jaxgen.digest import structure
from jaxgen.optimizers import Cosine

KEY = 7
SLOW = pytest.mark.slow
OTHERS = {
    "gan-wasserstein": lambda: tiny_gan(loss=gan.Wasserstein(), penalty=gan.GradientPenalty(), prior=gan.Uniform()),
    "gan-relativistic": lambda: tiny_gan(loss=gan.Relativistic(), penalty_schedule=Cosine(9)),
    "gan-residual": lambda: tiny_gan(network=gan.SNResNet((8, 8), (8, 8), 1), loss=gan.Hinge(), dtype="bfloat16"),
    "ddpm-x0": lambda: tiny_ddpm(network=ATTENTION, prediction=ddpm.X0(), variance=ddpm.BetaVariance()),
    "vae-masked": lambda: tiny_vae(see_mask=True, likelihood=vae.Normal(), num_samples=2),
}
ATTENTION = ddpm.UNet(features=8, multipliers=(1, 2), num_groups=2, attention=(1,))
QUICK = {
    "autoencoder",
    "vae-importance",
    "vae-masked",
    "gan-convolutional",
    "gan-relativistic",
    "ddpm-learned-variance",
}


def shapes(made: tuple[Any, Any]) -> dict[str, Any]:
    """Of what init, step, evaluate, sample and the parts return."""
    model, dataset = made
    key = jax.random.key(KEY)
    batches = dataset.train.batches(seed=0, batch_size=8)

    def call(function, *arguments):
        return jax.eval_shape(lambda *a: function(*a), *arguments)

    state = call(model.init, key, batches(0))
    batch = next(dataset.test.evaluation_batches(8))
    found = {
        "step": call(model.step, key, state, batches(0)),
        "evaluate": call(model.evaluate, key, state.variables, batch),
        "sample": call(lambda key, variables: model.sample(key, variables, 4), key, state.variables),
    }
    x, variables = batch["x"], state.variables
    masked = {**batch, "mask": np.arange(x.size).reshape(x.shape) % 3 > 0}
    options = {"num_samples": 4, "chunk": 2}
    for name, arguments, more in (
        ("encode", (variables, x), {}),
        ("reconstruct", (variables, x), {}),
        ("log_likelihood", (key, variables, batch), options if hasattr(model.parts, "monte_carlo") else {}),
        ("monte_carlo", (key, variables, batch), options),
        ("impute", (key, variables, masked), options if hasattr(model.parts, "monte_carlo") else {}),
        ("bound", (key, variables, batch), {}),
        ("chain", (key, variables), {"num": 3, "keep": 4, "sampler": ddpm.DDIM(4, eta=1.0)}),
    ):
        if hasattr(model.parts, name):
            part = functools.partial(getattr(model.parts, name), **more)
            found[name] = call(part, *arguments)
    return found


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else SLOW) for n in [*MODELS, *OTHERS]])
def test_every_dtype_is_that_without_it(name):
    made = {**MODELS, **OTHERS}[name]()
    expected = structure(shapes(made))
    with jax.enable_x64(True):
        assert structure(shapes(made)) == expected
    assert not [dtype for dtype in expected.values() if "64" in dtype.split("[")[0]]


@pytest.mark.parametrize("name", ["gan", pytest.param("ddpm-learned-variance", marks=SLOW)])
def test_it_trains_to_the_same_numbers(name):
    """The draws are the same; what differs is how XLA orders the sums of another program."""
    model, dataset = MODELS[name]()

    def trained():
        batches = dataset.train.batches(seed=0, batch_size=8)
        state, history = train.fit(model, batches, jax.random.key(KEY), 2, log_every=1, progress=False)
        return state, history.records

    with jax.enable_x64(True):
        state, wide = trained()
    plain, records = trained()
    assert structure(state) == structure(plain)
    for a, b in zip(wide, records, strict=True):
        for name in a.keys() - {"steps_per_second"}:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-3, err_msg=name)


def test_data_that_are_drawn_are_float32_too():
    for draw in (data.ring, data.two_moons, data.swiss_roll):
        plain = draw(jax.random.key(KEY), 5)
        with jax.enable_x64(True):
            wide = draw(jax.random.key(KEY), 5)
        assert wide.dtype == np.float32
        np.testing.assert_allclose(wide, plain, atol=1e-5)
