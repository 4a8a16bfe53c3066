"""Encoders and decoders take any size; the way up ends where the way down began."""

from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn import ConvDecoder, ConvEncoder, ConvTranspose, Downsample, Upsample, halvings


def init(layer, key, x, *size) -> Any:
    """Variables of a layer, random in all leaves. (The layers' own initialisers take seconds to compile.)"""
    shapes = jax.eval_shape(lambda key, x: layer.init(key, x, *size), key, x)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.2, leaf.shape), leaf.dtype), shapes)


def apply(layer, variables, x, *size) -> Any:
    return jax.jit(lambda variables, x: layer.apply(variables, x, *size))(variables, x)


def test_halvings_round_up():
    assert halvings((28, 20), 3) == [(28, 20), (14, 10), (7, 5), (4, 3)]
    assert halvings((1,), 2) == [(1,), (1,), (1,)]


@pytest.mark.parametrize("upsample", [Upsample, ConvTranspose])
@pytest.mark.parametrize("event_shape", [(28, 28, 1), (33, 20, 3), (1, 7, 2), (17, 3), (5, 6, 7, 1)], ids=str)
def test_any_size_down_and_up(key, event_shape, upsample):
    encoder = ConvEncoder((16, 32))
    decoder = ConvDecoder((32, 16), event_shape, upsample=upsample)

    def down_and_up(key, x):
        h, _ = encoder.init_with_output(key, x)
        assert h.shape == (2, *halvings(event_shape[:-1], 2)[-1], 32)
        return decoder.init_with_output(key, h.reshape(2, -1))[0]

    x = jnp.ones((2, *event_shape))
    assert jax.eval_shape(down_and_up, key, x).shape == x.shape


@pytest.mark.parametrize("upsample", [Upsample, ConvTranspose])
def test_bfloat16_is_close_to_float32(key, upsample):
    z = jax.random.normal(key, (2, 5))
    full, half = (ConvDecoder((16, 8), (9, 7, 3), upsample=upsample, dtype=d) for d in (jnp.float32, jnp.bfloat16))
    variables = init(half, key, z)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    y, y_half = apply(full, variables, z), apply(half, variables, z)
    assert y_half.dtype == jnp.float32
    np.testing.assert_allclose(y_half, y, atol=0.1)

    x = jax.random.normal(key, (2, 9, 7, 3))
    encoder = ConvEncoder((8, 16), dtype=jnp.bfloat16)
    h = apply(encoder, init(encoder, key, x), x)
    assert h.dtype == jnp.bfloat16


def test_every_parameter_has_a_gradient(key):
    """No bias stands before a normalisation: its gradient would be rounding noise."""
    x = jax.random.normal(key, (3, 9, 6, 2))
    encoder, decoder = ConvEncoder((8, 16), num_groups=4), ConvDecoder((16, 8), (9, 6, 2), num_groups=4)
    down = init(encoder, key, x)
    up = init(decoder, key, jnp.ones((3, 3 * 2 * 16)))

    def loss(both):
        h = apply(encoder, both[0], x)
        return jnp.mean(jnp.square(apply(decoder, both[1], h.reshape(3, -1)) - x))

    for path, grad in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))((down, up))):
        assert float(jnp.abs(grad).max()) > 1e-4, jax.tree_util.keystr(path)


def test_without_normalisation_there_are_biases(key):
    variables = init(ConvEncoder((6,), num_groups=None), key, jnp.ones((1, 4, 4, 1)))
    assert list(variables["params"]) == ["Downsample_0"]
    assert set(variables["params"]["Downsample_0"]["Conv_0"]) == {"kernel", "bias"}


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(6, 8), (5, 8)])
def test_upsample_is_nearest_neighbours_then_a_convolution(key, kernel_size, size):
    x = jax.random.normal(key, (2, 3, 4, 2))
    layer = Upsample(5, kernel_size)
    variables = init(layer, key, x)
    plain = flax.linen.Conv(5, (kernel_size, kernel_size))

    def theirs(variables, x):
        doubled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)[:, : size[0], : size[1]]
        return plain.apply({"params": variables["params"]["Conv_0"]}, doubled)

    def ours(variables, x):
        return layer.apply(variables, x, size)

    def gradients(function):
        return jax.jit(jax.grad(lambda variables, x: jnp.sum(jnp.sin(function(variables, x))), argnums=(0, 1)))

    np.testing.assert_allclose(jax.jit(ours)(variables, x), jax.jit(theirs)(variables, x), atol=1e-5)
    found, expected = gradients(ours)(variables, x), gradients(theirs)(variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected)


@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5])
def test_transposed_convolution_is_flax_convolution_cut(key, kernel_size):
    x = jax.random.normal(key, (2, 3, 4, 2))
    layer = ConvTranspose(5, kernel_size)
    variables = init(layer, key, x)
    theirs = flax.linen.ConvTranspose(5, (kernel_size, kernel_size), (2, 2))
    expected = apply(theirs, {"params": variables["params"]["Conv_0"]}, x)
    np.testing.assert_allclose(apply(layer, variables, x), expected, atol=1e-5)
    np.testing.assert_allclose(apply(layer, variables, x, (5, 8)), expected[:, :5], atol=1e-5)


def test_downsample_rounds_up(key):
    x = jnp.ones((1, 5, 8, 3))
    y = apply(Downsample(4), init(Downsample(4), key, x), x)
    assert y.shape == (1, 3, 4, 4)


@pytest.mark.parametrize("layer", [Upsample(2), ConvTranspose(2)])
def test_size_out_of_reach(key, layer):
    with pytest.raises(ValueError, match=r"size must be what halves to \(3, 4\), rounded up, got \(4, 8\)"):
        layer.init(key, jnp.ones((1, 3, 4, 1)), (4, 8))


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (ConvDecoder((8,), (64,)), r"event_shape must be \(\*space, channels\), got \(64,\)"),
        (ConvDecoder((), (8, 8, 1)), "features must hold 1 or more integers of at least 1"),
        (ConvDecoder((12,), (8, 8, 1)), "num_groups=8 must divide the number of channels, got 12"),
    ],
)
def test_bad_decoders(key, decoder, message):
    with pytest.raises(ValueError, match=message):
        decoder.init(key, jnp.ones((1, 3)))
