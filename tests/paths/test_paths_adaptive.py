"""A solver that chooses its steps, against the exact flow and density of a mixture."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import Cosine, Linear, oracle, random_signs
from jaxgen.paths.adaptive import adaptive_flow, adaptive_log_prob

MIXTURE = oracle.GaussianMixture(np.array([[1.0], [-0.8]]), np.array([0.3, 0.5]), np.array([0.4, 0.6]))
X = np.array([[-2.0], [-0.4], [0.2], [1.6]], np.float32)
needs_diffrax = pytest.mark.skipif(importlib.util.find_spec("diffrax") is None, reason="diffrax is not installed")


@needs_diffrax
def test_it_meets_the_exact_density_within_its_tolerance():
    path = Linear()
    velocity = functools.partial(MIXTURE.velocity, path)
    found = jax.jit(lambda x: adaptive_log_prob(velocity, x, 0.0, 1.0))(X)
    np.testing.assert_allclose(found, MIXTURE.log_prob(path, jnp.asarray(X), 0.0), atol=5e-4)


@needs_diffrax
@pytest.mark.slow
def test_it_meets_the_exact_flow_both_ways():
    path = Linear()
    velocity = functools.partial(MIXTURE.velocity, path)
    up = jax.jit(lambda x: adaptive_flow(velocity, x, 0.1, 0.95))(X)
    np.testing.assert_allclose(up, MIXTURE.flow(path, jnp.asarray(X), 0.1, 0.95), atol=5e-4)
    np.testing.assert_allclose(jax.jit(lambda x: adaptive_flow(velocity, x, 0.95, 0.1))(up), X, atol=5e-4)


@needs_diffrax
@pytest.mark.slow
def test_signs_estimate_the_divergence_and_no_example_depends_on_its_batch(key):
    data = oracle.gaussian(np.array([0.5, -0.3]), 0.4)
    velocity = functools.partial(data.velocity, Cosine())
    x, signs = data.sample(key, 4), random_signs(key, jnp.arange(4), (2,))
    log_prob = jax.jit(lambda x, signs: adaptive_log_prob(velocity, x, 0.0, 1.0, signs=signs))
    whole = log_prob(x, signs)
    # The Jacobian of one Gaussian is a multiple of the identity, on which signs make no error.
    np.testing.assert_allclose(whole, data.log_prob(Cosine(), x, 0.0), atol=5e-4)
    np.testing.assert_allclose(log_prob(x[2:3], signs[2:3]), whole[2:3], rtol=1e-6)


@needs_diffrax
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"end": 0.1}, r"end must be another time than start=0\.1"),
        ({"rtol": 0.0}, "rtol must be a finite number above 0"),
        ({"atol": -1.0}, "atol must be a finite number above 0"),
        ({"start": -0.1}, "start must be a finite number at least 0"),
        ({"max_steps": 0}, "max_steps must be"),
    ],
)
def test_a_tolerance_or_times_that_are_none_are_refused(options, message):
    given = {"start": 0.1, "end": 0.9} | options
    with pytest.raises(ValueError, match=message):
        adaptive_flow(lambda x, t: x, jnp.asarray(X), **given)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"need diffrax: pip install 'jaxgen\[ode\]'"):
        adaptive_flow(lambda x, t: x, jnp.asarray(X), 0.0, 1.0)
    with pytest.raises(ValueError, match=r"end must be a finite number above 0\.5"):
        adaptive_log_prob(lambda x, t: x, jnp.asarray(X), 0.5, 0.1)
