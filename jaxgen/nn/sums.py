"""Sums over positions or examples for each channel, and their opposite, as fast as they can be on a CPU.

Every bias and every normalisation needs them: a bias is spread over all positions, and its gradient is the sum over
them. The two are each other's transpose,

    sum:  y_mc = sum_n x_mnc            spread:  x_mnc = v_mc,  n times

and both are linear primitives here, so that derivatives of every order and mode keep the form. On a CPU the sum is a
product with ones (`jaxgen.nn.cpu.sums`), elsewhere an ordinary sum.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from jaxgen.nn import cpu
from jaxgen.nn.cpu.sums import by_product


def channel_sums(x: Float[Array, "m n c"]) -> Float[Array, "m c"]:
    """Sum over the middle axis, accumulated in float32 where x is of lower precision, in the dtype of x."""
    return channel_sums_p.bind(x)


def spread(v: Float[Array, "m c"], n: int) -> Float[Array, "m n c"]:
    """n copies of v along a new middle axis."""
    return spread_p.bind(v, n=n)


def add_bias(y: Float[Array, "*batch c"], bias: Float[Array, " c"]) -> Float[Array, "*batch c"]:
    """y plus a bias for each channel."""
    flat = y.reshape(1, -1, y.shape[-1])
    return (flat + spread(bias[None], flat.shape[1])).reshape(y.shape)


channel_sums_p = Primitive("jaxgen_channel_sums")
spread_p = Primitive("jaxgen_spread")
"""Both take further axes in front, one for each `vmap`, over which they are mapped."""


def _spread(v: Any, n: int) -> Any:
    return jnp.broadcast_to(v[:, None], (v.shape[0], n, v.shape[1]))


def _mapped(function: Callable[..., Any], rank: int) -> Callable[..., Any]:
    """The function of an array of that rank, mapped over what an array has more of."""

    def apply(x: Any, **parameters: Any) -> Any:
        f = partial(function, **parameters)
        for _ in range(x.ndim - rank):
            f = jax.vmap(f)
        return f(x)

    return apply


def _batched(primitive: Primitive, arguments: Any, axes: Any, **parameters: Any) -> tuple[Any, int]:
    return primitive.bind(jnp.moveaxis(arguments[0], axes[0], 0), **parameters), 0


def _lowering(function: Callable[..., Any], rank: int) -> Any:
    return mlir.lower_fun(_mapped(function, rank), multiple_results=False)


channel_sums_p.def_impl(jax.jit(channel_sums_p.bind))
channel_sums_p.def_abstract_eval(lambda x: x.update(shape=(*x.shape[:-2], x.shape[-1])))
ad.deflinear2(channel_sums_p, lambda ct, x: [spread_p.bind(ct, n=x.aval.shape[-2])])
mlir.register_lowering(channel_sums_p, _lowering(partial(jnp.sum, axis=1), 3))
if cpu.ENABLED:
    mlir.register_lowering(channel_sums_p, _lowering(by_product, 3), platform="cpu")

spread_p.def_impl(jax.jit(spread_p.bind, static_argnames="n"))
spread_p.def_abstract_eval(lambda v, *, n: v.update(shape=(*v.shape[:-1], n, v.shape[-1])))
ad.deflinear2(spread_p, lambda ct, v, *, n: [channel_sums_p.bind(ct)])
mlir.register_lowering(spread_p, _lowering(_spread, 2))

for _primitive in (channel_sums_p, spread_p):
    batching.primitive_batchers[_primitive] = partial(_batched, _primitive)
