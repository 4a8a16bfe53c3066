"""Optimizers as configs: frozen dataclasses that can be written to a manifest and become optax transformations.

Any other `optax.GradientTransformation` can be passed to the model's factory instead (`tx=...`).
"""

import dataclasses
import math
from dataclasses import dataclass

import optax

from jaxgen import require


@dataclass(frozen=True)
class Constant:
    """The same learning rate at every update."""

    def schedule(self, peak: float) -> optax.Schedule:
        return optax.constant_schedule(peak)

    def lasting(self, num_steps: int) -> "Constant":
        """This schedule unchanged: it has no end."""
        return self


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine down to `final` times the peak.

    Args:
        decay_steps: Updates until the end of the decay, warm-up included; None for as long as training lasts (an
            experiment fills it in, see `Adam.lasting`).
        warmup_steps: Updates of the linear warm-up.
        final: Ratio of the last rate to the peak rate.

    Raises:
        ValueError: A number outside its range, or decay_steps that is not larger than warmup_steps or still None when
            it is needed.
    """

    decay_steps: int | None = None
    warmup_steps: int = 0
    final: float = 0.0

    def __post_init__(self):
        require.size("warmup_steps", self.warmup_steps, 0)
        require.number("final", self.final, 0, 1)
        if self.decay_steps is not None:
            require.size("decay_steps", self.decay_steps)
        if self.decay_steps is not None and self.warmup_steps >= self.decay_steps:
            raise ValueError(
                f"decay_steps must be larger than warmup_steps={self.warmup_steps}, got {self.decay_steps}"
            )

    def lasting(self, num_steps: int) -> "Cosine":
        """This schedule, with `decay_steps` set to `num_steps` where it is None."""
        return self if self.decay_steps is not None else dataclasses.replace(self, decay_steps=num_steps)

    def schedule(self, peak: float) -> optax.Schedule:
        if self.decay_steps is None:
            raise ValueError("decay_steps must be known to train, got None; give it, or use Adam.lasting(num_steps)")
        return optax.warmup_cosine_decay_schedule(
            init_value=peak if self.warmup_steps == 0 else 0.0,
            peak_value=peak,
            warmup_steps=self.warmup_steps,
            decay_steps=self.decay_steps,
            end_value=peak * self.final,
        )


@dataclass(frozen=True)
class Adam:
    """Adam with a learning-rate schedule, weight decay, clipping and accumulation of gradients.

    Args:
        learning_rate: Peak learning rate.
        schedule: Learning-rate schedule over the updates.
        b1: Decay of the first moment.
        b2: Decay of the second moment.
        tiny: Guard of the division (optax: eps).
        weight_decay: Decoupled weight decay (AdamW).
        clip_norm: Largest global norm of the gradient; None for no clipping.
        accumulate: Number of steps whose mean gradient makes one update.

    Raises:
        ValueError: A number outside its range.
    """

    learning_rate: float = 1e-3
    schedule: Constant | Cosine = Constant()
    b1: float = 0.9
    b2: float = 0.999
    tiny: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1

    def __post_init__(self):
        require.number("learning_rate", self.learning_rate, above=0)
        for name in ("b1", "b2"):
            require.number(name, getattr(self, name), 0, below=1)
        require.number("tiny", self.tiny, above=0)
        require.number("weight_decay", self.weight_decay, 0)
        if self.clip_norm is not None:
            require.number("clip_norm", self.clip_norm, above=0)
        require.size("accumulate", self.accumulate)
        require.fields(self)

    def lasting(self, num_steps: int) -> "Adam":
        """This optimizer, with a learning-rate schedule of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, schedule=self.schedule.lasting(math.ceil(num_steps / self.accumulate)))

    def transformation(self) -> optax.GradientTransformation:
        rate = self.schedule.schedule(self.learning_rate)
        tx = optax.adam(rate, b1=self.b1, b2=self.b2, eps=self.tiny)
        if self.weight_decay > 0:
            tx = optax.adamw(rate, b1=self.b1, b2=self.b2, eps=self.tiny, weight_decay=self.weight_decay)
        if self.clip_norm is not None:
            tx = optax.chain(optax.clip_by_global_norm(self.clip_norm), tx)
        if self.accumulate > 1:
            tx = optax.MultiSteps(tx, every_k_schedule=self.accumulate).gradient_transformation()
        return tx
