"""What stays in float32 when a network computes in bfloat16: losses, likelihoods, normalisations, softmax.

The jaxpr of a loss says it before anything is compiled: no sum, maximum, exponential, logarithm or root takes bfloat16.
"""

import inspect

import jax
import jax.numpy as jnp
import pytest
from models import tiny_autoencoder, tiny_ddpm, tiny_gan, tiny_vae

from jaxgen import autoencoder, ddpm, gan, vae
from jaxgen.nn import attention

FINE = {
    *("reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "argmax", "cumsum", "cumprod", "cumlogsumexp"),
    *("exp", "exp2", "expm1", "log", "log1p", "sqrt", "rsqrt", "cbrt", "erf", "erfc", "erf_inv", "lgamma"),
}
"""Operations that bfloat16, with its three digits, is too coarse for."""

CASES = {
    "autoencoder": lambda **low: tiny_autoencoder(**low),
    "vae-bernoulli": lambda **low: tiny_vae(**low),
    "vae-normal": lambda **low: tiny_vae(likelihood=vae.Normal(learn=True), **low),
    "vae-discretized": lambda **low: tiny_vae(likelihood=vae.DiscretizedNormal(), features=(8, 16), **low),
    "vae-importance": lambda **low: tiny_vae(num_samples=3, **low),
    "gan": lambda **low: tiny_gan(**low),
    "gan-convolutional": lambda **low: tiny_gan(
        network=gan.DCGAN(features=8, num_groups=4), conditional=True, n_critic=1, **low
    ),
    "ddpm": lambda **low: tiny_ddpm(
        network=ddpm.UNet(features=4, multipliers=(1, 2), num_groups=2, attention=(1,), dropout=0.1), **low
    ),
    "ddpm-learned-variance": lambda **low: tiny_ddpm(
        network=ddpm.MLP((16,), time_features=8), variance=ddpm.LearnedVariance(), weighting=ddpm.MinSNR(), **low
    ),
}


def coarse(function, *arguments):
    """Operations of `FINE` with operands in bfloat16, by name, and outputs in bfloat16."""
    found, waiting = set(), [jax.make_jaxpr(function)(*arguments).jaxpr]
    outputs = {"output" for v in waiting[0].outvars if v.aval.dtype == jnp.bfloat16}
    while waiting:
        for equation in waiting.pop().eqns:
            if equation.primitive.name in FINE and any(v.aval.dtype == jnp.bfloat16 for v in equation.invars):
                found.add(equation.primitive.name)
            for value in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")):
                if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                    waiting.append(value if hasattr(value, "eqns") else value.jaxpr)
    return found | outputs


def losses_of(objective):
    """The losses of an objective or of a game, by name."""
    names = ("loss", "discriminator_loss", "generator_loss")
    return {name: getattr(objective, name) for name in names if hasattr(objective, name)}


@pytest.mark.parametrize("name", CASES)
def test_losses_and_likelihoods_are_computed_in_float32(name):
    model, dataset = CASES[name](dtype="bfloat16")
    batch = dataset.train.batches(seed=0, batch_size=8)(0)
    key = jax.random.key(0)
    state = jax.eval_shape(model.init, key, batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)} == {
        jnp.dtype("float32")
    }
    for loss in losses_of(model.objective).values():

        def told(variables, loss=loss):
            losses, aux = loss(variables, key, batch, jnp.int32(0))
            return losses, dict(aux.metrics)

        jaxpr = str(jax.make_jaxpr(told)(state.variables))
        assert "bf16" in jaxpr  # the network does compute in it
        assert coarse(told, state.variables) == set()
    assert coarse(lambda variables: model.evaluate(key, variables, batch), state.variables) == set()


@pytest.mark.parametrize("kernel", ["einsum", "dot_product"])
def test_the_softmax_of_attention_is_computed_in_float32(kernel):
    q = jnp.ones((2, 4, 2, 8), jnp.bfloat16)

    def loss(q):
        return attention(q, q, q, jnp.ones((2, 4), bool), kernel).astype(jnp.float32).sum()

    with jax.numpy_dtype_promotion("standard"):  # jax's own function needs it
        assert coarse(jax.value_and_grad(loss), q) == {"output"}  # the gradient itself


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: jax.nn.softmax(x), {"exp", "reduce_max", "output"}),
        (lambda x: jax.jit(lambda x: jnp.log(x))(x).astype(jnp.float32), {"log"}),
        (lambda x: jax.lax.scan(lambda c, v: (c, jnp.exp(v)), 0, x)[1].astype(jnp.float32), {"exp"}),
        (lambda x: jnp.exp(x.astype(jnp.float32)), set()),
    ],
)
def test_what_is_too_coarse_is_found(function, expected):
    assert expected <= (found := coarse(function, jnp.ones(4, jnp.bfloat16))) and bool(found) == bool(expected)


@pytest.mark.parametrize("family", [autoencoder, vae, gan, ddpm])
def test_every_family_states_its_precision(family):
    assert inspect.signature(family.Config).parameters["dtype"].default == "float32"
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'bfloat16', got 'float16'"):
        family.Config(dtype="float16")
