"""Inpainting by replacement against its exact moments on a Gaussian: limits, bias, and what repetition does to it."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from jaxgen import data
from jaxgen.paths import Cosine, ancestral, even_times, inpaint
from jaxgen.paths.inpainting import moves

PATH, SIZE, NUM = Cosine(), 3, 20_000
COVARIANCE = 0.8 ** np.abs(np.subtract.outer(np.arange(SIZE), np.arange(SIZE)))
MASK = np.array([True, False, False])
KNOWN = np.array([1.5, np.nan, np.nan], np.float32)
TIMES = even_times(12)
EXACT = data.conditioned(data.Gaussian(np.zeros(SIZE), COVARIANCE), np.array([0]), KNOWN[:1])


def gain(alpha, sigma):
    """E[x_0 | x_t] = G x_t of N(0, C)."""
    return alpha * COVARIANCE @ np.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * np.eye(SIZE))


@jax.jit
def denoise(x, t):
    alpha, sigma = PATH.alpha(t[0]), PATH.sigma(t[0])
    inner = alpha**2 * COVARIANCE.astype(np.float32) + sigma**2 * jnp.eye(SIZE)
    return alpha * jnp.linalg.solve(inner, COVARIANCE.astype(np.float32) @ x.T).T


def moments(repeats, jump):
    """Mean and covariance of all dimensions at the data, step by step in float64."""
    alpha, sigma = (np.asarray(f(np.array(TIMES)), np.float64) for f in (PATH.alpha, PATH.sigma))
    kept_mask, known = np.diag(MASK), np.where(MASK, np.nan_to_num(KNOWN), 0)
    mean, covariance = alpha[0] * known, sigma[0] ** 2 * np.eye(SIZE)
    for i, lifted in zip(*moves(len(TIMES) - 1, repeats, jump), strict=True):
        if lifted > i:
            up = alpha[i] / alpha[lifted]
            mean, covariance = up * mean, up**2 * covariance
            covariance += (sigma[i] ** 2 - (up * sigma[lifted]) ** 2) * np.eye(SIZE)
        ratio = 0 if i == 0 else (alpha[i] * sigma[i + 1] / (alpha[i + 1] * sigma[i])) ** 2
        added = sigma[i + 1] ** 2 * (1 - ratio)
        g = gain(alpha[i], sigma[i])
        step = alpha[i + 1] * g + np.sqrt(sigma[i + 1] ** 2 - added) * (np.eye(SIZE) - alpha[i] * g) / sigma[i]
        step = (np.eye(SIZE) - kept_mask) @ step
        mean = step @ mean + alpha[i + 1] * known
        covariance = step @ covariance @ step.T + added * (np.eye(SIZE) - kept_mask)
        covariance += sigma[i + 1] ** 2 * kept_mask
    return mean, covariance


@pytest.mark.parametrize(("repeats", "jump"), [(1, 1), (3, 4)])
def test_moments_on_a_gaussian_are_those_of_linear_algebra(repeats, jump, key):
    key_start, key_steps = jax.random.split(key)
    known, mask = (jnp.broadcast_to(row, (NUM, SIZE)) for row in (KNOWN, MASK))

    @jax.jit
    def drawn(x):
        return inpaint(key_steps, denoise, PATH, x, TIMES, known, mask, repeats=repeats, jump=jump)

    x = np.asarray(drawn(jax.random.normal(key_start, (NUM, SIZE))), np.float64)
    np.testing.assert_array_equal(x[:, 0], KNOWN[0])
    mean, covariance = moments(repeats, jump)
    mean, covariance = mean[1:], covariance[1:, 1:]
    assert (abs(x[:, 1:].mean(axis=0) - mean) < 4 * np.sqrt(np.diag(covariance) / NUM)).all()
    spread = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / NUM)
    assert (abs(np.cov(x[:, 1:].T) - covariance) < 4 * spread).all()


def test_repetition_takes_away_most_of_the_bias():
    """Replacement alone forgets a part of what is known; the more often it is repeated, the less."""
    errors = [abs(moments(repeats, 1)[0][1:] - EXACT.mean).max() for repeats in (1, 4, 16)]
    assert errors[0] > 0.3 and errors[2] < 0.1
    assert errors[0] > errors[1] > errors[2]


def test_without_anything_known_it_is_the_ancestral_sampler_draw_for_draw(key):
    x = jax.random.normal(key, (4, SIZE))
    nothing, all_of_it = jnp.zeros((4, SIZE), bool), jnp.ones((4, SIZE), bool)
    found = inpaint(key, denoise, PATH, x, TIMES, x, nothing)
    np.testing.assert_allclose(found, ancestral(key, denoise, PATH, x, TIMES), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(inpaint(key, denoise, PATH, x, TIMES, x, all_of_it, repeats=2), x)


def test_a_sample_does_not_depend_on_its_company(key):
    x = jax.random.normal(key, (4, SIZE))
    known, mask = (jnp.broadcast_to(row, (4, SIZE)) for row in (KNOWN, MASK))
    index = jnp.arange(4, dtype=jnp.int32)
    whole = inpaint(key, denoise, PATH, x, TIMES, known, mask, repeats=2, jump=3)
    alone = inpaint(key, denoise, PATH, x[2:3], TIMES, known[:1], mask[:1], repeats=2, jump=3, index=index[2:3])
    np.testing.assert_allclose(alone[0], whole[2], rtol=1e-5, atol=1e-6)


def test_the_order_of_the_steps():
    starts, lifted = moves(3, 2, 2)
    assert starts.tolist() == [0, 1, 0, 1, 2, 2]
    assert lifted.tolist() == [0, 1, 2, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": jnp.ones((2, SIZE), np.float32)}, r"mask must have dtype bool, got float32|typechecking parameter"),
        ({"mask": jnp.ones((2, 1), bool)}, r"mask must have shape \(2, 3\), got \(2, 1\)|typechecking parameter"),
        ({"repeats": 0}, "repeats must be an integer of at least 1, got 0"),
        ({"jump": 0}, "jump must be an integer of at least 1, got 0"),
        ({"times": (0.0, 1.0)}, "times must hold numbers that fall throughout"),
    ],
)
def test_errors(change, message, key):
    x = jnp.zeros((2, SIZE))
    given = {"times": TIMES, "known": x, "mask": jnp.ones((2, SIZE), bool), **change}
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match=message):
        inpaint(key, denoise, PATH, x, **given)
