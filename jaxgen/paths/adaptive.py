"""The flow and its log-density by a solver that chooses its own steps, where diffrax is installed.

Each example has its own steps, made as small as its tolerance asks for, so that none depends on its batch. Tsitouras'
method of order 5 is used (the package's `Tsit5`); the fixed steps of `jaxgen.paths.ode` and `.flow` need no package.
"""

import importlib.util
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_events
from jaxgen.paths.flow import change_of_variables, prior_log_prob
from jaxgen.paths.ode import Slope, sloped
from jaxgen.paths.prediction import Predict

_Event: TypeAlias = Float[Array, "b *event"]


def adaptive_flow(
    velocity: Predict,
    x: _Event,
    start: float,
    end: float,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 4096,
) -> _Event:
    """Solve the probability flow dx / dt = u(x, t) to a tolerance.

    Args:
        velocity: (x_t, t) -> dx / dt; no example may depend on another.
        x: States at `start`.
        start: Time of the states.
        end: Time of the result, above or below.
        rtol: Error of each step relative to the state that is allowed.
        atol: Absolute error of each step that is allowed.
        max_steps: Largest number of steps; an example that needs more is NaN.

    Returns:
        States at `end`.

    Raises:
        ImportError: diffrax is not installed.
        ValueError: Times that are equal or negative, or a tolerance that is not positive.
    """
    require_events(x=x)
    _check(start, end, rtol, atol, max_steps)
    slope = sloped(velocity)
    return jax.vmap(lambda x: _one(slope, x[None], start, end, rtol, atol, max_steps)[0])(x)


def adaptive_log_prob(
    velocity: Predict,
    x_0: _Event,
    start: float,
    end: float,
    *,
    prior_std: float = 1.0,
    signs: _Event | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 4096,
) -> Float[Array, " b"]:
    """The log-density that the probability flow gives to data, to a tolerance: `flow_log_prob` without its times.

        log p(x_0) = log N(x_T; 0, prior_std^2 I) + int div u dt

    Args:
        velocity: (x_t, t) -> dx / dt; no example may depend on another.
        x_0: Data, taken as states at `start`.
        start: Time of the data, 0 if the velocity is known there.
        end: Time at which x is taken to be noise.
        prior_std: Standard deviation of that noise.
        signs: Draws of `random_signs`; None for the exact divergence.
        rtol: Error of each step, relative to the state and to the log-density, that is allowed.
        atol: Absolute error of each step that is allowed, in nats for the log-density.
        max_steps: Largest number of steps; an example that needs more is NaN.

    Returns:
        One log-density per example, in nats.

    Raises:
        ImportError: diffrax is not installed.
        ValueError: Times that do not rise, or a number out of its range.

    Source: Chen et al. 2018 (neural ODEs), theorem 1; Grathwohl et al. 2019 (FFJORD), section 3; Tsitouras 2011.
    """
    require_events(x_0=x_0)
    require.number("prior_std", prior_std, above=0)
    require.number("start", start, 0)
    require.number("end", end, above=start)
    if signs is not None:
        require_events(x_0=x_0, signs=signs)
    _check(start, end, rtol, atol, max_steps)

    def of_one(x: Array, signs: Array | None) -> tuple[Array, Array]:
        slope = change_of_variables(velocity, None if signs is None else signs[None])
        return _one(slope, (x[None], jnp.zeros(1, x.dtype)), start, end, rtol, atol, max_steps)

    x_T, total = jax.vmap(of_one, in_axes=(0, None if signs is None else 0))(x_0, signs)
    return prior_log_prob(x_T[:, 0], prior_std) + total[:, 0]


def _check(start: float, end: float, rtol: float, atol: float, max_steps: int) -> None:
    if importlib.util.find_spec("diffrax") is None:
        raise ImportError("steps of adaptive length need diffrax: pip install 'jaxgen[ode]'")
    require.number("start", start, 0)
    require.number("end", end, 0)
    if start == end:
        raise ValueError(f"end must be another time than start={start:g}, got {end!r}")
    require.number("rtol", rtol, above=0)
    require.number("atol", atol, above=0)
    require.size("max_steps", max_steps)


def _one(slope: Slope, y: Any, start: float, end: float, rtol: float, atol: float, max_steps: int) -> Any:
    """y at `end` of one example; NaN where there are too many steps."""
    import diffrax  # an optional dependency, half a second of imports

    dtype = jax.tree.leaves(y)[0].dtype
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: slope(y, jnp.asarray(t, dtype))),
        diffrax.Tsit5(),
        jnp.asarray(start, dtype),
        jnp.asarray(end, dtype),
        None,
        y,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=max_steps,
        throw=False,
    )
    solved = solution.result == diffrax.RESULTS.successful
    return jax.tree.map(lambda leaf: jnp.where(solved, leaf[0], jnp.nan), solution.ys)
