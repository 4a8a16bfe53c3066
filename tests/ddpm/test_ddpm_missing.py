"""Diffusion models that learn from data with missing entries."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, ddpm, train
from jaxgen.core import Field, Spec
from jaxgen.optimizers import Adam, Cosine

KEY = jax.random.key(0)
CONFIG = ddpm.Config(schedule=ddpm.Cosine(20), prediction=ddpm.V(), network=ddpm.MLP((8,)), see_mask=True)
X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
MASK = np.random.default_rng(1).random((6, 3)) < 0.6
BATCH = {"x": X, "mask": MASK}


@pytest.fixture(scope="module")
def model():
    return ddpm.model(CONFIG, Spec((3,)))


def test_what_is_behind_the_mask_does_not_count(model):
    batches = [{"x": np.where(MASK, X, np.float32(fill)), "mask": MASK} for fill in (0.0, 7.0, np.nan)]
    after = {train.digest(model.step(KEY, model.init(KEY, batch), batch)[0]) for batch in batches}
    assert len(after) == 1
    other = {**BATCH, "mask": ~MASK}
    assert train.digest(model.step(KEY, model.init(KEY, other), other)[0]) not in after


def test_the_loss_is_that_of_the_observed_entries(model):
    """With all observed it is the loss of all; the losses of a mask and of its complement add up to that, if the
    network's output depends on neither."""
    state = model.init(KEY, BATCH)
    silent = {"params": jax.tree.map(jnp.zeros_like, state.params)}  # predicts 0 whatever it sees
    every = np.ones_like(MASK)
    loss = {
        name: model.objective.loss(silent, KEY, {"x": X, "mask": mask}, 0)[0]
        for name, mask in (("seen", MASK), ("rest", ~MASK), ("all", every))
    }
    np.testing.assert_allclose(loss["seen"] + loss["rest"], loss["all"], rtol=1e-5)
    plain = ddpm.model(dataclasses.replace(CONFIG, see_mask=False), Spec((3,)))
    params = jax.tree.map(jnp.zeros_like, plain.init(KEY, {"x": X}).params)
    np.testing.assert_allclose(plain.objective.loss({"params": params}, KEY, {"x": X}, 0)[0], loss["all"], rtol=1e-6)


@pytest.mark.slow
def test_images_are_mirrored_with_their_masks():
    """A network that predicts 0: what counts is where entries are observed, mirrored or not."""
    config = dataclasses.replace(CONFIG, flip=True, network=ddpm.UNet(4, (1,), attention=(), num_groups=2))
    flipping = ddpm.model(config, Spec((4, 4, 1)))
    x = np.zeros((8, 4, 4, 1), np.float32)
    x[:, :, 2:] = 1e3  # far from all others, and never observed
    batch = {"x": x, "mask": x == 0}
    params = jax.tree.map(jnp.zeros_like, flipping.init(KEY, batch).params)
    losses, _ = flipping.objective.loss({"params": params}, KEY, batch, 0)
    assert (losses < 100).all()


def test_samples_and_imputations_are_whole(model):
    state = model.init(KEY, BATCH)
    x = model.sample(KEY, state.variables, 5)
    assert x.shape == (5, 3) and np.isfinite(x).all()
    filled = model.parts.impute(KEY, state.variables, BATCH)
    np.testing.assert_allclose(np.asarray(filled)[MASK], X[MASK], rtol=1e-5)


def test_what_cannot_be_is_refused(model):
    with pytest.raises(ValueError, match='batch must hold "mask" with see_mask=True, got none'):
        model.init(KEY, {"x": X})
    state = model.init(KEY, BATCH)
    with pytest.raises(ValueError, match='batch must hold no "mask"'):
        model.evaluate(KEY, state.variables, BATCH)
    with pytest.raises(ValueError, match="variance must be fixed with see_mask=True, got LearnedVariance"):
        dataclasses.replace(CONFIG, variance=ddpm.LearnedVariance())
    with pytest.raises(ValueError, match='the data must have no field "observed" with see_mask=True'):
        ddpm.model(CONFIG, Spec((3,), fields={"observed": Field((3,), "bool")}))


@pytest.mark.slow
def test_the_spread_of_whole_examples_is_learned_from_parts():
    """Two coordinates of correlation 0.8, of which 40 % are missing: samples have the covariance of whole examples."""
    rng, covariance = np.random.default_rng(0), np.array([[1.0, 0.8], [0.8, 1.0]])
    x = rng.multivariate_normal(np.zeros(2), covariance, 50_000).astype(np.float32)
    mask = rng.random(x.shape) < 0.6
    holes = data.from_arrays(np.where(mask, x, np.float32(0)), mask=mask)
    config = dataclasses.replace(
        CONFIG,
        schedule=ddpm.Cosine(100),
        network=ddpm.MLP((128, 128)),
        optimizer=Adam(2e-3, Cosine(4000)),
        ema_decay=0.99,
    )
    model = ddpm.model(config, holes.spec)
    state, _ = train.fit(model, holes.train.batches(seed=0, batch_size=512), KEY, 4000, progress=False)
    found = np.cov(np.asarray(model.sample(KEY, state.variables, 10_000)).T)
    np.testing.assert_allclose(found, covariance, atol=0.08)
