"""Metrics of training since the last record."""

from typing import Any

import flax.struct
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxgen.core import GenerativeModel, Metrics
from jaxgen.digest import flatten


@flax.struct.dataclass
class Window:
    """The metrics since the last record, kept on the device.

    Attributes:
        count: Steps in the window, int32 [].
        sums: Sum of each metric over these steps, float32 [].
        last: Value of each metric at the last step, float32 [].
        failed: First step with a metric that is not finite, -1 if there is none, int32 []. The loop stops there.
    """

    count: Any
    sums: Any
    last: Any
    failed: Any

    def add(self, metrics: Metrics, step: Int[Array, ""]) -> "Window":
        # The loop carries float32, whatever a model returns (integers, bfloat16, float64 under JAX_ENABLE_X64).
        metrics = {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()}
        finite = jnp.array(True)
        for value in metrics.values():
            finite = finite & jnp.isfinite(value)
        return Window(
            count=self.count + 1,
            sums={name: self.sums[name] + value for name, value in metrics.items()},
            last=metrics,
            failed=jnp.where(finite, self.failed, step),
        )

    def means(self) -> dict[str, float]:
        """The mean of each metric over the window, computed on the host."""
        count = max(int(self.count), 1)
        return {name: float(np.float64(value) / count) for name, value in self.sums.items()}

    def __repr__(self) -> str:
        if not isinstance(self.count, jax.Array | np.ndarray | np.generic) or isinstance(self.count, jax.core.Tracer):
            return f"Window(of {', '.join(self.sums)})"  # shapes or tracers are in place of its arrays
        means = ", ".join(f"{name} {value:.4g}" for name, value in self.means().items())
        return f"Window({int(self.count)} steps, means: {means})"


def empty_window(model: GenerativeModel, key: Any, state: Any, batch: Any) -> Window:
    """A window without steps, for the metrics that the model's step returns.

    Raises:
        ValueError: A step that returns a state of another structure, or a metric that is not a scalar.
    """
    after, metrics = jax.eval_shape(model.step, key, state, batch)
    given, returned = described(state), described(after)
    if given != returned:
        path = next(p for p in sorted({*given, *returned}) if given.get(p) != returned.get(p))
        raise ValueError(
            f"the state that step returns must have the dtypes and shapes of the one it is given: {path} was "
            f"{given.get(path, 'absent')}, got {returned.get(path, 'absent')}"
        )
    for name, value in metrics.items():
        if value.shape != ():
            raise ValueError(f"a metric of step must be a scalar, got {name} of shape {value.shape}")
    zeros = {name: np.zeros((), np.float32) for name in sorted(metrics)}
    return Window(count=np.int32(0), sums=zeros, last=dict(zeros), failed=np.int32(-1))


def described(tree: Any) -> dict[str, str]:
    """Dtype and shape of every leaf by its path."""
    shapes = jax.eval_shape(lambda tree: tree, tree)
    return {path: f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for path, leaf in flatten(shapes).items()}
