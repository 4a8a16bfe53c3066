"""The networks of GANs: shapes, ends, counts, and what of an example's value may depend on its neighbours."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core import Spec
from jaxgen.gan.networks import DCGAN, MLP, Architecture, SNResNet
from jaxgen.gan.networks_ends import Projection
from jaxgen.gan.networks_resnet import _halved
from jaxgen.runs.config import from_json, to_json

TINY: dict[str, Architecture] = {
    "mlp": MLP((8,), (6,), maxout=3, spectral=True),
    "dcgan": DCGAN(4),
    "dcgan-groups": DCGAN(4, batch_norm=False, spectral=False, num_groups=2),
    "dcgan-plain": DCGAN(4, batch_norm=False, spectral=False, num_groups=None),
    "resnet": SNResNet((4, 6), (4, 4), 1),
}

FAST_COMPILE: Any = {"xla_backend_optimization_level": 0}

SMALL = Spec((9, 8, 2), "uint8", 256, num_classes=3)


def pair(architecture: Architecture, spec=SMALL, num_classes: int | None = 3, axis_name=None, dtype=jnp.float32):
    arguments = (spec, num_classes, axis_name, jnp.dtype(dtype))
    architecture.check(spec)
    return architecture.generator(*arguments), architecture.discriminator(*arguments)


def created(network, x, label) -> Any:
    """Variables, random in all leaves, of about the size of their layers' own."""
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    shapes = jax.eval_shape(lambda x: network.init(rngs, x, label, train=True), x)
    rng = np.random.default_rng(0)

    def leaf_of(path, leaf):
        draws = rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))
        name = path[-1].key
        return jnp.asarray(np.abs(draws) + 0.5 if name in ("scale", "var") else draws, leaf.dtype)

    return jax.tree_util.tree_map_with_path(leaf_of, shapes)


def apply(network, variables, x, label, train=False, **options) -> Any:
    function = functools.partial(network.apply, train=train, **options)
    return jax.jit(function, compiler_options=FAST_COMPILE)(variables, x, label)


def num_parameters(network, x, label=None):
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    params = jax.eval_shape(lambda x: network.init(rngs, x, label, train=True), x)["params"]
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


@pytest.fixture(params=["mlp", "dcgan", "dcgan-groups", "resnet"], scope="module")
def networks(request):
    """Both networks, their variables and inputs: conditional, on odd sizes, five examples."""
    rng = np.random.default_rng(1)
    z, x = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((5, 4), (5, *SMALL.event_shape)))
    label = jnp.array([0, 1, 2, 1, 0], jnp.int32)
    generator, discriminator = pair(TINY[request.param])
    return (generator, created(generator, z, label), z), (discriminator, created(discriminator, x, label), x), label


@pytest.mark.parametrize(
    ("name", "event_shape"),
    [
        *((name, shape) for name in ("dcgan", "resnet") for shape in ((28, 28, 1), (64, 64, 1), (33, 20, 3), (17, 2))),
        ("dcgan", (8, 8, 1)),
        ("dcgan-groups", (28, 28, 1)),
        ("dcgan-plain", (32, 32, 3)),
        ("resnet", (4, 5, 7, 1)),
        ("mlp", (28, 28, 1)),
        ("mlp", ()),
    ],
    ids=str,
)
def test_any_size_comes_out_as_it_is_and_goes_in(name, event_shape):
    dtype = jnp.bfloat16 if event_shape == (28, 28, 1) else jnp.float32
    spec = Spec(event_shape, "uint8", 256)
    generator, discriminator = pair(TINY[name], spec, None, dtype=dtype)

    def play(key, z):
        x, of_generator = generator.init_with_output(key, z, None, train=True)
        logits, of_discriminator = discriminator.init_with_output(key, x, None, train=True)
        return x, logits, of_generator, of_discriminator

    x, logits, *variables = jax.eval_shape(play, jax.random.key(0), jnp.ones((2, 5)))
    assert x.shape == (2, *event_shape) and logits.shape == (2,)
    assert {leaf.dtype for leaf in jax.tree.leaves((x, logits, variables))} == {jnp.dtype(jnp.float32)}


def test_levels_of_dcgan():
    def sides(size, **options):
        return [side for side, _ in DCGAN(**options).sizes(Spec((size, size, 1)))]

    assert sides(28) == [28, 14, 7]
    assert sides(32) == [32, 16, 8, 4]
    assert sides(64) == [64, 32, 16, 8, 4]
    assert sides(15) == [15, 8]
    assert sides(28, levels=3) == [28, 14, 7, 4]


def test_bounds_of_model_space(networks):
    (generator, variables, z), _, label = networks
    x = apply(generator, variables, 100 * z, label)
    real = generator.clone(spec=Spec(SMALL.event_shape, num_classes=3))
    unbounded = apply(real, variables, 100 * z, label)
    np.testing.assert_allclose(x, np.tanh(unbounded), rtol=1e-5, atol=1e-6)


def test_out_of_training_a_sample_is_its_own(networks):
    (generator, variables, z), _, label = networks
    sample = apply(generator, variables, z, label)
    among_others = apply(generator, variables, z.at[1:].multiply(-3.0), label.at[1:].set(2))
    np.testing.assert_allclose(among_others[0], sample[0], atol=1e-6)
    assert np.abs(np.asarray(among_others[1] - sample[1])).max() > 1e-3


def test_in_training_too_a_discriminator_sees_each_example_by_itself(networks):
    _, (discriminator, variables, x), label = networks
    logits = apply(discriminator, variables, x, label, train=True)
    among_others = apply(discriminator, variables, x.at[1:].multiply(-3.0), label.at[1:].set(2), train=True)
    np.testing.assert_allclose(among_others[0], logits[0], rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(among_others[1:] - logits[1:])).min() > 1e-4


def test_every_parameter_has_a_gradient_and_so_has_its_penalty(networks):
    """No bias stands before a normalisation: its gradient would be rounding noise. The penalty's is a second one."""
    (generator, of_generator, z), (discriminator, of_discriminator, x), label = networks

    def sample_loss(params):
        x, _ = generator.apply({**of_generator, "params": params}, z, label, train=True, mutable=["batch_stats"])
        return jnp.mean(jnp.sin(3 * x))

    def logits(params, x):
        return discriminator.apply({**of_discriminator, "params": params}, x, label, train=True)

    def penalty(params):
        slope = jax.grad(lambda x: jnp.sum(logits(params, x)))(x)
        return jnp.mean(jnp.sum(jnp.square(slope).reshape(5, -1), axis=-1))

    def gradients(params):
        down = params["discriminator"]
        return (
            jax.grad(sample_loss)(params["generator"]),
            jax.grad(lambda p: jnp.sum(jnp.square(logits(p, x) - 1)))(down),
            jax.grad(penalty)(down),
        )

    both = {"generator": of_generator["params"], "discriminator": of_discriminator["params"]}
    *first, second = jax.jit(gradients, compiler_options=FAST_COMPILE)(both)
    for path, leaf in jax.tree_util.tree_leaves_with_path(first):
        assert float(jnp.abs(leaf).max()) > 1e-5, jax.tree_util.keystr(path)
    for path, leaf in jax.tree_util.tree_leaves_with_path(second):
        assert np.isfinite(leaf).all(), path
        assert "kernel" not in path[-1].key or float(jnp.abs(leaf).max()) > 1e-6, jax.tree_util.keystr(path)


def biased(network, x):
    shapes = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, None, train=True), x)
    leaves = jax.tree_util.tree_leaves_with_path(shapes["params"])
    return {path[0].key for path, _ in leaves if path[-1].key == "bias"}


def test_layers_with_a_bias():
    """Normalisations, their own, and what none comes after."""
    spec = Spec((32, 32, 1))
    z, x = jnp.ones((2, 5)), jnp.ones((2, 32, 32, 1))
    generator, discriminator = pair(DCGAN(4, spectral=False, num_groups=2), spec, None)
    assert biased(generator, z) == {"BatchNorm_0", "BatchNorm_1", "BatchNorm_2", "ConvTranspose_2"}
    assert biased(discriminator, x) == {"Conv_0", "GroupNorm_0", "GroupNorm_1", "Projection_0"}
    generator, discriminator = pair(SNResNet((4, 4, 4), (4, 4)), spec, None)
    assert biased(generator, z) == {"_Up_0", "_Up_1", "BatchNorm_0", "Conv_0"}
    blocks = jax.eval_shape(lambda: generator.init(jax.random.key(0), z, None, train=True))["params"]
    assert {name for name, layer in blocks["_Up_1"].items() if "bias" in layer} == {"BatchNorm_0", "BatchNorm_1"}


def test_the_variables_that_move(networks):
    (generator, of_generator, z), (discriminator, of_discriminator, x), label = networks
    for network, variables, inputs in ((generator, of_generator, z), (discriminator, of_discriminator, x)):
        rest = {name: leaves for name, leaves in variables.items() if name != "params"}
        assert set(rest) <= {"batch_stats"} if network is generator else {"spectral"}
        _, changed = apply(network, variables, inputs, label, train=True, mutable=list(rest) or ["batch_stats"])
        for old, new in zip(jax.tree.leaves(rest), jax.tree.leaves(changed), strict=True):
            assert np.abs(np.asarray(old - new)).max() > 1e-4


@pytest.mark.parametrize("name", ["dcgan", "resnet"])
def test_four_shards_are_normalised_as_one_batch(name):
    rng = np.random.default_rng(2)
    z = jnp.asarray(rng.normal(size=(8, 4)) + np.arange(8)[:, None], jnp.float32)
    (whole, _), (sharded, _) = (pair(TINY[name], num_classes=None, axis_name=axis) for axis in (None, "devices"))
    variables = created(whole, z, None)
    x, changed = apply(whole, variables, z, None, train=True, mutable="batch_stats")
    shard = functools.partial(sharded.apply, label=None, train=True, mutable="batch_stats")
    mapped = jax.vmap(shard, in_axes=(None, 0), axis_name="devices", out_axes=(0, None))
    xs, after = jax.jit(mapped, compiler_options=FAST_COMPILE)(variables, z.reshape(4, 2, 4))
    np.testing.assert_allclose(xs.reshape(x.shape), x, atol=1e-4)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), after, changed)


def test_the_label_enters_the_logits_by_projection(networks):
    """logits = psi(phi) + <embedding, phi>, recomputed from the module's own weights and features."""
    _, (discriminator, variables, x), label = networks

    def logits_and_features(variables):
        seen = []

        def watch(call, arguments, keywords, context):
            seen.extend(arguments[:1] * isinstance(context.module, Projection))
            return call(*arguments, **keywords)

        with nn.intercept_methods(watch):
            return discriminator.apply(variables, x, label, train=False), *seen

    logits, phi = jax.jit(logits_and_features, compiler_options=FAST_COMPILE)(variables)
    params = variables["params"]["Projection_0"]
    us = variables.get("spectral", {}).get("Projection_0", {})
    weights = {}
    for name, weight in (("Dense_0", "kernel"), ("Embed_0", "embedding")):
        w = np.asarray(params["Spectral" * bool(us) + name][weight], np.float64)
        weights[name] = w / np.linalg.norm(w @ np.asarray(us["Spectral" + name]["u"])) if us else w
    phi = np.asarray(phi, np.float64)
    psi = phi @ weights["Dense_0"][:, 0] + np.asarray(params["Spectral" * bool(us) + "Dense_0"]["bias"])
    expected = psi + (weights["Embed_0"][np.asarray(label)] * phi).sum(-1)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_without_classes_there_is_no_label(networks):
    (generator, _, z), (discriminator, _, x), label = networks
    for network, inputs in ((generator, z), (discriminator, x)):
        with pytest.raises(ValueError, match="label must be given where num_classes is not None, got None"):
            jax.eval_shape(lambda v, n=network: n.init(jax.random.key(0), v, None, train=False), inputs)
        with pytest.raises(ValueError, match="label must be None where num_classes is None, got one"):
            unconditional = network.clone(num_classes=None)
            jax.eval_shape(lambda v, n=unconditional: n.init(jax.random.key(0), v, label, train=False), inputs)


def test_mlp_of_2014_has_as_many_parameters():
    generator, discriminator = pair(MLP((1200, 1200), (240, 240), 5, 0.2, 0.5), Spec((28, 28, 1)), None)
    of_generator = (100 + 1) * 1200 + (1200 + 1) * 1200 + (1200 + 1) * 784
    of_discriminator = (784 + 1) * 5 * 240 + (240 + 1) * 5 * 240 + 240 + 1
    assert num_parameters(generator, jnp.ones((1, 100))) == of_generator
    assert num_parameters(discriminator, jnp.ones((1, 28, 28, 1))) == of_discriminator


def test_dcgan_has_as_many_parameters():
    """4 x 4 kernels between 100, 512, 256, 128, 64 and 3 channels, 64 x 64 to 4 x 4."""
    widths = (512, 256, 128, 64)
    kernels = sum(16 * a * b for a, b in zip(widths, (*widths[1:], 3), strict=True))
    generator, discriminator = pair(DCGAN(), Spec((64, 64, 3), "uint8", 256), None)
    assert num_parameters(generator, jnp.ones((1, 100))) == 100 * 16 * 512 + kernels + 2 * sum(widths) + 3
    assert num_parameters(discriminator, jnp.ones((1, 64, 64, 3))) == kernels + sum(widths) + 16 * 512 + 1


def test_sn_resnet_has_as_many_parameters():
    """Miyato et al. 2018, table 3, without biases in the generator's blocks."""
    generator, discriminator = pair(SNResNet(), Spec((32, 32, 3), "uint8", 256), None)
    up = 2 * 9 * 256**2 + 256**2 + 2 * 2 * 256
    assert num_parameters(generator, jnp.ones((1, 128))) == 128 * 16 * 256 + 3 * up + 2 * 256 + 9 * 256 * 3 + 3
    plain = 2 * (9 * 128 + 1) * 128
    first = (9 * 3 + 1) * 128 + (9 * 128 + 1) * 128 + (3 + 1) * 128
    halving = plain + (128 + 1) * 128
    assert num_parameters(discriminator, jnp.ones((1, 32, 32, 3))) == first + halving + 2 * plain + 128 + 1


def test_maxout_takes_the_largest_piece():
    x = jnp.asarray(np.random.default_rng(3).normal(size=(4, 2)), jnp.float32)
    _, discriminator = pair(MLP((), (3,), maxout=2), Spec((2,)), None)
    variables = created(discriminator, x, None)
    params = jax.tree.map(np.asarray, variables["params"])
    pieces = np.asarray(x) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    units = np.maximum(pieces[:, 0::2], pieces[:, 1::2])
    psi = params["Projection_0"]["Dense_0"]
    np.testing.assert_allclose(
        apply(discriminator, variables, x, None), (units @ psi["kernel"] + psi["bias"])[:, 0], rtol=1e-5, atol=1e-6
    )


def test_octaves_are_waves_beside_the_input():
    """Of one linear layer: its weights are those of x, sin 2^k x and cos 2^k x in turn."""
    x = jnp.array([[0.3, -1.2], [2.0, 0.7]])
    _, discriminator = pair(MLP((), (), octaves=2), Spec((2,)), None)
    variables = created(discriminator, x, None)
    (kernel,) = (leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 2)
    seen = jnp.concatenate([x, jnp.sin(x), jnp.sin(2 * x), jnp.cos(x), jnp.cos(2 * x)], axis=-1)
    (bias,) = (leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 1)
    logits = apply(discriminator, variables, x, None)
    np.testing.assert_allclose(logits, (seen @ kernel)[:, 0] + bias[0], rtol=1e-5)


def test_dropout_is_for_training():
    x = jnp.ones((3, 7))
    _, discriminator = pair(MLP((), (8,), dropout_input=0.2, dropout_hidden=0.5), Spec((7,)), None)
    variables = created(discriminator, x, None)
    first, second = (
        apply(discriminator, variables, x, None, train=True, rngs={"dropout": jax.random.key(k)}) for k in (0, 1)
    )
    assert np.abs(np.asarray(first - second)).min() > 1e-4
    without = apply(discriminator.clone(config=MLP((), (8,))), variables, x, None, train=True)
    np.testing.assert_array_equal(apply(discriminator, variables, x, None), without)


def test_averages_of_what_is_there():
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    pooled = np.asarray(_halved(jnp.asarray(x)))
    assert pooled.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(pooled[:, 1, 1], x[:, 2:4, 2:4].mean((1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pooled[:, 2, 0], x[:, 4, 0:2].mean(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", [MLP(maxout=2), DCGAN(levels=3), SNResNet()], ids=lambda c: type(c).__name__)
def test_architectures_are_written_to_manifests(config):
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize(
    ("architecture", "event_shape", "message"),
    [
        (DCGAN(), (2,), r"event_shape must be \(\*space, channels\) with 1 to 3 dimensions of space, got \(2,\)"),
        (SNResNet(), (8, 8, 8, 8, 1), "1 to 3 dimensions of space"),
        (DCGAN(), (28, 7, 1), r"sides of at least 8 in space, for a level of half the size, got \(28, 7, 1\)"),
        (DCGAN(levels=4), (15, 16, 1), "sides of at least 16 in space, for levels=4"),
        (SNResNet(), (7, 7, 1), "sides of at least 8 in space, for 3 halvings"),
        (SNResNet((4, 4), (4, 4), 2), (3, 4, 1), "sides of at least 4 in space, for 2 halvings"),
    ],
)
def test_events_out_of_reach(architecture, event_shape, message):
    for refuse in (architecture.check, lambda spec: architecture.generator(spec, None, None, jnp.float32)):
        with pytest.raises(ValueError, match=message):
            refuse(Spec(event_shape))


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        (MLP, {"generator_hidden": (8, 0)}, r"generator_hidden must hold integers of at least 1, got \(8, 0\)"),
        (MLP, {"maxout": 0}, "maxout must be an integer of at least 1, got 0"),
        (MLP, {"octaves": -1}, r"octaves must be an integer in 0..16, got -1"),
        (MLP, {"dropout_hidden": 1.0}, r"dropout_hidden must be a finite number at least 0 and below 1, got 1.0"),
        (DCGAN, {"features": 0}, "features must be an integer of at least 1, got 0"),
        (DCGAN, {"levels": 0}, "levels must be an integer of at least 1, got 0"),
        (DCGAN, {"num_groups": 0}, "num_groups must be an integer of at least 1, got 0"),
        (DCGAN, {"features": 12, "spectral": False}, "num_groups=8 must divide features, got 12"),
        (SNResNet, {"generator_features": (8,)}, r"generator_features must hold 2 or more integers of at least 1"),
        (SNResNet, {"discriminator_features": ()}, "discriminator_features must hold 1 or more integers"),
        (
            SNResNet,
            {"num_halvings": 5},
            "num_halvings must be an integer in 0..4, the number of the discriminator's blocks, got 5",
        ),
    ],
)
def test_bad_architectures(architecture, options, message):
    with pytest.raises(ValueError, match=message):
        architecture(**options)
