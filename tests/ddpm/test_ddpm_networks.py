"""The networks of diffusion models: shapes in any number of dimensions, counts, and where they start."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core import Spec
from jaxgen.ddpm.networks import MLP, UNet
from jaxgen.runs.config import from_json, to_json

TINY = UNet(features=4, multipliers=(1, 2), num_groups=2, attention=(1,))


def applied(config, shape, outputs=1, num_classes=None, dtype="float32"):
    """The network, an input, and shapes of its parameters."""
    config.check(Spec(shape))
    network = config.network(Spec(shape), outputs, num_classes, jnp.dtype(dtype))
    x, t = jnp.zeros((2, *shape)), jnp.array([1, 7], jnp.int32)
    label = None if num_classes is None else jnp.array([0, 1], jnp.int32)
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), x, t, label, train=False))
    return network, (x, t, label), params


def test_the_papers_network_has_the_papers_number_of_parameters():
    """35.7 M (Ho et al. 2020, appendix B); to the digit, that of the published checkpoint."""
    _, _, params = applied(UNet.cifar10(), (32, 32, 3))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == 35_746_307


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (TINY, (13, 2)),
        (TINY, (7, 9, 1)),
        (UNet(features=4, multipliers=(1, 1, 1), num_groups=1, num_heads=2, scale_shift=True), (5, 1, 6, 1)),
        (UNet(features=4, multipliers=(1,), num_groups=2, attention=(), patch=2), (6, 4, 3)),
        (MLP((8,)), (2,)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_output_has_the_events_shape(config, shape, dtype):
    network, inputs, params = applied(config, shape, 2, 3, dtype)
    outputs = jax.eval_shape(lambda params: network.apply(params, *inputs, train=False), params)
    assert [(o.shape, o.dtype) for o in outputs] == [((2, *shape), jnp.float32)] * 2
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


@pytest.mark.slow
def test_it_starts_at_zero_and_its_gradient_does_not_depend_on_remat():
    def found(config):
        network, (_, t, label), _ = applied(config, (4, 4, 1), num_classes=2)
        x = jax.random.normal(jax.random.key(1), (2, 4, 4, 1))

        @jax.jit
        def both(params):
            def loss(params):
                (output,) = network.apply(params, x, t, label, train=False)
                return jnp.square(output - x).sum(), output

            return jax.grad(loss, has_aux=True)(params)

        start = jax.jit(lambda key: network.init(key, x, t, label, train=False))(jax.random.key(0))
        rng = np.random.default_rng(0)
        moved = jax.tree.map(lambda leaf: leaf + jnp.asarray(0.1 * rng.normal(size=leaf.shape), jnp.float32), start)
        return both(start)[1], both(moved)

    small = {"features": 4, "multipliers": (1,), "num_groups": 2, "attention": ()}
    start, (gradient, output) = found(UNet(**small))
    assert not np.asarray(start).any()
    assert not np.allclose(output[0], output[1])
    _, (again, _) = found(UNet(remat=True, **small))
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(again), strict=True):
        assert np.asarray(a).any()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": 6, "num_groups": 4}, "must divide the channels"),
        ({"features": 5}, "even integer"),
        ({"multipliers": ()}, "multipliers must hold 1 or more integers"),
        ({"attention": (3,)}, "levels 0..2"),
        ({"dropout": 1.0}, "dropout"),
        ({"patch": 0}, "patch"),
    ],
)
def test_a_unet_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        UNet(**change)


def test_data_that_do_not_fit_are_refused_with_the_size_that_fits():
    with pytest.raises(ValueError, match=r"\(8, 8\) would fit"):
        UNet(patch=4).check(Spec((7, 8, 1)))
    with pytest.raises(ValueError, match="spatial dimensions"):
        UNet().check(Spec((2,)))
    with pytest.raises(ValueError, match="hidden"):
        MLP(())
    with pytest.raises(ValueError, match="time_features"):
        MLP(time_features=3)


def test_a_network_is_written_to_a_manifest_and_read_again():
    assert from_json(to_json(UNet.cifar10())) == UNet.cifar10()


def test_the_name_that_earlier_runs_have_in_their_manifests_still_loads():
    tree = {**to_json(UNet.cifar10()), "type": "jaxgen.ddpm.networks_unet.UNet"}
    assert from_json(tree) == UNet.cifar10()
