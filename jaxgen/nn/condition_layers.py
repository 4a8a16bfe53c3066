"""Layers that take conditions in, as `jaxgen.nn.conditions.given` hands them to a network.

    vector = EmbedConditions(conditions, spec, width)(forms)           [B, width], beside an embedding of the time, say
    x = concatenated(x, conditions, forms)                             further channels of the input
    tokens = TokenConditions(conditions, spec, width)(forms)           a context for `jaxgen.nn.CrossAttention`
    vector = PooledTokens(width)(*tokens)                              their average, beside an embedding of the time
    vector = ConditionVector(conditions, spec, width)(forms)           all of them in one vector
    h = AppendConditions(conditions, spec, width)(h, forms)            that vector behind another one

Each is None, or leaves x as it is, where no condition is of its kind, and then has no parameters.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.nn.conditions import Concat, Conditions, CrossAttend, Embed
from jaxgen.nn.precision import wide
from jaxgen.nn.transformer import TransformerEncoder


class EmbedConditions(nn.Module):
    """The sum of the embeddings of all `Embed` conditions.

    An integer has a row of a table, with one more row for "withheld"; a vector goes through a dense layer, in which the
    flag for "withheld" has a row of its own.

    Attributes:
        conditions: Conditions by name; those of other kinds are left alone.
        spec: Description of the data.
        width: Length of the sum.
        dtype: Dtype of the computation; parameters stay float32.
    """

    conditions: Conditions
    spec: Spec
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, forms: Mapping[str, Array]) -> Float[Array, "b _"] | None:
        require.size("width", self.width)
        total = None
        for name, condition in sorted(self.conditions.items()):
            if not isinstance(condition, Embed):
                continue
            vector = _embedded(forms[name], self.spec.field(name).num_values, self.width, self.dtype, f"embed_{name}")
            total = vector if total is None else total + vector
        return total


class Context(NamedTuple):
    """Sequence that `jaxgen.nn.CrossAttention` attends to.

    Attributes:
        tokens: Vectors of the tokens.
        mask: True where a token may be attended to.
    """

    tokens: Float[Array, "b l e"]
    mask: Bool[Array, "b l"]


class TokenConditions(nn.Module):
    """The tokens of all `CrossAttend` conditions, one sequence behind the other, with learned positions.

    A token has a row of a table, with one more row for "withheld"; a vector goes through a dense layer, in which the
    flag for "withheld" has a row of its own. The `encoder` of a condition then lets its tokens look at each other.

    Attributes:
        conditions: Conditions by name; those of other kinds are left alone.
        spec: Description of the data.
        width: Length of a token's vector.
        dtype: Dtype of the computation; parameters stay float32.
    """

    conditions: Conditions
    spec: Spec
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, forms: Mapping[str, Array]) -> Context | None:
        require.size("width", self.width)
        tokens, masks = [], []
        for name, condition in sorted(self.conditions.items()):
            if not isinstance(condition, CrossAttend):
                continue
            form = forms[name]
            embedded = _embedded(form, self.spec.field(name).num_values, self.width, self.dtype, f"embed_{name}")
            shape = embedded.shape[1:]
            positions = self.param(f"positions_{name}", nn.initializers.normal(1.0), shape, jnp.float32)
            placed = embedded + positions.astype(self.dtype)[None]
            kept = jnp.ones(form.shape[:2], jnp.bool_) if condition.padding is None else form != condition.padding
            if condition.encoder is not None:
                placed = TransformerEncoder(condition.encoder, self.dtype, name=f"encoder_{name}")(placed, kept)
            tokens.append(placed)
            masks.append(kept)
        return Context(jnp.concatenate(tokens, axis=1), jnp.concatenate(masks, axis=1)) if tokens else None


class PooledTokens(nn.Module):
    """The average of the tokens of a context by learned weights, through a dense layer.

    Attributes:
        width: Length of the vector.
        dtype: Dtype of the computation; parameters stay float32.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, tokens: Float[Array, "b l e"], mask: Bool[Array, "b l"]) -> Float[Array, "b _"]:
        require.size("width", self.width)
        scores = nn.Dense(1, use_bias=False, dtype=self.dtype, name="weights")(tokens)[..., 0]
        return nn.Dense(self.width, dtype=self.dtype, name="told")(_averaged(tokens, mask, scores, self.dtype))


class ConditionVector(nn.Module):
    """All conditions as one vector, for networks that start or end with a vector: decoders, generators, dense layers.

    Classes and vectors are embedded, images flattened, and the tokens of a sequence averaged by learned weights.

    Attributes:
        conditions: Conditions by name.
        spec: Description of the data.
        width: Length of an embedding, and of the tokens' average.
        images: Whether `Concat` conditions are part of it; not where they are channels of the input already.
        dtype: Dtype of the computation; parameters stay float32.
    """

    conditions: Conditions
    spec: Spec
    width: int
    images: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, forms: Mapping[str, Array]) -> Float[Array, "b _"] | None:
        embedded = EmbedConditions(self.conditions, self.spec, self.width, self.dtype, name="embedded")(forms)
        parts = [] if embedded is None else [embedded]
        for name, condition in sorted(self.conditions.items()):
            if self.images and isinstance(condition, Concat):
                parts.append(forms[name].reshape(forms[name].shape[0], -1).astype(self.dtype))
        context = TokenConditions(self.conditions, self.spec, self.width, self.dtype, name="tokens")(forms)
        if context is not None:
            scores = nn.Dense(1, use_bias=False, dtype=self.dtype, name="weights")(context.tokens)[..., 0]
            parts.append(_averaged(*context, scores, self.dtype))
        return jnp.concatenate(parts, axis=-1) if parts else None


class AppendConditions(nn.Module):
    """A vector with all conditions as further coordinates (`ConditionVector`); without conditions the vector itself.

    Attributes:
        conditions: Conditions by name.
        spec: Description of the data.
        width: Length of an embedding, and of the tokens' average.
        images: Whether `Concat` conditions are part of it; not where they are channels of the input already.
        dtype: Dtype of the result where there are conditions; parameters stay float32.
    """

    conditions: Conditions
    spec: Spec
    width: int = 64
    images: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, h: Float[Array, "b _"], forms: Mapping[str, Array]) -> Float[Array, "b _"]:
        layer = ConditionVector(self.conditions, self.spec, self.width, self.images, self.dtype, name="vector")
        vector = layer(forms)
        return h if vector is None else jnp.concatenate([h.astype(self.dtype), vector], axis=-1)


def _averaged(tokens: Array, mask: Array, scores: Array, dtype: Any) -> Array:
    """The tokens [B, L, width] averaged by the softmax of their scores [B, L]."""
    # A sequence of padding alone has the weight 0 everywhere, not an average of nothing.
    weights = nn.softmax(scores.astype(wide(dtype)), axis=-1, where=mask)
    weights = jnp.where(mask, weights, 0.0)
    return (weights[..., None] * tokens.astype(weights.dtype)).sum(axis=1).astype(dtype)


def _embedded(form: Array, num_values: int | None, width: int, dtype: Any, name: str) -> Array:
    """Integers by a table that knows "withheld", vectors by a dense layer; to be called within a compact module."""
    if jnp.issubdtype(form.dtype, jnp.integer) and num_values is not None:
        # Unit variance, as the rest of a network's input has.
        init = nn.initializers.normal(1.0)
        return nn.Embed(num_values + 1, width, dtype=dtype, embedding_init=init, name=name)(form)
    return nn.Dense(width, dtype=dtype, name=name)(form.astype(dtype))
