"""One convolution for every network: differentiable in both modes to any order, and fast inside a loop on a CPU.

A convolution is bilinear, and its gradients are the other two derivatives of one trilinear form,

    T(x, kernel, g) = <g, convolution(x, kernel)>:     y = dT/dg,     dT/dx,     dT/dkernel

each of them bilinear again in the two that are left. They are one primitive here, whose `slot` says by which of the
three T is differentiated: forward mode needs no more than bilinearity, reverse mode and every further order leads from
one slot to another. A primitive is lowered by platform: `jaxgen.nn.cpu.convolution` has the forms that XLA's CPU
compiler runs fast, on GPU and TPU all three are lax's own, which the compilers there recognise.

(`jax.custom_vjp` would forbid forward mode, and with it `jax.jvp` and `jax.hessian` of whatever network this is in.)
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.nn import cpu
from jaxgen.nn.cpu import convolution as forms
from jaxgen.nn.sums import add_bias
from jaxgen.nn.window import Window, channels_last, extent, native


def conv_general_dilated(
    lhs: Float[Array, "..."],
    rhs: Float[Array, "..."],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
) -> Float[Array, "..."]:
    """`lax.conv_general_dilated`, with gradients that stay fast inside a loop on a CPU.

    Values and derivatives are those of `lax.conv_general_dilated`, in both modes and to any order.

    Args:
        lhs: Input.
        rhs: Kernel.
        window_strides: Stride per spatial dimension.
        padding: "SAME", "VALID", or (low, high) per spatial dimension; explicit where `lhs_dilation` is not 1.
        lhs_dilation: Spacing of the input's points, 1 by default. s makes it a transposed convolution of stride s.
        rhs_dilation: Spacing of the kernel's points, 1 by default.
        dimension_numbers: Order of the axes. The gradients are written for channels last, in input, output and kernel,
            with 1 to 3 spatial dimensions; any other order is left to `lax`.
        feature_group_count: Number of groups of channels; more than 1 is left to `lax`.
        precision: Precision of the products, as in `lax`.

    Returns:
        The convolution, in the dtype of the arguments.
    """
    spatial = lhs.ndim - 2
    lhs_dilation = tuple(lhs_dilation or (1,) * spatial)
    rhs_dilation = tuple(rhs_dilation or (1,) * spatial)
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    undefined = isinstance(padding, str) and any(d != 1 for d in lhs_dilation)  # lax raises the error
    if numbers != channels_last(spatial) or not 1 <= spatial <= 3 or feature_group_count != 1 or undefined:
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            precision=precision,
        )
    if isinstance(padding, str):
        extents = [extent(k, d) for k, d in zip(rhs.shape[:-2], rhs_dilation, strict=True)]
        padding = lax.padtype_to_pads(lhs.shape[1:-1], extents, window_strides, padding)
    pairs = tuple((int(low), int(high)) for low, high in padding)
    return _convolve(lhs, rhs, Window(tuple(window_strides), pairs, lhs_dilation, rhs_dilation, precision))


convolution_p = Primitive("jaxgen_convolution")
"""dT by the argument `slot`, of the two others in the order (x, kernel, g):

    slot "g"        (x, kernel) -> y        [b, *space, i], [*window, i, o] -> [b, *out, o]
    slot "x"        (g, kernel) -> dT/dx
    slot "kernel"   (x, g) -> dT/dkernel

`via`: for a derivative that was taken of a gradient, the slot of that gradient; a CPU then sums in the order in which
the gradient's own form would. `space`: spatial sizes of x and of the kernel. `mapped`: both arguments, and the result,
have one more axis in front, over which the convolutions run side by side.
"""

_ARGUMENTS = {"g": ("x", "kernel"), "x": ("g", "kernel"), "kernel": ("x", "g")}


def _convolve(x: Any, kernel: Any, window: Window) -> Any:
    space = (x.shape[1:-1], kernel.shape[:-2])
    return convolution_p.bind(x, kernel, slot="g", via=None, window=window, space=space, mapped=False)


def _native(a: Any, b: Any, *, slot: str, via: str | None, window: Window, space: Any, mapped: bool) -> Any:
    """The derivative by lax alone."""
    if mapped:
        return jax.vmap(partial(_native, slot=slot, via=via, window=window, space=space, mapped=False))(a, b)
    if slot == "g":
        return native(a, b, window)
    if slot == "x":
        x = jax.ShapeDtypeStruct((a.shape[0], *space[0], b.shape[-2]), a.dtype)
        return jax.linear_transpose(partial(native, kernel=b, window=window), x)(a)[0]
    kernel = jax.ShapeDtypeStruct((*space[1], a.shape[-1], b.shape[-1]), a.dtype)
    return jax.linear_transpose(partial(native, a, window=window), kernel)(b)[0]


def _on_cpu(a: Any, b: Any, *, slot: str, via: str | None, window: Window, space: Any, mapped: bool) -> Any:
    """The derivative in the forms that XLA's CPU compiler runs fast."""
    if mapped:
        return jax.vmap(partial(_on_cpu, slot=slot, via=via, window=window, space=space, mapped=False))(a, b)
    if via is not None:
        given = dict(zip(_ARGUMENTS[slot], (a, b), strict=True))
        geometry: Any = {"via": None, "window": window, "space": space, "mapped": False}

        def gradient(v: Any) -> Any:
            return _on_cpu(*({**given, slot: v}[name] for name in _ARGUMENTS[via]), slot=via, **geometry)

        out = jax.eval_shape(partial(_native, slot=slot, **geometry), a, b)
        return jax.linear_transpose(gradient, out)(given[via])[0]
    if slot == "g":
        return forms.convolution(a, b, window, _convolve)
    if slot == "x":
        return forms.gradient_x(a, b, space[0], window, _convolve)
    return forms.gradient_kernel(a, b, space[1], window, _convolve)


def _cotangent(place: int) -> Callable[..., Any]:
    """The rule for the cotangent of the first or the second argument: <ct, dT/dslot> is T again, with ct in `slot`."""

    def rule(ct: Any, a: Any, b: Any, *, slot: str, via: str | None, **geometry: Any) -> Any:
        names = _ARGUMENTS[slot]
        target, given = names[place], {slot: ct, names[1 - place]: (a, b)[1 - place]}
        arguments = (given[name] for name in _ARGUMENTS[target])
        return convolution_p.bind(*arguments, slot=target, via=None if slot == "g" else slot, **geometry)

    return rule


def _batched(arguments: Any, axes: Any, *, slot: str, mapped: bool, **geometry: Any) -> tuple[Any, int]:
    """One argument with a further axis: it joins the batch or the channels, and comes out of them again. Both: the
    convolutions run side by side."""
    bind = partial(convolution_p.bind, slot=slot, **geometry)
    if None not in axes:
        (a, b) = (jnp.moveaxis(v, axis, 0) for v, axis in zip(arguments, axes, strict=True))
        if not mapped:
            return bind(a, b, mapped=True), 0
        joined = (v.reshape(-1, *v.shape[2:]) for v in (a, b))
        out = bind(*joined, mapped=True)
        return out.reshape(a.shape[:2] + out.shape[1:]), 0
    place = 0 if axes[1] is None else 1
    # Counted without the mapped axis: where the argument has, and where the output gets, what is independent.
    (own, out_at) = {
        ("g", 0): (0, 0), ("g", 1): (-1, -1), ("x", 0): (0, 0), ("x", 1): (-2, -1), ("kernel", 0): (-1, -2),
        ("kernel", 1): (-1, -1),
    }[slot, place]  # fmt: skip
    v, num = arguments[place], arguments[place].shape[axes[place]]
    own = own + mapped if own == 0 else own + v.ndim - 1
    v = jnp.moveaxis(v, axes[place], own)
    v = v.reshape(*v.shape[:own], num * v.shape[own + 1], *v.shape[own + 2 :])
    out = bind(*((v, arguments[1]) if place == 0 else (arguments[0], v)), mapped=mapped)
    at = out_at + mapped if out_at == 0 else out_at + out.ndim
    return out.reshape(*out.shape[:at], num, -1, *out.shape[at + 1 :]), at


@partial(jax.jit, static_argnames=("slot", "via", "window", "space", "mapped"))
def _by_itself(a: Any, b: Any, **parameters: Any) -> Any:
    return convolution_p.bind(a, b, **parameters)


def _abstract(a: Any, b: Any, **parameters: Any) -> Any:
    out = jax.eval_shape(partial(_native, **parameters), *(jax.ShapeDtypeStruct(v.shape, v.dtype) for v in (a, b)))
    return a.update(shape=out.shape, dtype=out.dtype)


convolution_p.def_impl(_by_itself)
convolution_p.def_abstract_eval(_abstract)
ad.defbilinear(convolution_p, _cotangent(0), _cotangent(1))
batching.primitive_batchers[convolution_p] = _batched
mlir.register_lowering(convolution_p, mlir.lower_fun(_native, multiple_results=False))
if cpu.ENABLED:
    mlir.register_lowering(convolution_p, mlir.lower_fun(_on_cpu, multiple_results=False), platform="cpu")


class Conv(nn.Module):
    """flax's convolution with `conv_general_dilated` instead of lax's; parameters are "kernel" and "bias", as in flax.

    Attributes:
        features: Output channels.
        kernel_size: Size of the kernel, one entry per spatial dimension.
        strides: Stride in every spatial dimension.
        padding: "SAME", "VALID", or (low, high) per spatial dimension.
        input_dilation: Dilation of the input in every spatial dimension; s gives a transposed convolution of stride s.
        use_bias: Whether a bias is added; False before a normalisation.
        kernel_init: Initialiser of the kernel.
        dtype: Dtype of the computation; parameters stay float32.
        function: Function called with input and kernel in the place of `lax.conv_general_dilated`.
    """

    features: int
    kernel_size: tuple[int, ...]
    strides: int = 1
    padding: str | tuple[tuple[int, int], ...] = "SAME"
    input_dilation: int = 1
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32
    function: Callable[..., Array] = conv_general_dilated

    def setup(self):
        for name in ("features", "strides", "input_dilation"):
            require.size(name, getattr(self, name))
        require.sizes("kernel_size", self.kernel_size, fewest=1)
        self.layer = nn.Conv(
            self.features,
            self.kernel_size,
            self.strides,
            self.padding,
            self.input_dilation,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            conv_general_dilated=self.function,
        )
        nn.share_scope(self, self.layer)
        if self.use_bias:
            self.bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)

    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *out d"]:
        y = self.layer(x)
        return add_bias(y, self.bias.astype(self.dtype)) if self.use_bias else y
