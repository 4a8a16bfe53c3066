"""The diffusion model as a model of the contract: trained on L_simple, judged by the bound, sampled step by step."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen import learning, require
from jaxgen.core import Batch, GenerativeModel, Label, Metrics, Objective, PRNGKey, Spec, TrainState, Variables
from jaxgen.data import space
from jaxgen.data.statistics import warn_unscaled
from jaxgen.ddpm import process
from jaxgen.ddpm.choices import Ancestral, ChosenSampler, Guidance, Sampler, check_sampler
from jaxgen.ddpm.conditioning import inpaint
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.denoiser import denoiser
from jaxgen.ddpm.flow import flow_log_prob
from jaxgen.ddpm.objective import Bound, variational_bound
from jaxgen.ddpm.process import Denoised
from jaxgen.ddpm.sampler import noise
from jaxgen.ddpm.schedule import Schedule
from jaxgen.ddpm.tables import check_t
from jaxgen.ddpm.training import training_loss
from jaxgen.draws import example_labels, example_normals, example_uniforms
from jaxgen.events import require_floats, require_integers, require_shape
from jaxgen.inputs import checked_batch, checked_draws, checked_init, checked_label, known_labels

_ALL_STEPS = Ancestral()

_LABELS = 2**32 - 1  # Folded into a key for the labels of samples; no t is so large.


class Parts(NamedTuple):
    """Functions of a diffusion model beyond the contract; the denoiser is that of the averaged parameters.

    Arguments x and batch are in storage dtype, as the data set holds them; x_t is in model space, where grey levels lie
    in [-1, 1] and real values are scaled; results are in data space (images in [0, 1], real values in their own units).

    Attributes:
        schedule: Noise schedule.
        denoise: (variables, x_t, t, label=None) -> `Denoised`, eps_hat and the variance fraction, each [B, *event].
        bind: (variables, label=None, guidance=None) -> denoise(x_t, t), as every function of `jaxgen.ddpm` takes it.
        bound: (key, variables, batch) -> `objective.Bound` with all t, step by step: T runs of the network. For real
            values it bounds the density in their own units; the derivative of the scale is in the reconstruction.
        chain: (key, variables, num, keep=..., ...) -> [kept, num, *event], the states, every `keep` steps, of the
            samples that `sample` draws with the same arguments.
        diffuse: (key, x, t) -> x_t of these data, [B, *event] in data space.
        log_likelihood: (key, variables, batch, timesteps=None) -> log p(x) by the probability flow, [B] nats; for grey
            levels, which uniform noise spreads over their bins, a lower bound of log P(x) on average; for real values
            the log-density in their own units. See `flow.flow_log_prob`.
        impute: (key, variables, batch, sampler=Ancestral(), label=None) -> x where "mask" is True and a draw elsewhere,
            [B, *event] in data space; see `conditioning.inpaint`.
        measure: Description of the quantity that the bound is of.
        discrete: Whether the bound is of discrete data, so that bits/dim are meaningful.
    """

    schedule: Schedule
    denoise: Callable[..., Denoised]
    bind: Callable[..., Callable[[Array, Array], Denoised]]
    bound: Callable[..., Bound]
    chain: Callable[..., Array]
    diffuse: Callable[..., Array]
    log_likelihood: Callable[..., Array]
    impute: Callable[..., Array]
    measure: str
    discrete: bool


def model(
    config: Config, spec: Spec, tx: optax.GradientTransformation | None = None
) -> GenerativeModel[TrainState, Parts]:
    """Build a diffusion model for data of this spec, which learns its `objective`.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        tx: Optimizer in place of the config's; None for the config's.

    Returns:
        The model; its state is a `TrainState` with a moving average.

    Raises:
        ValueError: A network that cannot take such data, conditional=True for data without labels, or flip=True for
            events that are not images.
    """
    tx = config.optimizer.transformation() if tx is None else tx
    return learning.model(objective(config, spec), tx, ema_decay=config.ema_decay, axis_name=config.axis_name)


def objective(config: Config, spec: Spec) -> Objective[Parts]:
    """Build what a diffusion model learns of data of this spec: L_simple, or L_hybrid for a learned variance.

    Args:
        config: Configuration of the model.
        spec: Description of the data.

    Returns:
        The objective; its variables are those of the denoiser.

    Raises:
        ValueError: A network that cannot take such data, conditional=True for data without labels, or flip=True for
            events that are not images.
    """
    if config.flip and len(spec.event_shape) != 3:
        raise ValueError(f"flip=True is for images of shape (height, width, channels), got {spec.event_shape}")
    network = denoiser(config, spec)
    schedule, num_classes, event = network.schedule, network.num_classes, spec.event_shape
    warn_unscaled(spec, "a diffusion model")
    clip = space.limit(spec)
    # None, for all t, unless there are more than are to be drawn.
    num_draws = config.num_draws if config.num_draws < schedule.num_timesteps - 1 else None
    fields_of = network.fields

    def init(key: PRNGKey, batch: Batch) -> Variables:
        fields_of(batch)
        return network.init(key)

    def bind(variables: Variables, label: Any = None, guidance: Any = None) -> Callable[[Array, Array], Denoised]:
        return network.bind(variables, label, guidance)

    def denoise(variables: Variables, x_t: Any, t: Any, label: Any = None) -> Denoised:
        check_t(t, schedule.num_timesteps)  # here, where it is not yet traced
        return denoised(variables, x_t, t, label)

    @jax.jit
    def denoised(variables: Variables, x_t: Array, t: Array, label: Any) -> Denoised:
        require_floats(x_t=x_t)
        require_shape((*jnp.shape(x_t)[:1], *event), x_t=x_t)
        require_integers(t=t)
        require_shape(x_t.shape[:1], t=t)
        return bind(variables, label)(x_t, t)

    def bound_of(key: Any, variables: Variables, batch: Batch, num_draws: int | None) -> Bound:
        require.typed_key("key", key)
        fields = fields_of(batch)
        found = variational_bound(
            key,
            bind(variables, fields.get("label")),
            schedule,
            space.to_model(fields["x"], spec),
            levels=spec.levels,
            index=fields["index"],
            variance=config.variance.fixed,
            clip=clip,
            num_draws=num_draws,
        )
        return found.of_data(space.log_volume(batch["x"], spec))

    @jax.jit
    def bound(key: PRNGKey, variables: Variables, batch: Batch) -> Bound:
        return bound_of(key, variables, batch, None)

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        """The three terms of the negative bound; the denoising term is estimated from the t drawn for each example."""
        found = bound_of(key, variables, batch, num_draws)
        return {
            "negative_bound": found.negative_bound,
            "prior": found.prior,
            "denoising": found.denoising,
            "reconstruction": found.reconstruction,
        }

    @functools.partial(jax.jit, static_argnames=("num", "sampler", "keep"))
    def draws(
        key: PRNGKey,
        variables: Variables,
        num: int,
        first: Any,
        label: Array | None,
        guidance: Any,
        sampler: Sampler,
        keep: int | None,
    ) -> Array:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if num_classes is not None and label is None:
            label = example_labels(jax.random.fold_in(key, _LABELS), index, num_classes, spec.labels)
        x_T = noise(key, index, event)
        variance = config.variance.fixed
        x = sampler(
            key, bind(variables, label, guidance), schedule, x_T, index=index, variance=variance, clip=clip, keep=keep
        )
        return space.from_model(x, spec)

    def chain(
        key: PRNGKey,
        variables: Variables,
        num: int,
        *,
        keep: int | None,
        first: int = 0,
        label: Any = None,
        sampler: Sampler = _ALL_STEPS,
        guidance: Any = None,
    ) -> Array:
        first = checked_draws(key, num, first)
        check_sampler(sampler)
        if keep is not None:
            require.size("keep", keep)
        if guidance is not None and not isinstance(guidance, jax.Array):
            require.number("guidance", guidance)
        label = checked_label(label, num, num_classes, spec.labels)
        return draws(key, variables, num, first, label, guidance, sampler, keep)

    def sample(
        key: PRNGKey,
        variables: Variables,
        num: int,
        *,
        first: int = 0,
        label: Label = None,
        condition: Any = None,
        sampler: ChosenSampler = _ALL_STEPS,
        guidance: Guidance = None,
    ) -> Float[Array, "num *event"]:
        """x_0 by the averaged denoiser; all noise of sample k, and its label if none is given, from fold_in(key, k)."""
        if condition is not None:
            raise ValueError("this model takes no condition, got one")
        first = checked_draws(key, num, first)
        return chain(key, variables, num, keep=None, first=first, label=label, sampler=sampler, guidance=guidance)

    def diffuse(key: PRNGKey, x: Any, t: Any) -> Float[Array, "b *event"]:
        check_t(t, schedule.num_timesteps)  # here, where it is not yet traced
        return diffused(key, x, t)

    @jax.jit
    def diffused(key: PRNGKey, x: Array, t: Any) -> Float[Array, "b *event"]:
        require.typed_key("key", key)
        x = checked_batch({"x": x}, spec)["x"]
        eps = example_normals(key, jnp.arange(x.shape[0], dtype=jnp.int32), event)
        return space.from_model(process.diffuse(schedule, space.to_model(x, spec), t, eps), spec)

    @functools.partial(jax.jit, static_argnames="timesteps")
    def log_likelihood(
        key: PRNGKey, variables: Variables, batch: Batch, timesteps: tuple[int, ...] | None = None
    ) -> Float[Array, " b"]:
        require.typed_key("key", key)
        fields = fields_of(batch)
        x, index = space.to_model(fields["x"], spec), fields["index"]
        key_dequantise, key_sign = jax.random.split(key)
        width = 1.0
        if spec.levels is not None:
            width = 2 / (spec.levels - 1)
            x = x + width * (example_uniforms(key_dequantise, index, event) - 0.5)
        denoise = bind(variables, fields.get("label"))
        log_p = flow_log_prob(key_sign, denoise, schedule, x, index=index, timesteps=timesteps)
        volume = space.log_volume(batch["x"], spec)
        return log_p + spec.num_dimensions * math.log(width) if volume is None else log_p + volume

    @functools.partial(jax.jit, static_argnames="sampler")
    def impute(
        key: PRNGKey, variables: Variables, batch: Batch, sampler: Sampler = _ALL_STEPS, label: Any = None
    ) -> Float[Array, "b *event"]:
        require.typed_key("key", key)
        check_sampler(sampler)
        fields = checked_batch(batch, spec, needs=("mask",))
        x, mask, index = space.to_model(fields["x"], spec), fields["mask"], fields["index"]

        def down(*arguments: Any, timesteps: None, **options: Any) -> Array:
            return sampler(*arguments, variance=config.variance.fixed, **options)

        known = inpaint(
            key,
            bind(variables, label),
            schedule,
            noise(key, index, event),
            x,
            mask,
            sampler=down,
            index=index,
            clip=clip,
        )
        drawn = space.from_model(known, spec)
        # Scaling and its inverse round; observed values are returned exactly as given.
        return drawn if spec.scale is None else jnp.where(mask, jnp.asarray(batch["x"]), drawn)

    def check(batch: Any) -> None:
        fields_of(batch)
        space.require_storage(batch["x"], spec)

    known = functools.partial(known_labels, num_classes=num_classes, labels=spec.labels)
    parts = Parts(
        schedule,
        known(denoise),
        known(bind),
        bound,
        chain,
        diffuse,
        log_likelihood,
        known(impute),
        space.density(spec) if spec.levels is None else f"{spec.levels} grey levels",
        spec.levels is not None,
    )
    return Objective(checked_init(init, check), training_loss(config, spec, network), evaluate, sample, parts)
