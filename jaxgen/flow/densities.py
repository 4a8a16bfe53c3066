"""Log-densities of a model by its probability flow, in the units of the data."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import Batch, PRNGKey, Spec, Variables
from jaxgen.data import space
from jaxgen.flow.denoiser import Denoiser
from jaxgen.flow.grids import Karras
from jaxgen.paths.dequantisation import dequantise, dequantised_log_prob
from jaxgen.paths.flow import LogProb, extrapolated_log_prob, flow_log_prob, random_signs

_KARRAS = Karras()


def densities(trained: Denoiser, spec: Spec) -> tuple[Callable[..., Array], Callable[..., LogProb]]:
    """The functions `log_likelihood` and `log_likelihood_and_error` of a model's parts.

    Args:
        trained: Network on its path.
        spec: Description of the data.
    """
    (t_0, t_1), event = trained.ends, spec.event_shape

    def prepared(
        key: PRNGKey, variables: Variables, fields: dict[str, Array], num_steps: int, exact: bool
    ) -> tuple[Callable[..., Any], Array]:
        """A solver's log-density of states, `solve(x)` by any of `jaxgen.paths.flow`, and what the units add to it."""
        require.typed_key("key", key)
        require.size("num_steps", num_steps)
        dynamics = trained.bind(variables, fields)
        path = dynamics.path
        with jax.ensure_compile_time_eval():
            alpha, sigma = path.alpha(t_0), path.sigma(t_1)
        prior_std = 1.0 if isinstance(sigma, jax.core.Tracer) else float(sigma)  # nearly 1, if the path is learned
        times = _KARRAS(path, t_0, t_1, num_steps + (t_0 > 0))
        times = times if t_0 == 0 else times[:-1]
        signs = None if exact else random_signs(jax.random.split(key)[1], fields["index"], event)

        def solve(by: Callable[..., Any], x: Array) -> Any:
            # The data are taken as states at t_0, where they are alpha x.
            return by(dynamics.velocity, alpha * x, times, prior_std=prior_std, signs=signs)

        volume = space.log_volume(fields["x"], spec)
        moved = spec.num_dimensions * jnp.log(alpha)
        return solve, moved if volume is None else moved + volume

    @functools.partial(jax.jit, static_argnames=("num_steps", "exact", "num_draws"))
    def log_likelihood(
        key: PRNGKey, variables: Variables, batch: Batch, num_steps: int = 100, exact: bool = False, num_draws: int = 1
    ) -> Float[Array, " b"]:
        require.size("num_draws", num_draws)
        if num_draws > 1 and (not exact or spec.levels is None):
            raise ValueError(
                f"num_draws must be 1 unless exact=True, of grey levels, got {num_draws}: the mean over draws of a "
                "density that is itself estimated is no bound"
            )
        fields = trained.fields(batch)
        solve, units = prepared(key, variables, fields, num_steps, exact)
        x = space.to_model(fields["x"], spec)

        def log_prob(x: Array) -> Array:
            return solve(flow_log_prob, x) + units

        if spec.levels is None:
            return log_prob(x)
        key, index = jax.random.split(key)[0], fields["index"]
        return dequantised_log_prob(key, log_prob, x, spec.levels, index=index, num_draws=num_draws)

    @functools.partial(jax.jit, static_argnames=("num_steps", "exact"))
    def log_likelihood_and_error(
        key: PRNGKey, variables: Variables, batch: Batch, num_steps: int = 100, exact: bool = False
    ) -> LogProb:
        fields = trained.fields(batch)
        solve, units = prepared(key, variables, fields, num_steps, exact)
        x = space.to_model(fields["x"], spec)
        if spec.levels is not None:
            x = dequantise(jax.random.split(key)[0], x, spec.levels, index=fields["index"])
            units = units + spec.num_dimensions * math.log(2 / (spec.levels - 1))
        found = solve(extrapolated_log_prob, x)
        return LogProb(found.log_prob + units, found.error)

    return log_likelihood, log_likelihood_and_error
