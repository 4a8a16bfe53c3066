"""Examples with missing parts, completed in two ways by one model.

given the mask        the model takes the seen pixels and the mask (`Concat`), and draws what is missing
without a mask        the same model, told that nothing is seen, is unconditional; `jaxgen.paths.inpaint` puts the
                      seen pixels back at every level
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import nn, paths
from jaxgen.core import GenerativeModel, PRNGKey, Spec
from jaxgen.data import masks, space
from jaxgen.events import require_bools, require_shape
from jaxgen.experiments._ddpm import Sampler
from jaxgen.rehearsal import host

GIVEN = ("known", "seen")
"""Seen pixels (0 where there are none), and whether a pixel is seen, one for all channels."""

CONDITION = {name: nn.Concat(dropout=0.0) for name in GIVEN}

Complete: TypeAlias = Callable[[PRNGKey, Any, np.ndarray, np.ndarray], np.ndarray]
"""(key, variables, x [n, *space, c], seen [n, *space, 1]) -> x where it is seen and draws elsewhere, in data space."""


def given(x: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of some examples, in storage dtype.

    Raises:
        ValueError: A mask that is not bool, or not of the size of x with one channel.
    """
    require_bools(seen=seen)
    require_shape((*np.shape(x)[:-1], 1), seen=seen)
    return {"known": np.where(seen, x, np.zeros((), x.dtype)), "seen": np.asarray(seen)}


def fields(key: PRNGKey, x: np.ndarray) -> dict[str, np.ndarray]:
    """Fields of a split with a mask for each example, of every kind in turn."""
    return given(x, np.asarray(masks.drawn(key, len(x), x.shape[1:-1]))[..., None])


def conditional(model: GenerativeModel, spec: Spec, sampler: Sampler) -> Complete:
    """Completion by the model that is given the mask."""

    def complete(key: PRNGKey, variables: Any, x: np.ndarray, seen: np.ndarray) -> np.ndarray:
        drawn = model.sample(key, variables, len(x), condition=given(x, seen), sampler=sampler)
        return np.where(seen, host(space.to_unit(x, spec)), host(drawn))

    return complete


def replaced(model: GenerativeModel, spec: Spec, levels: int, repeats: int, jump: int) -> Complete:
    """Completion by the model as one that knows of no mask, see `jaxgen.paths.inpaint`.

    Args:
        model: Diffusion model that is given `GIVEN`.
        spec: Description of the data.
        levels: Number of levels to visit; the model's own number if it has fewer.
        repeats: How often each stretch of levels is gone down.
        jump: Levels of a stretch.
    """
    schedule = model.parts.schedule
    path = paths.Tabulated(tuple(schedule.alpha_bar[1:].tolist()))
    last = schedule.num_timesteps
    times = np.unique(np.rint(np.linspace(0, last, min(levels, last) + 1)))[::-1] / last

    @jax.jit
    def drawn(key: PRNGKey, variables: Any, x: Array, seen: Array) -> Array:
        known, mask = space.to_model(x, spec), jnp.broadcast_to(seen, x.shape)
        nothing = {"known": jnp.zeros(x.shape, x.dtype), "seen": jnp.zeros(seen.shape, jnp.bool_)}
        bound = model.parts.bind(variables, condition=nothing)

        def eps_hat(x_t: Array, t: Array) -> Array:
            return bound(x_t, jnp.rint(last * t).astype(jnp.int32)).eps_hat

        exact = paths.bound_denoiser(path, paths.Eps(), eps_hat)

        def denoise(x_t: Array, t: Array) -> Array:
            x_0_hat = exact(x_t, t)
            return x_0_hat if spec.levels is None else jnp.clip(x_0_hat, -1, 1)

        key_start, key_steps = jax.random.split(key)
        start = paths.noise(key_start, path, 1.0, jnp.arange(len(x), dtype=jnp.int32), x.shape[1:])
        found = paths.inpaint(key_steps, denoise, path, start, times, known, mask, repeats=repeats, jump=jump)
        return space.from_model(found, spec)

    def complete(key: PRNGKey, variables: Any, x: np.ndarray, seen: np.ndarray) -> np.ndarray:
        given(x, seen)  # for its errors
        return np.where(seen, host(space.to_unit(x, spec)), host(drawn(key, variables, jnp.asarray(x), seen)))

    return complete
