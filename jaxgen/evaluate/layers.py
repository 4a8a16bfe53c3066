"""Outputs of the layers of a network as features: what a discriminator, a denoiser or any module of linen has learned.

    features = evaluate.layer_features(module, "Dense_1")
    evaluate.linear_probe(features(variables, x_train), label, features(variables, x_test), ...)

A layer is named by its path in the module, as its parameters are: "encoder/Dense_0". What is on a grid is averaged over
its positions, or kept as one long vector, so that every layer has one vector per example.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float

from jaxgen.spelling import nearest


def layer_outputs(
    module: nn.Module, variables: Any, *inputs: Any, averaged: bool = True, **options: Any
) -> dict[str, Float[Array, "b _"]]:
    """Outputs of all layers of a module by their paths, for layers that return one array.

    Args:
        module: Network.
        variables: Its variables.
        inputs: Its inputs, leading axis B.
        averaged: Whether outputs on a grid are averaged over its positions; they are flattened otherwise.
        options: Further arguments of its call.

    Returns:
        [B, width] float32 for every layer, by its path.
    """
    applied: Any = module.apply(variables, *inputs, **options, capture_intermediates=True, mutable=["intermediates"])
    found = {}
    for path, outputs in flatten_dict(dict(applied[1]["intermediates"])).items():
        output: Any = outputs[0] if isinstance(outputs, tuple) and outputs else None
        if path[-1] == "__call__" and len(path) > 1 and hasattr(output, "ndim") and output.ndim > 1:
            values = output.astype(jnp.float32)
            over = tuple(range(1, values.ndim - 1))
            found["/".join(path[:-1])] = values.mean(axis=over) if averaged else values.reshape(len(values), -1)
    return found


def layer_features(module: nn.Module, layer: str, *, averaged: bool = True) -> Callable[..., Float[Array, "b _"]]:
    """The output of one layer as a function (variables, *inputs, **options) of the network's own arguments.

    Args:
        module: Network.
        layer: Path of the layer in it, as in "encoder/Dense_0".
        averaged: Whether outputs on a grid are averaged over its positions; they are flattened otherwise.

    Returns:
        The function; it raises a ValueError where there is no such layer, with the nearest names.
    """

    def features(variables: Any, *inputs: Any, **options: Any) -> Float[Array, "b _"]:
        found = layer_outputs(module, variables, *inputs, averaged=averaged, **options)
        if layer not in found:
            raise ValueError(f"layer must be one of the network's, got {layer!r}; {nearest(layer, list(found))}")
        return found[layer]

    return features
