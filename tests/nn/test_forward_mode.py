"""Both modes of differentiation through every module and every network that is shipped.

`jax.jvp` equals finite differences in float64, of values and of gradients, and hessians exist. Which modules there are
is looked up: one that is missing below fails.
"""

import importlib
import pkgutil
import re
import sys
from pathlib import Path

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen import ddpm, gan, nn
from jaxgen.autoencoder import networks as autoencoder_networks
from jaxgen.core import Field, Spec
from jaxgen.evaluate.classifier import ImageClassifier
from jaxgen.nn import condition_layers, conditions
from jaxgen.vae import missingness
from jaxgen.vae import networks as vae_networks

F64 = jnp.float64
IMAGE, VECTOR, LABEL = (2, 5, 4, 4), (2, 3), "label"
FIELDS = {"caption": Field((3,), "int32", 5)}
SPEC = Spec((8, 8, 1), num_classes=3, fields=FIELDS)
CONDITIONS = {"label": conditions.Embed(), "caption": conditions.CrossAttend(padding=0)}
FORMS = {"label": np.array([0, 3], np.int32), "caption": np.array([[1, 2, 0], [5, 5, 5]], np.int32)}
LABELS, TIMES = np.array([0, 2], np.int32), np.array([1, 7], np.int32)
DIGIT = (2, *SPEC.event_shape)
SLOW = pytest.mark.slow


def of_gan(network, size):
    return {
        f"gan-{size}-G": (network.generator(SPEC, 3, None, F64), VECTOR, LABELS, True),
        f"gan-{size}-D": (network.discriminator(SPEC, 3, None, F64), DIGIT, LABELS, True),
    }


def of_ddpm(network):
    return network.network(SPEC, 2, 3, F64), DIGIT, TIMES, LABELS, False


# The module and what it is called with; a shape stands for real numbers, in which it is differentiated.
QUICK = {
    "Conv": (nn.Conv(3, (3, 3), dtype=F64), IMAGE),
    "Conv, strides": (nn.Conv(3, (4, 4), strides=2, dtype=F64), IMAGE),
    "Conv, transposed": (nn.Conv(3, (4, 4), padding=((2, 2), (2, 2)), input_dilation=2, dtype=F64), IMAGE),
    "Downsample": (nn.Downsample(4, dtype=F64), IMAGE),
    "Upsample": (nn.Upsample(4, dtype=F64), IMAGE),
    "ConvTranspose": (nn.ConvTranspose(4, dtype=F64), IMAGE),
    "GroupNorm": (nn.GroupNorm(2, dtype=F64), IMAGE),
    "BatchNorm": (nn.BatchNorm(dtype=F64), IMAGE, True),
    "SelfAttention": (nn.SelfAttention(2, 2, dtype=F64), IMAGE),
    "CrossAttention": (nn.CrossAttention(2, 2, dtype=F64), IMAGE, (2, 3, 5), np.arange(6).reshape(2, 3) % 4 > 0),
    "SpectralConv": (nn.SpectralConv(4, (3, 3), dtype=F64), IMAGE),
    "SpectralDense": (nn.SpectralDense(4, dtype=F64), VECTOR),
    "SpectralEmbed": (nn.SpectralEmbed(3, 4, dtype=F64), LABELS),
    "TimeEmbedding": (nn.TimeEmbedding(4, 3, dtype=F64), TIMES, LABELS),
    "EmbedConditions": (condition_layers.EmbedConditions(CONDITIONS, SPEC, 4, dtype=F64), FORMS),
    "ConditionVector": (condition_layers.ConditionVector(CONDITIONS, SPEC, 4, dtype=F64), FORMS),
    "AppendConditions": (condition_layers.AppendConditions(CONDITIONS, SPEC, 4, dtype=F64), VECTOR, FORMS),
    "TokenConditions": (condition_layers.TokenConditions(CONDITIONS, SPEC, 4, dtype=F64), FORMS),
    "PooledTokens": (condition_layers.PooledTokens(4, dtype=F64), (2, 3, 5), np.ones((2, 3), bool)),
    "TransformerEncoder": (
        nn.TransformerEncoder(nn.Transformer(1, 2, 1), dtype=F64),
        (2, 3, 4),
        np.arange(6).reshape(2, 3) % 4 > 0,
    ),
    "vae-encoder": (vae_networks.Encoder((5,), 3, SPEC, features=(8,), dtype=F64), DIGIT),
    "vae-decoder": (vae_networks.Decoder((5,), SPEC, features=(8,), dtype=F64), VECTOR),
    "vae-missing-slopes": (missingness.Slopes(1, (3,)), VECTOR),
    "vae-missing-dense": (missingness.Dense((5,), (3,), F64), VECTOR),
    "ddpm-mlp": of_ddpm(ddpm.MLP((6,), time_features=4)),
    **of_gan(gan.MLP((6,), (6,)), "mlp"),
}
NETWORKS = {
    "autoencoder-encoder": (autoencoder_networks.Encoder((5,), 3, SPEC, features=(8,), dtype=F64), DIGIT),
    "autoencoder-decoder": (autoencoder_networks.Decoder((5,), SPEC, features=(8,), dtype=F64), VECTOR),
    "vae-dense": (vae_networks.Decoder((5,), SPEC, dtype=F64), VECTOR),
    "classifier": (ImageClassifier(3, (8,), 4, dtype=F64), DIGIT),
    "ddpm-unet": of_ddpm(ddpm.UNet(4, (1, 2), num_groups=2, attention=(), patch=2, scale_shift=True)),
    "ddpm-unet-remat": of_ddpm(ddpm.UNet(4, (1,), num_groups=2, attention=(), remat=True)),
    **of_gan(gan.DCGAN(4, num_groups=2), "dcgan"),
    **of_gan(gan.DCGAN(4, batch_norm=False, spectral=False, num_groups=2), "dcgan, groups"),
    **of_gan(gan.SNResNet((4, 4), (4, 4), 1), "resnet"),
}
CASES = QUICK | NETWORKS


def arrays(case):
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=a) if isinstance(a, tuple) else a for a in case[1:]]
    return jax.tree.map(lambda a: jnp.asarray(a) if isinstance(a, np.ndarray) else a, drawn)


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), tree)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=SLOW) for name in NETWORKS)])
def test_the_tangent_is_the_limit_of_differences(name, key):
    """Of the outputs, and of a gradient; with respect to parameters and inputs at once."""
    with jax.enable_x64(True):
        module, arguments = CASES[name][0], arrays(CASES[name])
        real = [i for i, a in enumerate(CASES[name][1:]) if isinstance(a, tuple)]
        variables = dict(jax.jit(lambda: module.init(key, *arguments))())
        point = random_like(variables.pop("params"), 1), [arguments[i] for i in real]
        direction = random_like(point, 2)
        memory = jax.tree.map(lambda leaf: leaf.astype(F64), variables)

        def outputs(point):
            params, inputs = point
            given = [inputs[real.index(i)] if i in real else a for i, a in enumerate(arguments)]
            y = module.apply({"params": params, **memory}, *given)
            return [leaf for leaf in jax.tree.leaves(y) if jnp.issubdtype(leaf.dtype, jnp.floating)]

        def values(point):
            slope = jax.grad(lambda point: sum(jnp.sum(jnp.sin(y)) for y in outputs(point)))(point)
            return outputs(point), slope

        @jax.jit
        def moved(step):
            return values(jax.tree.map(lambda v, d: v + step * d, point, direction))

        step = 1e-5
        tangents = jax.jit(lambda: jax.jvp(values, (point,), (direction,))[1])()
        differences = jax.tree.map(lambda a, b: (a - b) / (2 * step), moved(step), moved(-step))
        for ours, limit in zip(jax.tree.leaves(tangents), jax.tree.leaves(differences), strict=True):
            assert ours.dtype == jnp.float64
            np.testing.assert_allclose(ours, limit, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(limit).max()))


def test_every_module_is_among_the_cases():
    for module in pkgutil.walk_packages(jaxgen.__path__, "jaxgen."):
        if not module.name.startswith(("jaxgen.experiments", "jaxgen.cli")) and "__main__" not in module.name:
            importlib.import_module(module.name)

    def below(cls):
        return {cls}.union(*map(below, cls.__subclasses__()))

    # Not what is made on the way, within functions or by a transformation, nor what an experiment has for itself (other
    # tests import those).
    ours = {c for c in below(linen.Module) if c.__module__.startswith("jaxgen.")}
    ours = {c for c in ours if not c.__module__.startswith("jaxgen.experiments.")}
    # One without a dtype of its own knows float32 alone; its layers are cases.
    ours = {c for c in ours if "dtype" in c.__dataclass_fields__}
    ours = {c for c in ours if getattr(sys.modules[c.__module__], c.__qualname__, None) is c}
    seen = set()

    def note(function, arguments, options, context):
        seen.update(type(context.module).__mro__)
        return function(*arguments, **options)

    with jax.enable_x64(True), linen.intercept_methods(note):
        for case in CASES.values():
            jax.eval_shape(lambda case=case: case[0].init(jax.random.key(0), *arrays(case)))
    assert ours - seen == set()


def test_nothing_forbids_forward_mode():
    """`jax.custom_vjp` does, for whatever it is called in."""
    ours = re.compile(r"^[^`]*jax\.custom_vjp\b[^`]*$", re.MULTILINE)
    assert [path for path in Path(jaxgen.__file__).parent.rglob("*.py") if ours.search(path.read_text())] == []
