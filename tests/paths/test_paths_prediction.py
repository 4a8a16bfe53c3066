"""Conversions between what networks predict: the truth, round trips, and identities between them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import (
    X0,
    Cosine,
    Ends,
    Eps,
    Linear,
    LinearBeta,
    Preconditioned,
    V,
    VarianceExploding,
    Velocity,
    bound_denoiser,
    bound_velocity,
    diffuse,
    guided,
    preconditioning,
    prediction,
)

PATHS = [Linear(), Cosine(), LinearBeta(), VarianceExploding()]
T = jnp.linspace(0.02, 0.98, 200)


def named(value):
    return type(value).__name__


@pytest.fixture
def ends(key):
    x_0, eps = jax.random.normal(key, (2, 200, 20))
    return Ends(x_0, eps)


@pytest.mark.parametrize("path", PATHS, ids=named)
@pytest.mark.parametrize("kind", [Eps(), X0(), V(), Velocity(), Preconditioned(0.7)], ids=named)
def test_a_prediction_of_the_truth_gives_the_ends_and_the_velocity(kind, path, ends):
    x_t = diffuse(path, ends.x_0, T, ends.eps)
    target = kind.target(path, ends.x_0, T, ends.eps)
    found = kind.ends(path, x_t, T, target)
    size = np.maximum(np.abs(ends.x_0), np.abs(ends.eps)).max(axis=1)
    alpha, sigma = path.alpha(T), path.sigma(T)
    # A unit in the last place of x_t, of a coefficient or of the output is one of x_0 or eps by this factor.
    allowed = 16 * np.finfo(np.float32).eps * np.maximum(1 / alpha, 1 / sigma) * size
    assert (np.abs(found.x_0 - ends.x_0).max(axis=1) <= allowed).all()
    assert (np.abs(found.eps - ends.eps).max(axis=1) <= allowed).all()
    exact = prediction.velocity_from_ends(path, T, ends)
    fastest = np.maximum(np.abs(path.alpha_rate(T)), np.abs(path.sigma_rate(T)))
    error = np.abs(kind.velocity(path, x_t, T, target) - exact).max(axis=1)
    assert (error <= 2 * fastest * allowed).all()


TRIPS = {
    "eps": (prediction.ends_from_eps, lambda path, t, ends: ends.eps),
    "x_0": (prediction.ends_from_x_0, lambda path, t, ends: ends.x_0),
    "v": (prediction.ends_from_v, prediction.v_from_ends),
    "velocity": (prediction.ends_from_velocity, prediction.velocity_from_ends),
    "score": (prediction.ends_from_score, prediction.score_from_ends),
}


@pytest.mark.parametrize("path", PATHS, ids=named)
@pytest.mark.parametrize("name", list(TRIPS))
def test_a_round_trip_through_the_ends_loses_few_digits(name, path, ends):
    """Also where the prediction and x_t were made apart, as an untrained network's are."""
    there, back = TRIPS[name]
    value, x_t = ends
    found = jax.jit(lambda value: there(path, x_t, T, value))(value)
    again = back(path, T, found)
    alpha, sigma = path.alpha(T), path.sigma(T)
    speed = jnp.maximum(1, jnp.abs(path.sigma_rate(T))) if name == "velocity" else 1.0
    factor = jnp.maximum(1 / alpha, 1 / sigma) * speed
    size = np.maximum(np.abs(value), np.abs(x_t)).max(axis=1)
    assert (np.abs(again - value).max(axis=1) <= 16 * np.finfo(np.float32).eps * factor * size).all()
    # The ends are those of a path through x_t.
    through = prediction.diffuse(path, found.x_0, T, found.eps)
    most = jnp.maximum(jnp.abs(found.x_0).max(axis=1), jnp.abs(found.eps).max(axis=1))
    assert (np.abs(through - x_t).max(axis=1) <= 4 * np.finfo(np.float32).eps * (size + most)).all()


def test_on_the_straight_line_the_velocity_is_the_difference_of_the_ends(ends):
    np.testing.assert_array_equal(prediction.velocity_from_ends(Linear(), T, ends), ends.eps - ends.x_0)


def test_on_the_arc_the_velocity_is_v(ends):
    found = prediction.velocity_from_ends(Cosine(), T, ends)
    np.testing.assert_allclose(found, math.pi / 2 * prediction.v_from_ends(Cosine(), T, ends), rtol=1e-5, atol=1e-6)


def test_velocity_and_v_give_finite_ends_at_both_ends(ends):
    x_0, eps = ends
    for path, kind in ((Linear(), Velocity()), (Cosine(), Velocity()), (Cosine(), V()), (Linear(), V())):
        for t in (0.0, 1.0):
            x_t = diffuse(path, x_0, t, eps)
            found = kind.ends(path, x_t, t, kind.target(path, x_0, t, eps))
            np.testing.assert_allclose(found.x_0, x_0, atol=1e-6)
            np.testing.assert_allclose(found.eps, eps, atol=1e-6)


def test_a_network_is_bound_to_its_inputs(ends):
    path, kind = VarianceExploding(), Preconditioned(0.5)
    x_t = diffuse(path, ends.x_0, T, ends.eps)
    seen = []

    def network(x, t):
        seen.append((x, t))
        return jnp.zeros_like(x)

    x_0_hat = bound_denoiser(path, kind, network)(x_t, T)
    np.testing.assert_allclose(x_0_hat, preconditioning.c_skip(path, T, 0.5)[:, None] * x_t, rtol=1e-6)
    np.testing.assert_allclose(seen[0][0], preconditioning.c_in(path, T, 0.5)[:, None] * x_t, rtol=1e-6)
    np.testing.assert_allclose(seen[0][1], np.log(T) / 4, rtol=1e-5)
    velocity = bound_velocity(path, kind, network)(x_t, T)
    np.testing.assert_allclose(velocity, (x_t - x_0_hat) / T[:, None], rtol=1e-3, atol=1e-5)  # EDM, equation 1


def test_edm_has_the_coefficients_of_its_table():
    """Karras et al. 2022, table 1; and each is what it is for: unit variance of inputs and targets, smallest error."""
    path, s, t = VarianceExploding(), 0.5, jnp.asarray([0.002, 0.3, 1.0, 80.0])
    sigma = np.asarray(t, np.float64)
    c_in, c_skip, c_out = (f(path, t, s) for f in (preconditioning.c_in, preconditioning.c_skip, preconditioning.c_out))
    np.testing.assert_allclose(c_in, 1 / np.sqrt(s**2 + sigma**2), rtol=1e-6)
    np.testing.assert_allclose(c_skip, s**2 / (sigma**2 + s**2), rtol=1e-6)
    np.testing.assert_allclose(c_out, sigma * s / np.sqrt(sigma**2 + s**2), rtol=1e-6)
    np.testing.assert_allclose(preconditioning.c_noise(path, t), np.log(sigma) / 4, rtol=1e-6)
    np.testing.assert_allclose(preconditioning.weight(path, t, s), (sigma**2 + s**2) / (sigma * s) ** 2, rtol=1e-5)
    for general in (*PATHS,):
        at = T[:50]
        alpha, sigma = (np.asarray(value, np.float64) for value in (general.alpha(at), general.sigma(at)))
        in_, skip, out = (
            np.asarray(f(general, at, s), np.float64)
            for f in (preconditioning.c_in, preconditioning.c_skip, preconditioning.c_out)
        )
        np.testing.assert_allclose(in_**2 * (alpha**2 * s**2 + sigma**2), 1, rtol=1e-5)
        # The variance of x_0 - c x_t for data of variance s^2, at c = c_skip and beside it: c_out^2 is the smallest.
        error = lambda c, alpha=alpha, sigma=sigma: s**2 * (1 - c * alpha) ** 2 + c**2 * sigma**2  # noqa: E731
        np.testing.assert_allclose(error(skip), out**2, rtol=1e-4)
        assert (error(skip + 1e-2) > out**2).all() and (error(skip - 1e-2) > out**2).all()


def test_targets_of_preconditioned_data_have_unit_variance(key):
    x_0, eps = 0.5 * jax.random.normal(key, (40_000, 1)), jax.random.normal(jax.random.key(1), (40_000, 1))
    for path, t in ((VarianceExploding(), 0.01), (VarianceExploding(), 40.0), (Linear(), 0.4)):
        x_t = diffuse(path, x_0, t, eps)
        x_in, _ = Preconditioned(0.5).inputs(path, x_t, jnp.full(40_000, t))
        target = Preconditioned(0.5).target(path, x_0, t, eps)
        for values in (x_in, target):
            assert abs(float(jnp.square(values).mean()) - 1) < 4 * math.sqrt(2 / 40_000)
        # A network can do no better than 0 on Gaussian data: the target has nothing to do with x_t.
        assert abs(float((target * x_in).mean())) < 4 / math.sqrt(40_000)


def test_guidance_at_its_limits(key):
    x, t = jax.random.normal(key, (3, 2)), jnp.full(3, 0.5)
    condition, null = {"label": jnp.array([0.0, 1.0, 2.0])}, {"label": jnp.full(3, 9.0)}

    def predict(x, t, condition):
        return x * t[:, None] + condition["label"][:, None]

    for w, truth in ((0.0, predict(x, t, null)), (1.0, predict(x, t, condition))):
        np.testing.assert_allclose(guided(predict, w, condition, null)(x, t), truth, rtol=1e-6)
    c, u = predict(x, t, condition), predict(x, t, null)
    np.testing.assert_allclose(guided(predict, jnp.float32(3.0), condition, null)(x, t), u + 3 * (c - u), rtol=1e-6)
    with pytest.raises(ValueError, match="w must be a finite number, got nan"):
        guided(predict, float("nan"), condition, null)
    with pytest.raises(ValueError, match="condition and null must have equal shapes"):
        guided(predict, 1.0, condition, {"label": jnp.zeros(2)})(x, t)
    inside, t = guided(predict, 3.0, condition, null, interval=(0.4, 0.8)), jnp.array([0.2, 0.5, 0.9])
    c, u = predict(x, t, condition), predict(x, t, null)
    np.testing.assert_allclose(inside(x, t), c + jnp.array([[0.0], [2.0], [0.0]]) * (c - u), rtol=1e-5)
    with pytest.raises(ValueError, match=r"interval\[1\] must be a finite number above 0\.5, got 0\.5"):
        guided(predict, 3.0, condition, null, interval=(0.5, 0.5))
    with pytest.raises(ValueError, match=r"condition must be a pytree of arrays .* to guide towards, got None"):
        guided(predict, 3.0, None, None)


def test_guiding_any_prediction_guides_the_others(key):
    """u + w (c - u) means the same in eps, x_0, v and the velocity."""
    path, t = Cosine(), jnp.full(4, 0.4)
    x_t, c, u = jax.random.normal(key, (3, 4, 5))  # predictions of eps
    w = 2.5
    truth = prediction.ends_from_eps(path, x_t, t, u + w * (c - u))
    ends_c, ends_u = (prediction.ends_from_eps(path, x_t, t, eps) for eps in (c, u))
    for convert in (prediction.v_from_ends, prediction.velocity_from_ends, lambda path, t, ends: ends.x_0):
        there_c, there_u, there = (convert(path, t, ends) for ends in (ends_c, ends_u, truth))
        np.testing.assert_allclose(there_u + w * (there_c - there_u), there, rtol=1e-4, atol=1e-5)
