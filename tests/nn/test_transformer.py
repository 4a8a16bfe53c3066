"""The transformer encoder: its equation, what it looks at, and its place between tokens and networks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core import Field, Spec
from jaxgen.nn import (
    CrossAttend,
    PooledTokens,
    TokenConditions,
    Transformer,
    TransformerEncoder,
    UNet,
    conditions,
)

B, L, E = 2, 5, 8
TOKENS = jnp.asarray(np.random.default_rng(0).normal(size=(B, L, E)), jnp.float32)
MASK = jnp.array([[True] * 5, [True, True, True, False, False]])


def of(config, dtype=jnp.float32):
    """An encoder and parameters that are all random."""
    module = TransformerEncoder(config, dtype)
    params = module.init(jax.random.key(0), TOKENS, MASK)
    rng = np.random.default_rng(1)
    return module, jax.tree.map(lambda p: jnp.asarray(0.5 * rng.normal(size=p.shape), jnp.float32), params)


def out(module, params, *inputs) -> Any:
    return module.apply(params, *inputs)


def layer_norm(h, p):
    centred = h - h.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def dense(h, p):
    return h @ p["kernel"] + p["bias"]


def test_one_layer_is_the_equation():
    module, params = of(Transformer(num_layers=1, num_heads=2, widening=3))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    for tokens, mask, found in zip(
        np.asarray(TOKENS, np.float64), np.asarray(MASK), out(module, params, TOKENS, MASK), strict=True
    ):
        q, k, v = np.split(dense(layer_norm(tokens, p["norm_attention_0"]), p["qkv_0"]), 3, axis=-1)
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            weights = np.where(mask, np.exp(q[:, head] @ k[:, head].T / 2), 0)
            heads.append(weights / weights.sum(axis=-1, keepdims=True) @ v[:, head])
        h = tokens + dense(np.concatenate(heads, axis=-1), p["attended_0"])
        hidden = dense(layer_norm(h, p["norm_hidden_0"]), p["hidden_0"])
        h = h + dense(hidden / (1 + np.exp(-hidden)), p["out_0"])
        np.testing.assert_allclose(found, layer_norm(h, p["norm"]), rtol=1e-4, atol=1e-4)


def test_before_training_each_token_is_only_normalised():
    module = TransformerEncoder(Transformer())
    params = module.init(jax.random.key(0), TOKENS)
    found = out(module, params, TOKENS)
    np.testing.assert_allclose(found, layer_norm(TOKENS, {"scale": 1, "bias": 0}), rtol=1e-4, atol=1e-5)


def test_a_token_looks_at_all_others_but_those_behind_the_mask():
    module, params = of(Transformer(num_heads=2))
    found = out(module, params, TOKENS, MASK)
    for at, seen in ((1, True), (4, False)):
        changed = np.array(TOKENS)
        changed[1, at] = changed[1, at, ::-1]
        others = np.delete(np.abs(out(module, params, jnp.asarray(changed), MASK) - found)[1], at, axis=0).max(axis=-1)
        assert (others > 1e-3).all() if seen else (others < 1e-5).all()
    order = np.array([3, 0, 4, 2, 1])  # without positions, the order of the tokens is that of the results
    np.testing.assert_allclose(
        out(module, params, TOKENS[:, order]), out(module, params, TOKENS)[:, order], rtol=1e-4, atol=1e-4
    )


def test_half_precision():
    config = Transformer(num_heads=2)
    exact = out(*of(config), TOKENS, MASK)
    module, params = of(config, jnp.bfloat16)
    found = out(module, params, jnp.asarray(TOKENS, jnp.bfloat16), MASK)
    assert found.dtype == jnp.bfloat16 and np.abs(np.asarray(found, np.float32) - exact).mean() < 0.1


@pytest.mark.parametrize("name", ["num_layers", "num_heads", "widening"])
def test_numbers_that_are_none(name):
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
        Transformer(**{name: 0})


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads=3 must divide the width of the tokens, got 8"):
        TransformerEncoder(Transformer(num_heads=3)).init(jax.random.key(0), TOKENS)


SPEC = Spec((4, 4, 1), fields={"caption": Field((L,), "int32", 7), "vectors": Field((3, 6), "float32")})
GIVEN = {
    "caption": np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]], np.int32),
    "vectors": np.random.default_rng(2).normal(size=(2, 3, 6)).astype(np.float32),
}


@pytest.mark.parametrize(("name", "padding"), [("caption", 0), pytest.param("vectors", None, marks=pytest.mark.slow)])
def test_an_encoder_comes_between_the_embedding_and_the_network(name, padding):
    """Of tokens and of vectors from elsewhere; without one the parameters are those of before."""
    plain = {name: CrossAttend(padding=padding)}
    encoder = Transformer(num_layers=1, num_heads=2)
    encoded = {name: CrossAttend(padding=padding, encoder=encoder)}
    forms = conditions.given(plain, SPEC, GIVEN)
    layers = {kind: TokenConditions(choice, SPEC, E) for kind, choice in (("plain", plain), ("encoded", encoded))}
    params = {kind: layer.init(jax.random.key(0), forms)["params"] for kind, layer in layers.items()}
    assert params["plain"].keys() == {f"embed_{name}", f"positions_{name}"}
    assert params["encoded"].keys() == {*params["plain"], f"encoder_{name}"}
    own = dict(params["encoded"])
    weights = own.pop(f"encoder_{name}")
    tokens, mask = out(layers["plain"], {"params": own}, forms)
    expected = out(TransformerEncoder(encoder), {"params": weights}, tokens, mask)
    found = out(layers["encoded"], {"params": params["encoded"]}, forms)
    np.testing.assert_allclose(found.tokens, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.mask, mask)


def test_pooled_tokens_are_their_average_by_learned_weights():
    """Padding has no weight, and a sequence of padding alone the average 0."""
    module, mask = PooledTokens(6), jnp.concatenate([MASK[1:], jnp.zeros((1, L), bool)])
    params = module.init(jax.random.key(0), TOKENS, mask)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    tokens = np.asarray(TOKENS[0, :3], np.float64)
    weights = np.exp(tokens @ p["weights"]["kernel"][:, 0])
    expected = dense(weights @ tokens / weights.sum(), p["told"])
    np.testing.assert_allclose(out(module, params, TOKENS, mask), [expected, p["told"]["bias"]], rtol=1e-4, atol=1e-5)


def test_a_unet_adds_pooled_tokens_to_the_time():
    """Without the field the parameters are those of before."""
    network = UNet(4, (1,), attention=(), num_groups=2)
    x, t = jnp.zeros((2, 4, 4, 1)), jnp.array([1, 2])
    names = []
    for pooled in (False, True):
        choice = {"caption": CrossAttend(padding=0, pooled=pooled)}
        module, forms = network.network(SPEC, 1, None, jnp.float32, choice), conditions.given(choice, SPEC, GIVEN)
        shapes: Any = jax.eval_shape(lambda m=module, f=forms: m.init(jax.random.key(0), x, t, None, False, f))
        names.append(set(shapes["params"]))
    assert names[1] - names[0] == {"pooled"} and names[0] <= names[1]


def test_what_is_no_encoder_is_refused():
    with pytest.raises(ValueError, match=r"encoder must be Transformer\(\.\.\.\), got 'bert'"):
        CrossAttend.__post_init__(_with_encoder("bert"))


def _with_encoder(value):
    """A condition as it is before its checks, where beartype is not the first to refuse."""
    condition = object.__new__(CrossAttend)
    for name, own in {"dropout": 0.1, "padding": None, "encoder": value, "pooled": False}.items():
        object.__setattr__(condition, name, own)
    return condition
