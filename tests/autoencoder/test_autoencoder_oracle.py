"""The linear autoencoder, whose optimum is the principal components."""

import jax
import numpy as np
import pytest

from jaxgen import autoencoder, data, evaluate, train
from jaxgen.autoencoder.oracle import principal_components
from jaxgen.optimizers import Adam, Cosine


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def x(digits):
    return (digits.train.x / 16.0).reshape(len(digits.train), -1)


def squared_error(x, x_hat):
    return np.square(x - x_hat).sum(axis=1).mean()


@pytest.mark.parametrize("latent_dim", [1, 8, 64])
def test_its_error_is_the_sum_of_the_discarded_eigenvalues(x, latent_dim):
    best = principal_components(x, latent_dim)
    np.testing.assert_allclose(squared_error(x, best.decode(best.encode(x))), best.reconstruction_error, atol=1e-12)
    np.testing.assert_allclose(best.components @ best.components.T, np.eye(latent_dim), atol=1e-12)
    np.testing.assert_allclose(best.eigenvalues.sum(), x.var(axis=0).sum(), rtol=1e-12)


def test_it_is_the_singular_value_decomposition(x):
    """Eckart & Young 1936: the best approximation of rank k leaves the other singular values."""
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(
        principal_components(x, 8).reconstruction_error, np.square(singular[8:]).sum() / len(x), rtol=1e-12
    )


def test_no_plane_is_better(x):
    """For any other subspace even the best encoder into it, the projection, leaves more."""
    best = principal_components(x, 3)
    rng = np.random.default_rng(0)
    for scale in (1e-2, 1e-1, 10.0):
        basis, _ = np.linalg.qr((best.components + scale * rng.normal(size=best.components.shape)).T)
        x_hat = best.mean + (x - best.mean) @ basis @ basis.T
        assert squared_error(x, x_hat) > best.reconstruction_error


def test_training_a_linear_autoencoder_reaches_it(digits, x):
    config = autoencoder.Config(latent_dim=4, hidden=(), optimizer=Adam(1e-2, schedule=Cosine(600)))
    model = autoencoder.model(config, digits.spec)
    state, _ = train.fit(model, digits.train.batches(seed=0, batch_size=256), jax.random.key(0), 600, progress=False)
    reached = evaluate.per_example(model, jax.random.key(1), state.variables, digits.train)["reconstruction"].mean()
    exact = principal_components(x, 4).reconstruction_error
    assert exact <= reached < 1.01 * exact


def test_a_latent_space_larger_than_the_data_is_refused(x):
    with pytest.raises(ValueError, match=r"latent_dim must be an integer in 1\.\.64, the dimension of x, got 65"):
        principal_components(x, 65)
