"""A model in continuous time as one of the contract: trained on its path, judged by the bound, sampled by a flow."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxgen import learning, require
from jaxgen.core import Batch, GenerativeModel, Label, Metrics, Objective, PRNGKey, Spec, TrainState, Variables
from jaxgen.data import space
from jaxgen.data.statistics import warn_unscaled
from jaxgen.draws import example_labels, example_normals
from jaxgen.events import require_floats, require_shape
from jaxgen.flow.choices import ChosenSampler, Euler, Guidance, Heun, Interval, Jump, Sampler, check_sampler
from jaxgen.flow.config import Config
from jaxgen.flow.denoiser import denoiser
from jaxgen.flow.densities import densities
from jaxgen.flow.dynamics import Dynamics
from jaxgen.flow.grids import Karras
from jaxgen.flow.objective import Bound, continuous_bound
from jaxgen.flow.training import training_loss
from jaxgen.inputs import checked_batch, checked_draws, checked_init
from jaxgen.nn import condition_inputs
from jaxgen.paths import ode
from jaxgen.paths.flow import LogProb
from jaxgen.paths.inpainting import inpaint
from jaxgen.paths.log_snr import LearnedLogSNR
from jaxgen.paths.path import Path, signal_and_noise
from jaxgen.paths.prediction import diffuse as diffused_at
from jaxgen.paths.sampler import noise

_UP = Heun(50)

_KARRAS = Karras()

_LABELS = 2**32 - 1  # Folded into a key for the labels of samples; no step has so large a number.


class Parts(NamedTuple):
    """Functions of a model in continuous time beyond the contract, of the averaged parameters.

    Arguments x and batch are in storage dtype, as the data set holds them; states x_t are in model space, where grey
    levels lie in [-1, 1] and real values are scaled; results are in data space (images in [0, 1], real values in their
    own units) unless they are states.

    A condition that is not given (`label=3` is short for `condition={"label": 3}`) is withheld.

    Attributes:
        path: (variables) -> the path between data and noise, which may be learned.
        ends: Times (t_0, t_1) of its ends at the data and at the noise.
        sampler: Sampler of `sample` where none is named.
        bind: (variables, label=None, guidance=None, condition=None, guidance_interval=None) -> `Dynamics`, whose
            functions of (x_t, t) all samplers and solvers of `jaxgen.paths` take.
        bound: (key, variables, batch, num_draws=64) -> `objective.Bound`. For real values it bounds the density in
            their own units; the derivative of the scale is in the reconstruction.
        chain: (key, variables, num, ...) -> [states, num, *event], all states of the samples that `sample` draws with
            the same arguments.
        diffuse: (key, x, t, variables=None) -> x_t of these data, [B, *event] in data space; a path that is learned
            needs the variables.
        encode: (variables, batch, sampler=Heun(), label=None, condition=None) -> the noise of these data, states at t_1
            along the probability flow: nothing is drawn.
        decode: (variables, x_1, sampler=Heun(), label=None, condition=None, guidance=None) -> the data of these states
            at t_1, [B, *event] in data space.
        log_likelihood: (key, variables, batch, num_steps=100, exact=False, num_draws=1) -> log p(x) by the probability
            flow, [B] nats; for grey levels, which uniform noise spreads over their bins, a lower bound of log P(x) on
            average, the tighter the more draws; for real values the log-density in their own units. The divergence is
            estimated by random signs, or exact at the price of a product per dimension, which several draws need. See
            `jaxgen.paths.flow_log_prob` and `dequantised_log_prob`.
        log_likelihood_and_error: (key, variables, batch, num_steps=100, exact=False) -> `jaxgen.paths.flow.LogProb`,
            the same from two lengths of steps, with what the steps may have got wrong.
        impute: (key, variables, batch, num_steps=250, repeats=1, label=None, condition=None) -> x where "mask" is True
            and a draw elsewhere, [B, *event] in data space; see `jaxgen.paths.inpaint`.
        measure: Description of the quantity that the bound is of.
        discrete: Whether the bound is of discrete data, so that bits/dim are meaningful.
    """

    path: Callable[[Variables], Path]
    ends: tuple[float, float]
    sampler: Sampler
    bind: Callable[..., Dynamics]
    bound: Callable[..., Bound]
    chain: Callable[..., Array]
    diffuse: Callable[..., Array]
    encode: Callable[..., Array]
    decode: Callable[..., Array]
    log_likelihood: Callable[..., Array]
    log_likelihood_and_error: Callable[..., LogProb]
    impute: Callable[..., Array]
    measure: str
    discrete: bool


def model(
    config: Config, spec: Spec, tx: optax.GradientTransformation | None = None, *, network: Any = None
) -> GenerativeModel[TrainState, Parts]:
    """Build a model in continuous time for data of this spec, which learns its `objective`.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        tx: Optimizer in place of the config's; None for the config's.
        network: Network in place of the config's, see `objective`.

    Returns:
        The model; its state is a `TrainState` with a moving average.

    Raises:
        ValueError: A network that cannot take such data, conditional=True for data without labels, ends that the path
            does not reach, or flip=True for events that are not images.
    """
    tx = config.optimizer.transformation() if tx is None else tx
    return learning.model(
        objective(config, spec, network=network), tx, ema_decay=config.ema_decay, axis_name=config.axis_name
    )


def objective(config: Config, spec: Spec, *, network: Any = None) -> Objective[Parts]:
    """Build what a model in continuous time learns of data of this spec.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        network: Network in place of the config's: a linen module or a pair (init, apply), see `jaxgen.nn.network` and,
            for what it is called with, `jaxgen.flow.networks`.

    Returns:
        The objective; its variables are those of the network.

    Raises:
        ValueError: A network that cannot take such data, conditional=True for data without labels, ends that the path
            does not reach, or flip=True for events that are not images.
    """
    if config.flip and len(spec.event_shape) != 3:
        raise ValueError(f"flip=True is for images of shape (height, width, channels), got {spec.event_shape}")
    trained = denoiser(config, spec, network)
    path_of, (t_0, t_1), conditions, event = trained.path_of, trained.ends, trained.conditions, spec.event_shape
    warn_unscaled(spec, "a model in continuous time")
    clip = space.limit(spec)
    window = _window(config, t_0, spec.levels)
    own_sampler: Sampler = Heun() if config.average is None else Jump()
    fields_of = trained.fields

    def init(key: PRNGKey, batch: Batch) -> Variables:
        fields_of(batch)
        return trained.init(key)

    def chosen(num: int, label: Any, condition: Any, required: bool = False) -> dict[str, Array]:
        return condition_inputs.chosen(conditions, spec, num, label, condition, required)

    def bind(
        variables: Variables,
        label: Any = None,
        guidance: Any = None,
        condition: Any = None,
        guidance_interval: tuple[float, float] | None = None,
    ) -> Dynamics:
        def now(x_t: Array) -> Dynamics:
            return trained.bind(variables, chosen(x_t.shape[0], label, condition), guidance, guidance_interval)

        def average(x_t: Array, r: Array, t: Array) -> Array:
            return cast(Callable[..., Array], now(x_t).average)(x_t, r, t)

        return Dynamics(
            path_of(variables),
            t_0,
            t_1,
            lambda x_t, t: now(x_t).ends(x_t, t),
            lambda x_t, t: now(x_t).velocity(x_t, t),
            None if config.average is None else average,
        )

    def bound_of(key: Any, variables: Variables, batch: Batch, num_draws: int) -> Bound:
        require.typed_key("key", key)
        fields = fields_of(batch)
        found = continuous_bound(
            key,
            trained.bind(variables, fields).ends,
            path_of(variables),
            space.to_model(fields["x"], spec),
            levels=spec.levels,
            t_0=t_0,
            t_1=t_1,
            index=fields["index"],
            num_draws=num_draws,
            window=window,
        )
        return found.of_data(space.log_volume(batch["x"], spec))

    @functools.partial(jax.jit, static_argnames="num_draws")
    def bound(key: PRNGKey, variables: Variables, batch: Batch, num_draws: int = 64) -> Bound:
        return bound_of(key, variables, batch, num_draws)

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        """The three terms of the negative bound; the diffusion term is estimated from the t drawn for each example."""
        found = bound_of(key, variables, batch, config.num_draws)
        return {
            "negative_bound": found.negative_bound,
            "prior": found.prior,
            "diffusion": found.diffusion,
            "reconstruction": found.reconstruction,
        }

    @functools.partial(jax.jit, static_argnames=("num", "drawn", "interval", "sampler", "keep"))
    def draws(
        key: PRNGKey,
        variables: Variables,
        num: int,
        first: Any,
        fields: dict[str, Array],
        drawn: bool,
        guidance: Any,
        interval: tuple[float, float] | None,
        sampler: Sampler,
        keep: bool,
    ) -> Array:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if drawn:
            label = example_labels(jax.random.fold_in(key, _LABELS), index, spec.num_classes or 0, spec.labels)
            fields = {**fields, "label": label}
        dynamics = trained.bind(variables, fields, guidance, interval)
        x_1 = noise(key, dynamics.path, t_1, index, event)
        return space.from_model(sampler(key, dynamics, x_1, index=index, clip=clip, keep=keep), spec)

    def drawn_states(
        key: Any,
        variables: Any,
        num: Any,
        first: Any,
        label: Any,
        condition: Any,
        sampler: Any,
        guidance: Any,
        interval: Any,
        keep: bool,
    ) -> Array:
        first = checked_draws(key, num, first)
        sampler = own_sampler if sampler is None else sampler
        check_sampler(sampler)
        if guidance is not None and not isinstance(guidance, jax.Array):
            require.number("guidance", guidance)
        interval = None if interval is None else tuple(interval)
        fields = chosen(num, label, condition, required=True)
        # A label that is not spoken of is drawn; condition={"label": None} withholds it.
        drawn = condition_inputs.label_is_drawn(conditions, label, condition)
        return draws(key, variables, num, first, fields, drawn, guidance, interval, sampler, keep)

    def chain(
        key: PRNGKey,
        variables: Variables,
        num: int,
        *,
        first: int = 0,
        label: Any = None,
        condition: Any = None,
        sampler: Any = None,
        guidance: Any = None,
        guidance_interval: Any = None,
    ) -> Array:
        return drawn_states(
            key, variables, num, first, label, condition, sampler, guidance, guidance_interval, keep=True
        )

    def sample(
        key: PRNGKey,
        variables: Variables,
        num: int,
        *,
        first: int = 0,
        label: Label = None,
        condition: Any = None,
        sampler: ChosenSampler = None,
        guidance: Guidance = None,
        guidance_interval: Interval = None,
    ) -> Float[Array, "num *event"]:
        """x_0 by the averaged network; all noise of sample k, and its label if none is given, from fold_in(key, k)."""
        return drawn_states(
            key, variables, num, first, label, condition, sampler, guidance, guidance_interval, keep=False
        )

    def diffuse(key: PRNGKey, x: Any, t: Any, variables: Variables | None = None) -> Float[Array, "b *event"]:
        path = path_of({} if variables is None else variables)
        signal_and_noise(path, t, jnp.zeros((jnp.shape(x)[0], 1)))  # checks t here, where it is not yet traced
        return diffused(key, {} if variables is None else variables, x, t)

    @jax.jit
    def diffused(key: PRNGKey, variables: Variables, x: Array, t: Any) -> Float[Array, "b *event"]:
        require.typed_key("key", key)
        x = checked_batch({"x": x}, spec)["x"]
        eps = example_normals(key, jnp.arange(x.shape[0], dtype=jnp.int32), event)
        return space.from_model(diffused_at(path_of(variables), space.to_model(x, spec), t, eps), spec)

    def upwards(sampler: Any) -> Any:
        if not isinstance(sampler, Euler | Heun):
            raise ValueError(f"sampler must be Euler(...) or Heun(...), which can be gone up and down, got {sampler!r}")
        return sampler

    def encode(
        variables: Variables, batch: Batch, sampler: Any = _UP, label: Any = None, condition: Any = None
    ) -> Array:
        fields = checked_batch(batch, spec)
        return encoded(variables, fields["x"], upwards(sampler), chosen(len(fields["x"]), label, condition))

    @functools.partial(jax.jit, static_argnames="sampler")
    def encoded(variables: Variables, x: Array, sampler: Any, fields: dict[str, Array]) -> Array:
        dynamics = trained.bind(variables, fields)
        times = sampler.times(dynamics)[::-1]
        times = times if t_0 == 0 else np.append(t_0, times[times > t_0])
        solve = ode.euler if isinstance(sampler, Euler) else functools.partial(ode.heun, correct_last=True)
        return solve(dynamics.velocity, space.to_model(x, spec), times)

    def decode(
        variables: Variables,
        x_1: Array,
        sampler: Any = _UP,
        label: Any = None,
        condition: Any = None,
        guidance: Any = None,
    ) -> Array:
        require_floats(x_1=x_1)
        require_shape((*jnp.shape(x_1)[:1], *event), x_1=x_1)
        return decoded(variables, x_1, upwards(sampler), chosen(len(x_1), label, condition), guidance)

    @functools.partial(jax.jit, static_argnames="sampler")
    def decoded(variables: Variables, x_1: Array, sampler: Any, fields: dict[str, Array], guidance: Any) -> Array:
        dynamics = trained.bind(variables, fields, guidance)
        return space.from_model(sampler(jax.random.key(0), dynamics, x_1), spec)  # these samplers draw nothing

    log_likelihood, log_likelihood_and_error = densities(trained, spec)

    def impute(
        key: PRNGKey,
        variables: Variables,
        batch: Batch,
        num_steps: int = 250,
        repeats: int = 1,
        label: Any = None,
        condition: Any = None,
    ) -> Float[Array, "b *event"]:
        fields = checked_batch(batch, spec, needs=("mask",))
        require.size("num_steps", num_steps)
        return imputed(key, variables, fields, chosen(len(fields["x"]), label, condition), num_steps, repeats)

    @functools.partial(jax.jit, static_argnames=("num_steps", "repeats"))
    def imputed(
        key: PRNGKey, variables: Variables, batch: Batch, given: dict[str, Array], num_steps: int, repeats: int
    ) -> Float[Array, "b *event"]:
        require.typed_key("key", key)
        x, mask, index = space.to_model(batch["x"], spec), batch["mask"], batch["index"]
        dynamics = trained.bind(variables, given)
        path = dynamics.path
        times = _KARRAS(path, t_0, t_1, num_steps)
        start = noise(key, path, t_1, index, event)
        known = inpaint(key, dynamics.within(clip), path, start, times, x, mask, repeats=repeats, index=index)
        drawn = space.from_model(known, spec)
        # Scaling and its inverse round; observed values are returned exactly as given.
        return drawn if spec.scale is None else jnp.where(mask, jnp.asarray(batch["x"]), drawn)

    def check(batch: Any) -> None:
        fields_of(batch)
        space.require_storage(batch["x"], spec, batch.get("mask"))

    parts = Parts(
        path_of,
        (t_0, t_1),
        own_sampler,
        bind,
        bound,
        chain,
        diffuse,
        encode,
        decode,
        log_likelihood,
        log_likelihood_and_error,
        impute,
        space.density(spec) if spec.levels is None else f"{spec.levels} grey levels",
        spec.levels is not None,
    )
    return Objective(checked_init(init, check), training_loss(config, spec, trained), evaluate, sample, parts)


def _window(config: Config, t_0: float, levels: int | None) -> int | None:
    """Number of levels beside the nearest that can have given rise to a state at t_0, for `reconstruction_cost`.

    Those further away have less than e^-24 of its probability.
    """
    if levels is None or isinstance(config.path, LearnedLogSNR):
        return None
    with jax.ensure_compile_time_eval():
        spacings = 7 * math.exp(-float(config.path.log_snr(t_0)) / 2) * (levels - 1) / 2
    return None if spacings >= levels else max(1, math.ceil(spacings))
