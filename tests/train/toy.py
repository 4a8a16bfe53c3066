"""A model without a network: it counts, adds noise, and fails when told to."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core import GenerativeModel, TrainState


@flax.struct.dataclass
class Feed:
    """Batches that only carry the step."""

    batch_size: int = flax.struct.field(pytree_node=False, default=4)

    def __call__(self, step):
        return {"x": jnp.full((4, 1), step, jnp.float32)}

    def feed(self, first, num):
        return self

    def reach(self, first):
        return 2**31 - 1

    def on(self, mesh):
        return self


def counter(fail_at: int = -1, value: float = np.nan) -> GenerativeModel:
    """params = sum of the noise so far; metric "x" is the step, "noise" the draw; not finite at step `fail_at`."""

    def init(key, batch):
        zero = jnp.zeros(())
        return TrainState(step=jnp.int32(0), params={"w": zero, "same": zero}, opt_state=(), collections={})

    @jax.jit
    def step(key, state, batch):
        noise = jax.random.normal(key)
        x = batch["x"].mean()
        bad = jnp.where(state.step == fail_at, jnp.float32(value), jnp.float32(0))
        params = {"w": state.params["w"] + noise + bad, "same": state.params["same"]}
        return state.replace(step=state.step + 1, params=params), {"x": x, "noise": noise + bad}

    return GenerativeModel(init, step, lambda *_: {}, lambda *_, **__: jnp.zeros(()), None)
