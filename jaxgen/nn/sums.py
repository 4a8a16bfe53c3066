"""Sums over positions or examples for each channel, and their opposite, as fast as they can be on a CPU.

Every bias and every normalisation needs them: a bias is spread over all positions, and its gradient is the sum over
them. The two are each other's transpose,

    sum:  y_mc = sum_n x_mnc            spread:  x_mnc = v_mc,  n times

and both are linear primitives here, so that derivatives of every order and mode keep the form. On a CPU the sum is a
product with ones (`jaxgen.nn.cpu.sums`), elsewhere an ordinary sum.
"""

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


def _spread(v: Any, *, n: int) -> Any:
    return jnp.broadcast_to(v[:, None], (v.shape[0], n, v.shape[1]))


def _with_examples_in_front(primitive: Primitive, arguments: Any, axes: Any, **parameters: Any) -> tuple[Any, int]:
    """A further axis joins the first, which is independent already."""
    v = jnp.moveaxis(arguments[0], axes[0], 0)
    out = primitive.bind(v.reshape(-1, *v.shape[2:]), **parameters)
    return out.reshape(*v.shape[:2], *out.shape[1:]), 0


channel_sums_p.def_impl(jax.jit(channel_sums_p.bind))
channel_sums_p.def_abstract_eval(lambda x: x.update(shape=(x.shape[0], x.shape[2])))
ad.deflinear2(channel_sums_p, lambda ct, x: [spread_p.bind(ct, n=x.aval.shape[1])])
mlir.register_lowering(channel_sums_p, mlir.lower_fun(partial(jnp.sum, axis=1), multiple_results=False))
if cpu.ENABLED:
    mlir.register_lowering(channel_sums_p, mlir.lower_fun(by_product, multiple_results=False), platform="cpu")

spread_p.def_impl(jax.jit(spread_p.bind, static_argnames="n"))
spread_p.def_abstract_eval(lambda v, *, n: v.update(shape=(v.shape[0], n, v.shape[1])))
ad.deflinear2(spread_p, lambda ct, v, *, n: [channel_sums_p.bind(ct)])
mlir.register_lowering(spread_p, mlir.lower_fun(_spread, multiple_results=False))

for _primitive in (channel_sums_p, spread_p):
    batching.primitive_batchers[_primitive] = partial(_with_examples_in_front, _primitive)
