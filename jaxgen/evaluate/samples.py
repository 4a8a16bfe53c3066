"""Samples of any model of the contract, as many as a metric needs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import GenerativeModel, PRNGKey
from jaxgen.progress import counted


def samples(
    model: GenerativeModel,
    key: PRNGKey,
    variables: Any,
    num: int,
    *,
    label: Int[Array | np.ndarray, " _"] | None = None,
    chunk: int = 500,
    **options: Any,
) -> Float[np.ndarray, "num ..."]:
    """Samples 0 .. num - 1 of a key, some at a time, on the host.

    Args:
        model: Any model of the contract.
        key: Root of the draws; sample k is the same however many are drawn.
        variables: Variables of the model, `state.variables`.
        num: How many.
        label: The label of each, for a model that takes labels.
        chunk: Samples per call. All calls have as many, so that one compilation serves all.
        options: Further arguments of the model's `sample`.

    Raises:
        ValueError: num or chunk below 1, or labels that are not `num`.
    """
    require.typed_key("key", key)
    require.size("num", num)
    require.size("chunk", chunk)
    if label is not None and len(label) != num:
        raise ValueError(f"label must hold num={num} labels, got {len(label)}")
    chunk = min(chunk, num)
    parts = []
    for first in counted(range(0, num, chunk), "samples", num, chunk):
        if label is not None:
            some = require.plain_array("label", label[first : first + chunk], np.int32)
            options["label"] = np.concatenate([some, np.repeat(some[:1], chunk - len(some))])
        parts.append(np.asarray(model.sample(key, variables, chunk, first=first, **options))[: num - first])
    return np.concatenate(parts)


def takes_labels(model: GenerativeModel, variables: Any) -> bool:
    """Whether a model samples by label; one that does not refuses a label with a ValueError. Draws nothing."""
    try:
        # A traced label: any that it could be, whether or not class 0 occurs in training.
        zero = jax.ShapeDtypeStruct((), jnp.int32)
        jax.eval_shape(lambda given, label: model.sample(jax.random.key(0), given, 1, label=label), variables, zero)
    except ValueError:
        return False
    return True
