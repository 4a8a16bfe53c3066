"""Orders of convergence in float64, against the exact flow of a Gaussian and of a mixture on a line."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.paths import (
    Cosine,
    Linear,
    LinearBeta,
    LinearLogSNR,
    VarianceExploding,
    ancestral,
    dpm_solver_pp,
    euler,
    even_times,
    heun,
    log_snr_times,
    oracle,
)

GAUSSIAN = oracle.gaussian(np.array([0.5]), 0.4)
MIXTURE = oracle.GaussianMixture(np.array([[1.0], [-0.8], [0.2]]), np.array([0.3, 0.5, 0.4]), np.array([0.4, 0.4, 0.2]))
PATHS = {Linear(): (0.9, 0.1), Cosine(): (0.9, 0.1), LinearBeta(): (0.8, 0.15), VarianceExploding(): (4.0, 0.3)}
STARTS = np.array([[-2.1], [-0.7], [0.1], [0.6], [1.9]])


def named(value):
    return type(value).__name__


def solvers(path, data):
    """By name: a sampler (x, times), its order."""
    velocity, denoise = functools.partial(data.velocity, path), functools.partial(data.denoise, path)
    multistep = functools.partial(dpm_solver_pp, denoise, path)
    return {
        "euler": (functools.partial(euler, velocity), 1),
        "ancestral": (functools.partial(ancestral, jax.random.key(0), denoise, path, eta=0.0), 1),
        "heun": (functools.partial(heun, velocity, correct_last=True), 2),
        "dpm_solver_pp 1": (functools.partial(multistep, order=1), 1),
        "dpm_solver_pp 2": (functools.partial(multistep, order=2), 2),
        "dpm_solver_pp 3": (functools.partial(multistep, order=3), 3),
    }


def slopes(solve, grids, x, exact):
    """log2 of the ratio of errors from each grid to the next, of twice the steps."""
    errors = [float(jnp.abs(jax.jit(lambda x, t=times: solve(x, times=t))(x) - exact).max()) for times in grids]
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_the_third_order_is_one():
    """The others are of first and second order in `test_paths_sampler`, in float32."""
    path, (start, end) = Linear(), PATHS[Linear()]
    solve, order = solvers(path, MIXTURE)["dpm_solver_pp 3"]
    with jax.enable_x64(True):
        x = jnp.asarray(STARTS)
        exact = jax.jit(lambda x: MIXTURE.flow(path, x, start, end))(x)
        grids = [log_snr_times(path, n + 1, start, end)[:-1] for n in (64, 128)]
        assert (abs(slopes(solve, grids, x, exact) - order) < 0.3).all()


@pytest.mark.slow
@pytest.mark.parametrize(("path", "data"), [*((path, MIXTURE) for path in PATHS), (Linear(), GAUSSIAN)], ids=named)
def test_every_solver_has_its_order(path, data):
    start, end = PATHS[path]
    with jax.enable_x64(True):
        x = jnp.asarray(STARTS * float(path.sigma(start)))
        exact = data.flow(path, x, start, end)
        grids = [log_snr_times(path, n + 1, start, end)[:-1] for n in (64, 128)]
        for name, (solve, order) in solvers(path, data).items():
            found = slopes(solve, grids, x, exact)
            assert (abs(found - order) < 0.3).all(), f"{name}: slopes {found}, order {order}"


@pytest.mark.slow
@pytest.mark.parametrize("path", [Linear(), LinearLogSNR()], ids=named)
def test_from_data_to_noise_and_back(path):
    """Up they are of the same order, and the way back meets the start."""
    start, end = (0.1, 0.9) if path == Linear() else (0.3, 0.9)
    with jax.enable_x64(True):
        x = jnp.asarray(STARTS)
        exact = MIXTURE.flow(path, x, start, end)
        np.testing.assert_allclose(MIXTURE.flow(path, exact, end, start), x, atol=1e-10)
        grids = [log_snr_times(path, n + 1, end, start)[:-1][::-1] for n in (64, 128)]
        both_ways = solvers(path, MIXTURE)
        del both_ways["ancestral"]
        for name, (solve, order) in both_ways.items():
            found = slopes(solve, grids, x, exact)
            assert (abs(found - order) < 0.35).all(), f"{name}: slopes {found}, order {order}"
            there = solve(x, times=grids[-1])
            back = jnp.abs(solve(there, times=grids[-1][::-1]) - x).max()
            assert float(back) < 30 * float(jnp.abs(there - exact).max())


def test_the_last_step_to_the_data_and_the_first_from_noise_keep_the_third_order_finite():
    path = Linear()
    solve, _ = solvers(path, MIXTURE)["dpm_solver_pp 3"]
    with jax.enable_x64(True):
        x = jnp.asarray(STARTS)
        exact = MIXTURE.flow(path, x, 1.0)
        errors = [
            float(jnp.abs(jax.jit(functools.partial(solve, times=even_times(n)))(x) - exact).max())
            for n in (2, 20, 160)
        ]
    assert (np.diff(errors) < 0).all() and errors[-1] < 2e-3


def test_the_flow_of_a_mixture_keeps_its_distribution_function():
    path, x = Cosine(), jnp.asarray([[-6.0], [-1.0], [0.3], [4.0]], jnp.float32)
    at = [path.alpha(0.8), path.sigma(0.8)]

    def cdf(x, alpha, sigma):
        deviations = np.sqrt(float(alpha) ** 2 * MIXTURE.stds**2 + float(sigma) ** 2)
        return stats.norm.cdf(x, float(alpha) * MIXTURE.means[:, 0], deviations) @ MIXTURE.weights

    alone = oracle.GaussianMixture(GAUSSIAN.means, GAUSSIAN.stds, GAUSSIAN.weights)

    @jax.jit
    def flows(x):
        x_0 = MIXTURE.flow(path, x, 0.8)
        return x_0, MIXTURE.flow(path, x_0, 0.0, 0.8), alone.flow(path, x, 0.8), GAUSSIAN.flow(path, x, 0.8)

    x_0, back, *of_one = flows(x)
    np.testing.assert_allclose(cdf(x_0, 1, 0), cdf(x, *at), rtol=2e-3)
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-4)  # in both tails too
    np.testing.assert_allclose(*of_one, rtol=1e-4)
    with pytest.raises(ValueError, match=r"flow must be asked for events of one dimension, got shape \(2,\)"):
        oracle.GaussianMixture(np.zeros((1, 2)), np.ones(1), np.ones(1)).flow(path, jnp.zeros((1, 2)), 0.5)


@pytest.mark.slow
def test_the_flow_of_a_mixture_solves_its_equation():
    """Its derivative along t is the velocity, so that the average velocity is one over the velocities on the way."""
    path, x = Linear(), jnp.asarray(STARTS, jnp.float32)
    _, slope = jax.jit(
        lambda x: jax.jvp(lambda s: MIXTURE.flow(path, x, 0.5, s), (jnp.float32(0.5),), (jnp.float32(1),))
    )(x)
    np.testing.assert_allclose(slope, MIXTURE.velocity(path, x, 0.5), rtol=1e-3, atol=1e-4)

    @jax.jit
    def means(x):
        times = jnp.linspace(0.8, 0.3, 201)
        on_the_way = jax.vmap(lambda s: MIXTURE.velocity(path, MIXTURE.flow(path, x, 0.8, s), s))(times)
        simple = 0.5 * (on_the_way[1:] + on_the_way[:-1])
        return MIXTURE.average_velocity(path, x, 0.8, 0.3), simple.mean(axis=0)

    np.testing.assert_allclose(*means(x), rtol=1e-3, atol=1e-4)
    at_once = MIXTURE.average_velocity(path, x, jnp.full(5, 0.4), jnp.full(5, 0.4))
    np.testing.assert_allclose(at_once, MIXTURE.velocity(path, x, 0.4), rtol=1e-6)
