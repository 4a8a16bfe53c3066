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
from jaxgen.ddpm.latents import latents_of
from jaxgen.ddpm.objective import Bound, variational_bound
from jaxgen.ddpm.process import Denoised
from jaxgen.ddpm.sampler import noise
from jaxgen.ddpm.schedule import Schedule
from jaxgen.ddpm.tables import check_t
from jaxgen.ddpm.training import training_loss
from jaxgen.draws import example_labels, example_normals, example_uniforms
from jaxgen.events import require_floats, require_integers, require_shape
from jaxgen.inputs import checked_batch, checked_draws, checked_init
from jaxgen.latents import Latents
from jaxgen.nn import condition_inputs

_ALL_STEPS = Ancestral()

_LABELS = 2**32 - 1  # Folded into a key for the labels of samples; no t is so large.


class Parts(NamedTuple):
    """Functions of a diffusion model beyond the contract; the denoiser is that of the averaged parameters.

    Arguments x and batch are in storage dtype, as the data set holds them; x_t is in model space, where grey levels lie
    in [-1, 1] and real values are scaled; results are in data space (images in [0, 1], real values in their own units).

    A condition that is not given (`label=3` is short for `condition={"label": 3}`) is withheld.

    Attributes:
        schedule: Noise schedule.
        denoise: (variables, x_t, t, label=None, condition=None) -> `Denoised`, eps_hat and the variance fraction, each
            [B, *event].
        bind: (variables, label=None, guidance=None, condition=None) -> denoise(x_t, t), as every function of
            `jaxgen.ddpm` takes it.
        bound: (key, variables, batch) -> `objective.Bound` with all t, step by step: T runs of the network. For real
            values it bounds the density in their own units; the derivative of the scale is in the reconstruction.
        chain: (key, variables, num, keep=..., ...) -> [kept, num, *event], the states, every `keep` steps, of the
            samples that `sample` draws with the same arguments.
        diffuse: (key, x, t) -> x_t of these data, [B, *event] in data space.
        log_likelihood: (key, variables, batch, timesteps=None) -> log p(x) by the probability flow, [B] nats; for grey
            levels, which uniform noise spreads over their bins, a lower bound of log P(x) on average; for real values
            the log-density in their own units. See `flow.flow_log_prob`.
        impute: (key, variables, batch, sampler=Ancestral(), label=None, condition=None) -> x where "mask" is True and a
            draw elsewhere, [B, *event] in data space; see `conditioning.inpaint`.
        measure: Description of the quantity that the bound is of.
        discrete: Whether the bound is of discrete data, so that bits/dim are meaningful.
        latents: (num_levels=None) -> the chain x_1 .. x_T as `jaxgen.latents.Latents`, for a codec, with all its levels
            or so many at even distances. Conditions are withheld. Raises ValueError for data that are not discrete, or
            another number.
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
    latents: Callable[..., Latents]


def model(
    config: Config, spec: Spec, tx: optax.GradientTransformation | None = None, *, network: Any = None
) -> GenerativeModel[TrainState, Parts]:
    """Build a diffusion model for data of this spec, which learns its `objective`.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        tx: Optimizer in place of the config's; None for the config's.
        network: Network in place of the config's, see `objective`.

    Returns:
        The model; its state is a `TrainState` with a moving average.

    Raises:
        ValueError: A network that cannot take such data, conditional=True for data without labels, or flip=True for
            events that are not images.
    """
    tx = config.optimizer.transformation() if tx is None else tx
    return learning.model(
        objective(config, spec, network=network), tx, ema_decay=config.ema_decay, axis_name=config.axis_name
    )


def objective(config: Config, spec: Spec, *, network: Any = None) -> Objective[Parts]:
    """Build what a diffusion model learns of data of this spec: L_simple, or L_hybrid for a learned variance.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        network: Network in place of the config's: a linen module or a pair (init, apply), see `jaxgen.nn.network`. It
            is called with x_t [B, *event], t [B] int32 and, if the config has conditions, their dictionary; it returns
            the prediction [B, *event], or `networks.Output` with a variance where the config learns one.

    Returns:
        The objective; its variables are those of the denoiser.

    Raises:
        ValueError: A network that cannot take such data, conditional=True for data without labels, or flip=True for
            events that are not images.
    """
    if config.flip and len(spec.event_shape) != 3:
        raise ValueError(f"flip=True is for images of shape (height, width, channels), got {spec.event_shape}")
    trained = denoiser(config, spec, network)
    schedule, conditions, event = trained.schedule, trained.conditions, spec.event_shape
    warn_unscaled(spec, "a diffusion model")
    clip = space.limit(spec)
    # None, for all t, unless there are more than are to be drawn.
    num_draws = config.num_draws if config.num_draws < schedule.num_timesteps - 1 else None
    fields_of = trained.fields

    def init(key: PRNGKey, batch: Batch) -> Variables:
        fields_of(batch, learning=True)
        return trained.init(key)

    def chosen(num: int, label: Any, condition: Any, required: bool = False) -> dict[str, Array]:
        return condition_inputs.chosen(conditions, spec, num, label, condition, required)

    def bind(
        variables: Variables, label: Any = None, guidance: Any = None, condition: Any = None
    ) -> Callable[[Array, Array], Denoised]:
        def denoise(x_t: Array, t: Array) -> Denoised:
            return trained.bind(variables, chosen(x_t.shape[0], label, condition), guidance)(x_t, t)

        return denoise

    def denoise(variables: Variables, x_t: Any, t: Any, label: Any = None, condition: Any = None) -> Denoised:
        check_t(t, schedule.num_timesteps)  # here, where it is not yet traced
        return denoised(variables, x_t, t, chosen(_num_of(x_t), label, condition))

    @jax.jit
    def denoised(variables: Variables, x_t: Array, t: Array, fields: dict[str, Array]) -> Denoised:
        require_floats(x_t=x_t)
        require_shape((*jnp.shape(x_t)[:1], *event), x_t=x_t)
        require_integers(t=t)
        require_shape(x_t.shape[:1], t=t)
        return trained.bind(variables, fields)(x_t, t)

    def given(fields: dict[str, Array]) -> dict[str, Array]:
        """The conditions among the fields of a batch."""
        return {name: fields[name] for name in conditions}

    def bound_of(key: Any, variables: Variables, batch: Batch, num_draws: int | None) -> Bound:
        require.typed_key("key", key)
        fields = fields_of(batch)
        found = variational_bound(
            key,
            trained.bind(variables, given(fields)),
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

    @functools.partial(jax.jit, static_argnames=("num", "drawn", "sampler", "keep"))
    def draws(
        key: PRNGKey,
        variables: Variables,
        num: int,
        first: Any,
        fields: dict[str, Array],
        drawn: bool,
        guidance: Any,
        sampler: Sampler,
        keep: int | None,
    ) -> Array:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if drawn:
            label = example_labels(jax.random.fold_in(key, _LABELS), index, spec.num_classes or 0, spec.labels)
            fields = {**fields, "label": label}
        x_T = noise(key, index, event)
        denoise, variance = trained.bind(variables, fields, guidance), config.variance.fixed
        x = sampler(key, denoise, schedule, x_T, index=index, variance=variance, clip=clip, keep=keep)
        return space.from_model(x, spec)

    def chain(
        key: PRNGKey,
        variables: Variables,
        num: int,
        *,
        keep: int | None,
        first: int = 0,
        label: Any = None,
        condition: Any = None,
        sampler: Sampler = _ALL_STEPS,
        guidance: Any = None,
    ) -> Array:
        first = checked_draws(key, num, first)
        check_sampler(sampler)
        if keep is not None:
            require.size("keep", keep)
        if guidance is not None and not isinstance(guidance, jax.Array):
            require.number("guidance", guidance)
        fields = chosen(num, label, condition, required=True)
        # A label that is not spoken of is drawn; condition={"label": None} withholds it.
        drawn = condition_inputs.label_is_drawn(conditions, label, condition)
        return draws(key, variables, num, first, fields, drawn, guidance, sampler, keep)

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
        first = checked_draws(key, num, first)
        options = {"label": label, "condition": condition, "sampler": sampler, "guidance": guidance}
        return chain(key, variables, num, keep=None, first=first, **options)

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
        denoise = trained.bind(variables, given(fields))
        log_p = flow_log_prob(key_sign, denoise, schedule, x, index=index, timesteps=timesteps)
        volume = space.log_volume(batch["x"], spec)
        return log_p + spec.num_dimensions * math.log(width) if volume is None else log_p + volume

    def impute(
        key: PRNGKey,
        variables: Variables,
        batch: Batch,
        sampler: Sampler = _ALL_STEPS,
        label: Any = None,
        condition: Any = None,
    ) -> Float[Array, "b *event"]:
        check_sampler(sampler)
        fields = checked_batch(batch, spec, needs=("mask",))
        return imputed(key, variables, fields, chosen(len(fields["x"]), label, condition), sampler)

    @functools.partial(jax.jit, static_argnames="sampler")
    def imputed(
        key: PRNGKey, variables: Variables, batch: Batch, given: dict[str, Array], sampler: Sampler
    ) -> Float[Array, "b *event"]:
        require.typed_key("key", key)
        x, mask, index = space.to_model(batch["x"], spec), batch["mask"], batch["index"]

        def down(*arguments: Any, timesteps: None, **options: Any) -> Array:
            return sampler(*arguments, variance=config.variance.fixed, **options)

        known = inpaint(
            key,
            trained.bind(variables, given),
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
        fields_of(batch, learning=True)
        space.require_storage(batch["x"], spec, batch.get("mask"))

    parts = Parts(
        schedule,
        denoise,
        bind,
        bound,
        chain,
        diffuse,
        log_likelihood,
        impute,
        space.density(spec) if spec.levels is None else f"{spec.levels} grey levels",
        spec.levels is not None,
        functools.partial(latents_of, config, spec, trained),
    )
    return Objective(checked_init(init, check), training_loss(config, spec, trained), evaluate, sample, parts)


def _num_of(x: Any) -> int:
    """Number of examples; 1 for what has no axis, which is refused later."""
    return int(jnp.shape(x)[0]) if jnp.ndim(x) else 1
