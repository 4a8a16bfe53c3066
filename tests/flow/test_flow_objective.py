"""The bound in continuous time against entropies and closed forms, on every path; losses in closed form."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.distributions import normal_kl
from jaxgen.flow.objective import (
    Bound,
    continuous_bound,
    diffusion_cost,
    prior_cost,
    reconstruction_cost,
    velocity_loss,
    weighted_loss,
)
from jaxgen.flow.oracle import GreyLevels, gaussian_bound
from jaxgen.paths import (
    Cosine,
    Ends,
    LearnedLogSNR,
    Linear,
    LinearBeta,
    LinearLogSNR,
    LogitNormal,
    Uniform,
    VarianceExploding,
    oracle,
)
from jaxgen.paths.path import signal_and_noise
from jaxgen.paths.prediction import diffuse

DATA = oracle.gaussian(np.zeros(3), 1.0)
OTHER = oracle.gaussian(np.array([0.5, -0.3, 1.0]), 0.4)
ENDS = {
    Linear(): (1e-3, 0.999),
    Cosine(): (1e-3, 0.999),
    LinearBeta(): (1e-4, 1.0),
    VarianceExploding(): (1e-3, 500.0),
    LinearLogSNR(-14.0, 13.3): (0.0, 1.0),
}
OTHER_2D = oracle.gaussian(np.zeros(2), 0.4)
LEVELS = GreyLevels(np.array([0.1, 0.4, 0.2, 0.25, 0.05]))


def named(value):
    return type(value).__name__


def bound_of(data, path, x_0, key, **options):
    t_0, t_1 = ENDS[path]
    options = {"levels": None, "t_0": t_0, "t_1": t_1, "num_draws": 4} | options
    ends = functools.partial(data.ends, path)
    return jax.jit(lambda key, x: continuous_bound(key, ends, path, x, **options))(key, x_0)


def within(values, expected, errors=4.0, slack=0.0):
    values = np.asarray(values, np.float64)
    assert abs(values.mean() - expected) < errors * values.std() / math.sqrt(len(values)) + slack


@pytest.mark.parametrize(
    ("path", "data"),
    [
        *((path, DATA) for path in ENDS),
        (Linear(), OTHER),
        *(pytest.param(path, OTHER, marks=pytest.mark.slow) for path in list(ENDS)[1:]),
    ],
    ids=named,
)
def test_the_bound_of_gaussian_data_is_their_entropy_on_every_path(path, data, key):
    """The data are drawn as well, and their own cost is known: it is compared example by example."""
    x_0 = data.sample(key, 2000)
    found = bound_of(data, path, x_0, jax.random.key(1))
    exact = gaussian_bound(data, path, *ENDS[path])
    entropy = 1.5 * math.log(2 * math.pi * math.e * float(data.stds[0]) ** 2)
    assert 0 <= exact.negative_bound - entropy < 1e-3
    within(found.negative_bound, entropy, slack=1e-3)
    for term, expected in zip(found, (exact.prior, exact.diffusion, exact.reconstruction), strict=True):
        within(term, expected)


def test_at_ends_that_are_far_from_both_the_closed_form_holds(key):
    path, t_0, t_1 = Linear(), 0.2, 0.7
    x_0 = OTHER.sample(key, 4000)
    found = bound_of(OTHER, path, x_0, key, t_0=t_0, t_1=t_1, prior_std=1.3)
    exact = gaussian_bound(OTHER, path, t_0, t_1, 1.3)
    for term, expected in zip(found, (exact.prior, exact.diffusion, exact.reconstruction), strict=True):
        within(term, expected, slack=1e-5)
    entropy = 1.5 * math.log(2 * math.pi * math.e * 0.16)
    assert exact.negative_bound > entropy + 0.1


@pytest.mark.parametrize(
    "times", [pytest.param(Uniform(1e-3, 0.999), marks=pytest.mark.slow), LogitNormal(0.0, 2.0)], ids=named
)
def test_the_mean_does_not_depend_on_where_t_is_drawn(times, key):
    path = Linear()
    x_0 = OTHER.sample(key, 4000)
    found = bound_of(OTHER, path, x_0, key, times=times).diffusion
    within(found, gaussian_bound(OTHER, path, *ENDS[path]).diffusion)


@pytest.mark.parametrize("path", [Linear(), pytest.param(VarianceExploding(), marks=pytest.mark.slow)], ids=named)
def test_the_bound_of_grey_levels_is_their_log_probability(path, key):
    """With the exact posterior it is tight at each example, not only on average."""
    grid = np.linspace(-1, 1, 5)
    x_0 = jnp.asarray(np.repeat(grid, 1500)[:, None].repeat(2, 1), jnp.float32)
    found = bound_of(LEVELS, path, x_0, key, levels=5, num_draws=8).negative_bound
    for level, values in enumerate(np.asarray(found).reshape(5, -1)):
        within(values, -2 * math.log(LEVELS.probabilities[level]))
    np.testing.assert_allclose(LEVELS.log_prob(x_0[::1500]), 2 * np.log(LEVELS.probabilities), rtol=1e-6)
    drawn = LEVELS.sample(key, 4000, (1,))
    counts = [float(jnp.mean(jnp.abs(drawn - level) < 1e-3, dtype=jnp.float32)) for level in grid.astype(np.float32)]
    np.testing.assert_allclose(counts, LEVELS.probabilities, atol=4 * 0.5 / math.sqrt(4000))


@pytest.mark.slow
def test_of_a_learned_path_the_ends_alone_count(key):
    """Two ways between the same ends: one mean, by draws that are uniform in t; and a gradient for the ends."""
    learned, x_0 = LearnedLogSNR(-6.0, 8.0, num_features=8), OTHER.sample(key, 4000)
    exact = gaussian_bound(OTHER, LinearLogSNR(-6.0, 8.0))

    @jax.jit
    def bounds(params):
        def diffusion(params):
            path = learned.path(params)
            ends = functools.partial(OTHER.ends, path)
            return continuous_bound(key, ends, path, x_0, levels=None, times=Uniform()).diffusion

        def mean(ends):
            return diffusion({**params, "ends": ends}).mean()

        return diffusion(params), jax.grad(mean)(params["ends"])

    params = learned.init(jax.random.key(5))
    bent = {**params, "way": {**params["way"], "gain": 20 * params["way"]["gain"]}}
    high = 0.5 * 3 * 0.16 * math.exp(8) / (1 + 0.16 * math.exp(8))  # the derivative of the closed form
    for found, slope in (bounds(params), bounds(bent)):
        within(found, exact.diffusion)
        np.testing.assert_allclose(slope["high"], high, rtol=0.3)
    (plain, _), (curved, _) = bounds(params), bounds(bent)
    assert float(jnp.abs(curved - plain).mean()) > 0.05 * float(plain.mean())  # the same draws, by other ways


@pytest.mark.slow
def test_the_way_of_a_learned_path_can_be_trained_to_lessen_the_noise(key):
    learned, tx = LearnedLogSNR(-6.0, 12.0, num_features=16), optax.adam(3e-2)
    params = learned.init(key)

    def diffusion(way, key):
        key_x, key = jax.random.split(key)
        path = learned.path({**params, "way": way})
        ends = functools.partial(OTHER.ends, path)
        x_0 = OTHER.sample(key_x, 512)
        return continuous_bound(key, ends, path, x_0, levels=None, times=Uniform()).diffusion

    def step(i, state):
        # The mean is the same whatever the way, so that the mean square is least where the variance is.
        gradient = jax.grad(lambda way: jnp.square(diffusion(way, jax.random.fold_in(key, i))).mean())(state[0])
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = tx.update(gradient, state[1])
        return optax.apply_updates(state[0], updates), moments

    trained, _ = jax.jit(lambda s: jax.lax.fori_loop(0, 300, step, s))((params["way"], tx.init(params["way"])))
    before, after = (np.asarray(diffusion(way, jax.random.key(9))) for way in (params["way"], trained))
    assert after.std() < 0.9 * before.std()
    exact = gaussian_bound(OTHER, LinearLogSNR(-6.0, 12.0)).diffusion
    within(after, exact)


def test_with_float64_about_all_stays_float32(key):
    path = LinearLogSNR()
    ends = functools.partial(OTHER_2D.ends, path)
    with jax.enable_x64(True):
        found = jax.eval_shape(
            lambda x: [
                continuous_bound(key, ends, path, x, levels=5, t_0=0.1, t_1=0.9, times=times)
                for times in (None, Uniform(0.1, 0.9))
            ],
            jnp.zeros((3, 2), jnp.float32),
        )
        assert {term.dtype for bound in found for term in bound} == {jnp.dtype("float32")}


def test_draws_belong_to_their_example_and_fill_the_interval_evenly(key):
    path = Linear()
    x_0 = OTHER.sample(key, 64)
    index = jnp.arange(64)
    ends = functools.partial(OTHER.ends, path)
    bound = jax.jit(
        lambda x, index: continuous_bound(key, ends, path, x, levels=None, t_0=1e-3, t_1=0.999, index=index)
    )
    whole, part = bound(x_0, index), bound(x_0[10:13], index[10:13])
    for all_of_them, some in zip(whole, part, strict=True):
        np.testing.assert_allclose(some, all_of_them[10:13], rtol=2e-5)


def test_the_prior_cost_is_the_divergence_of_the_noisy_end(key):
    x_0 = jax.random.normal(key, (4, 2, 3))
    for path, t_1 in ((Linear(), 0.9), (VarianceExploding(), 20.0)):
        alpha, sigma = (float(v) for v in signal_and_noise(path, t_1, x_0))
        snr = (alpha / sigma) ** 2

        @jax.jit
        def costs(x_0, path=path, t_1=t_1, alpha=alpha, sigma=sigma):
            zero, log_var = jnp.zeros_like(x_0), jnp.full_like(x_0, 2 * math.log(sigma))
            expected = normal_kl(alpha * x_0, log_var, zero, zero)
            return prior_cost(path, x_0, t_1), prior_cost(path, x_0, t_1, 1.0), expected

        own, given, expected = costs(x_0)
        np.testing.assert_allclose(own, 0.5 * snr * np.square(x_0).sum((1, 2)), rtol=1e-5)
        np.testing.assert_allclose(given, expected, rtol=1e-5)


def test_the_reconstruction_is_the_posterior_of_equal_levels():
    path, t, levels = Linear(), 0.1, 17
    grid = np.linspace(-1, 1, levels)
    x_0 = jnp.asarray(grid[[0, 3, 16, 8]], jnp.float32)[:, None]
    x_t = jnp.asarray([[-1.2], [-0.4], [0.7], [0.02]])
    log_p = -0.5 * np.square((np.asarray(x_t, np.float64) - 0.9 * grid) / 0.1)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    expected = -log_p[np.arange(4), [0, 3, 16, 8]]

    @jax.jit
    def costs(x_t):
        whole = reconstruction_cost(path, x_0, x_t, t, levels)
        near = diffuse(path, x_0, 1e-3, jnp.ones_like(x_0))
        few = reconstruction_cost(path, x_0, x_t, t, levels, window=6)
        slope = jax.grad(lambda x: reconstruction_cost(path, x_0, x, t, levels).sum())(x_t)
        return whole, few, slope, reconstruction_cost(path, x_0, near, 1e-3, levels)

    whole, few, slope, near = costs(x_t)
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    np.testing.assert_allclose(few, expected, rtol=1e-5)
    np.testing.assert_allclose(near, 0, atol=1e-6)
    assert np.isfinite(slope).all()


def test_losses_are_weighted_squares(key):
    a, b = jax.random.normal(key, (2, 3, 2, 2))
    square = jnp.square(a - b).sum((1, 2))
    np.testing.assert_allclose(velocity_loss(a, b), square, rtol=1e-6)
    np.testing.assert_allclose(weighted_loss(a, b), square, rtol=1e-6)
    weight = jnp.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(weighted_loss(a, b, weight), weight * square, rtol=1e-6)
    t = jnp.array([0.1, 0.4, 0.9])
    np.testing.assert_allclose(diffusion_cost(Linear(), t, a, b), square / (t * (1 - t)), rtol=1e-5)


def test_the_bound_of_scaled_data():
    bound = Bound(*(jnp.array([value, value]) for value in (1.0, 2.0, 3.0)))
    np.testing.assert_allclose(bound.of_data(jnp.array([0.5, 0.0])).negative_bound, [5.5, 6.0])
    assert bound.of_data(None) is bound


class Vanishing(Linear):
    """A path of which nothing is left at t = 1."""

    def sigma(self, t):
        return (1 - t) * t


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": Linear()}, "t_0 must be a time at which the path has signal and noise, got t=0, where alpha=1 and"),
        ({"path": Linear(), "t_0": 0.1}, "t_1 must be a time at which .* alpha=0 and sigma=1"),
        ({"path": Vanishing(), "t_0": 0.1}, "t_1 must be a time at which .* alpha=0 and sigma=0"),
        ({"path": Linear(), "t_0": 0.6, "t_1": 0.4}, "t_1 must be a finite number above 0.6, got 0.4"),
        ({"path": Linear(), "t_0": -0.1, "t_1": 0.4}, "t_0 must be a finite number at least 0, got -0.1"),
        ({"path": Linear(), "t_0": 0.1, "t_1": 1.5}, "t_1 must be at most 1, the path's largest t, got 1.5"),
        ({"num_draws": 0}, "num_draws must be"),
        ({"times": Uniform(0.2, 0.9)}, "times must be drawn from 0.1 to 0.9, got a distribution from 0.2 to 0.9"),
        ({"times": LogitNormal(), "t_1": 0.99999}, "times must be drawn from 0.1 to 0.99999"),
        ({"levels": 1}, "levels must be"),
        ({"levels": 3}, "x_0 must be one of 3 levels"),
        ({"prior_std": 0.0}, "prior_std must be"),
        ({"levels": 5, "window": 0}, "window must be"),
    ],
)
def test_what_has_no_bound_is_refused(options, message, key):
    given = {"path": Linear(), "levels": None}
    given |= {"t_0": 0.1, "t_1": 0.9} if "path" not in options else {}
    given |= options
    path = given.pop("path")

    def bound(x):
        return continuous_bound(key, lambda x, t: Ends(x, x), path, x, **given)

    x_0 = jnp.full((2, 1), 0.5)
    with pytest.raises(ValueError, match=message):
        bound(x_0)
    if "levels" not in options:  # traced values are not checked
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(bound, x_0)


def test_data_that_are_no_levels_are_refused():
    with pytest.raises(ValueError, match="probabilities must be two or more"):
        GreyLevels(np.array([0.5, 0.6]))
