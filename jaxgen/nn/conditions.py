"""Conditions: what a network is given beside x, by the name of its field of the data.

    condition = {"label": Embed(), "low": Concat(), "caption": CrossAttend(padding=0)}

`Embed` is for a class or a vector, `Concat` for an image of the same size as x or a smaller one, `CrossAttend` for a
sequence of tokens. In training each condition is withheld with a probability of its own (`withhold`), so that a model
also learns p(x) without it, which guidance needs. A network receives a dictionary of arrays (`given`), whose meaning
does not depend on the library that the network is written in:

    Embed, an integer          int32 [B]                     num_values where it is withheld
    Embed, a vector            float32 [B, n + 1]            the last column is 1 where it is withheld, else 0
    Concat                     float32 [B, *space, c + 1]    likewise the last channel; resized to x, in [-1, 1]
    CrossAttend, integers      int32 [B, L]                  num_values everywhere where it is withheld
    CrossAttend, vectors       float32 [B, L, n + 1]         likewise the last column

Beside a 1 in the last column all other values are 0. Grey levels are scaled to [-1, 1], bools are -1 and 1, real values
stay as they are. `jaxgen.nn.condition_layers` has the layers for networks of flax linen.

Source: embedded classes and withholding, Ho & Salimans 2022 (classifier-free guidance); concatenated images, Saharia et
al. 2021 (SR3); tokens, Rombach et al. 2022 (latent diffusion), section 3.3.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jaxtyping import Array, Bool

from jaxgen import require
from jaxgen.core import Field, PRNGKey, Spec
from jaxgen.nn.transformer import Transformer


@dataclass(frozen=True)
class Embed:
    """A class, another single integer, or a vector, which a layer turns into a vector of the network's width.

    Args:
        dropout: Probability with which an example's condition is withheld in training.

    Raises:
        ValueError: A probability outside [0, 1).
    """

    dropout: float = 0.1

    def __post_init__(self):
        require.number("dropout", self.dropout, 0, below=1)
        require.fields(self)

    def check(self, name: str, field: Field, event_shape: tuple[int, ...]) -> None:
        """Raise ValueError for a field that is neither one value nor a vector of reals, grey levels or bools."""
        del event_shape
        if len(field.shape) > 1 or (field.shape and field.dtype == "int32"):
            raise ValueError(
                f"{name} must be one value or a vector of real values to be embedded, got {field}: Concat is for "
                "images, CrossAttend for sequences"
            )

    def form(self, values: Array, withheld: Array, field: Field, event_shape: tuple[int, ...]) -> Array:
        """The form that a network receives: int32 [B] or float32 [B, n + 1]."""
        del event_shape
        if field.shape == () and field.num_values is not None:
            return jnp.where(withheld, jnp.int32(field.num_values), values.astype(jnp.int32))
        return _flagged(_scaled(values.reshape(len(values), -1), field), withheld)


@dataclass(frozen=True)
class Concat:
    """An image of the same size as x or a smaller one, resized linearly, as further channels of x.

    Points are images without space: vectors, which become further coordinates.

    Args:
        dropout: Probability with which an example's condition is withheld in training.

    Raises:
        ValueError: A probability outside [0, 1).
    """

    dropout: float = 0.1

    def __post_init__(self):
        require.number("dropout", self.dropout, 0, below=1)
        require.fields(self)

    def check(self, name: str, field: Field, event_shape: tuple[int, ...]) -> None:
        """Raise ValueError for a field that is larger than x, of another number of axes, or of classes."""
        if field.dtype == "int32":
            raise ValueError(f"{name} must be uint8, float32 or bool to be concatenated with x, got {field}")
        smaller = all(size <= own for size, own in zip(field.shape[:-1], event_shape[:-1], strict=False))
        if len(field.shape) != len(event_shape) or not smaller:
            raise ValueError(
                f"{name} must be of the size of x or smaller, and have as many axes, to be concatenated with x, "
                f"{event_shape}, got {field}"
            )

    def form(self, values: Array, withheld: Array, field: Field, event_shape: tuple[int, ...]) -> Array:
        """The form that a network receives: float32 [B, *space, c + 1]."""
        scaled = _scaled(values, field)
        shape = (len(scaled), *event_shape[:-1], field.shape[-1])
        return _flagged(scaled if scaled.shape == shape else jax.image.resize(scaled, shape, "linear"), withheld)


@dataclass(frozen=True)
class CrossAttend:
    """A sequence of tokens or vectors, to which every position of x attends.

    Args:
        dropout: Probability with which an example's condition is withheld in training.
        padding: The token that fills up short sequences, which is never attended to; None where there is none.
        encoder: Network in which the embedded tokens look at each other first, trained along: an encoder of text, say;
            None for tokens as they are.
        pooled: Whether `jaxgen.nn.UNet` also adds the average of the tokens, by learned weights, to the embedding of t,
            so that every block is told what the sequence is about. (Networks without attention take that average
            anyway.)

    Raises:
        ValueError: A probability outside [0, 1), a token below 0, or an encoder that is none.

    Source: the tokens by attention, their average beside the time: Nichol et al. 2022, "GLIDE", section 4.1.
    """

    dropout: float = 0.1
    padding: int | None = None
    encoder: Transformer | None = None
    pooled: bool = False

    def __post_init__(self):
        require.number("dropout", self.dropout, 0, below=1)
        if self.padding is not None:
            require.size("padding", self.padding, 0)
        require.fields(self)

    def check(self, name: str, field: Field, event_shape: tuple[int, ...]) -> None:
        """Raise ValueError for a field that is no sequence of tokens [L] or vectors [L, n], or has no such padding."""
        del event_shape
        tokens = field.num_values is not None and len(field.shape) == 1
        if not tokens and (len(field.shape) != 2 or field.dtype == "int32"):
            raise ValueError(f"{name} must be integers [L] or vectors [L, n] to be attended to, got {field}")
        if self.padding is not None and not (tokens and self.padding < (field.num_values or 0)):
            raise ValueError(f"padding must be a token of {name}, {field}, got {self.padding}")

    def form(self, values: Array, withheld: Array, field: Field, event_shape: tuple[int, ...]) -> Array:
        """The form that a network receives: int32 [B, L] or float32 [B, L, n + 1]."""
        del event_shape
        if len(field.shape) == 1:
            return jnp.where(withheld[:, None], jnp.int32(field.num_values), values.astype(jnp.int32))
        return _flagged(_scaled(values, field), withheld)


Condition: TypeAlias = Embed | Concat | CrossAttend
"""How a field comes into a network."""

Conditions: TypeAlias = Mapping[str, Condition]
"""Conditions by the names of their fields: the label or a further field of the data."""

NO_CONDITIONS: Conditions = FrozenDict()

NO_FORMS: Mapping[str, Array] = FrozenDict()


def checked(conditions: Any, conditional: bool = False) -> Conditions:
    """The conditions of a config, made hashable.

    Args:
        conditions: Conditions by name.
        conditional: Whether the config has the label as a condition by another field.

    Raises:
        ValueError: No mapping of names to conditions, or the label twice.
    """
    if not isinstance(conditions, Mapping):
        raise ValueError(f"condition must be a mapping of names to conditions, got {type(conditions).__name__}")
    for name, condition in conditions.items():
        if not isinstance(condition, Embed | Concat | CrossAttend):
            raise ValueError(f"condition[{name!r}] must be Embed(), Concat() or CrossAttend(), got {condition!r}")
    if conditional and "label" in conditions:
        raise ValueError('condition must not hold "label" where conditional=True, which is the same')
    return FrozenDict(conditions)


def check(conditions: Conditions, spec: Spec) -> None:
    """Refuse conditions that data of this spec cannot meet.

    Args:
        conditions: Conditions by name.
        spec: Description of the data.

    Raises:
        ValueError: A name that is no field of the data, a field that does not go with its condition, or no condition.
    """
    for name, condition in checked(conditions).items():
        condition.check(name, spec.field(name), spec.event_shape)


def withhold(key: PRNGKey, conditions: Conditions, num: int) -> dict[str, Bool[Array, " num"]]:
    """Which examples of a batch go without which condition: each condition is drawn for itself.

    Args:
        key: Key of the draws. A condition that is alone uses it as it is; of several, each folds its name into it, so
            that neither their order nor their number matters.
        conditions: Conditions by name.
        num: Number of examples.

    Returns:
        True where a condition is withheld, by name.
    """
    alone = len(conditions) == 1
    keys = {name: key if alone else jax.random.fold_in(key, zlib.crc32(name.encode())) for name in conditions}
    return {
        name: jax.random.bernoulli(keys[name], jnp.float32(condition.dropout), (num,))
        if condition.dropout
        else jnp.zeros(num, jnp.bool_)
        for name, condition in conditions.items()
    }


def given(
    conditions: Conditions,
    spec: Spec,
    fields: Mapping[str, Any],
    withheld: Mapping[str, Bool[Array, " b"]] | None = None,
) -> dict[str, Array]:
    """The conditions of a batch in the form that a network receives, as the module's docstring has it.

    Args:
        conditions: Conditions by name.
        spec: Description of the data.
        fields: Fields of a batch in storage dtype, among them those of the conditions; values are not checked.
        withheld: True where a condition is withheld, by name; a condition that is not named is not.

    Returns:
        One array for each condition, by name.

    Raises:
        ValueError: A field that is missing, or of another shape or dtype than the data's.
    """
    forms = {}
    for name, condition in conditions.items():
        field = spec.field(name)
        if fields.get(name) is None:
            raise ValueError(f"the fields given must hold {name!r}, got {', '.join(map(str, fields)) or 'none'}")
        values = jnp.asarray(fields[name])
        integers = field.dtype == "int32" and jnp.issubdtype(values.dtype, jnp.integer)
        if not (integers or values.dtype == field.dtype) or values.ndim == 0 or values.shape[1:] != field.shape:
            shape = ", ".join(["B", *map(str, field.shape)])
            raise ValueError(
                f"{name} must be {field.dtype} of shape [{shape}], got {values.dtype} of shape {values.shape}"
            )
        nothing = jnp.zeros(len(values), jnp.bool_)
        forms[name] = condition.form(values, (withheld or {}).get(name, nothing), field, spec.event_shape)
    return forms


def absent(conditions: Conditions, spec: Spec, num: int) -> dict[str, Array]:
    """The form that a network receives of `num` examples from all of which every condition is withheld.

    Args:
        conditions: Conditions by name.
        spec: Description of the data.
        num: Number of examples.
    """
    fields = {name: jnp.zeros((num, *spec.field(name).shape), spec.field(name).dtype) for name in conditions}
    return given(conditions, spec, fields, dict.fromkeys(conditions, jnp.ones(num, jnp.bool_)))


def doubled(conditions: Conditions, spec: Spec, forms: Mapping[str, Array]) -> dict[str, Array]:
    """Each example twice, with its conditions and without any: what guidance evaluates in one call of a network.

    Rows 2 k and 2 k + 1 are those of example k, as `jnp.repeat(x, 2, axis=0)` has them for x: a batch that is spread
    over devices stays where it is.

    Args:
        conditions: Conditions by name.
        spec: Description of the data.
        forms: Conditions [B, ...] in the form that a network receives.

    Returns:
        The forms of 2 B examples.
    """
    without = {name: absent({name: conditions[name]}, spec, len(form))[name] for name, form in forms.items()}
    pairs = {name: jnp.stack([form, without[name]], axis=1) for name, form in forms.items()}
    return {name: pair.reshape(-1, *pair.shape[2:]) for name, pair in pairs.items()}


def concatenated(x: Array, conditions: Conditions, forms: Mapping[str, Array]) -> Array:
    """x with the channels of all `Concat` conditions behind its own, in the order of their names.

    Args:
        x: Input of a network [B, *space, c], in model space.
        conditions: Conditions by name.
        forms: Conditions in the form that a network receives.

    Returns:
        [B, *space, c + ...] in the dtype of x; x itself without such a condition.
    """
    names = sorted(name for name, condition in conditions.items() if isinstance(condition, Concat))
    return jnp.concatenate([x, *(forms[name].astype(x.dtype) for name in names)], axis=-1) if names else x


def _scaled(values: Array, field: Field) -> Array:
    """Grey levels and bools in [-1, 1], real values as they are; float32."""
    if field.num_values is None:
        return values
    return values.astype(jnp.float32) * (2 / max(field.num_values - 1, 1)) - 1


def _flagged(values: Array, withheld: Array) -> Array:
    """Values and a flag behind the last axis: zeros and 1 where they are withheld."""
    where = withheld.reshape(-1, *[1] * (values.ndim - 1))
    flag = jnp.broadcast_to(where, (*values.shape[:-1], 1)).astype(jnp.float32)
    return jnp.concatenate([jnp.where(where, jnp.float32(0), values), flag], axis=-1)
