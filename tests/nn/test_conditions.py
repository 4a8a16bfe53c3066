"""Conditions: the form in which a network receives them, their withholding, and the layers that take them in."""

import inspect
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core import Field, Spec
from jaxgen.nn import Concat, CrossAttend, CrossAttention, Embed, EmbedConditions, TokenConditions, conditions

B, V = 6, 7
SPEC = Spec(
    (4, 6, 3),
    "uint8",
    256,
    num_classes=10,
    fields={
        "low": Field((2, 3, 1), "uint8"),
        "same": Field((4, 6, 2), "float32"),
        "edges": Field((4, 6, 1), "bool"),
        "caption": Field((5,), "int32", V),
        "frames": Field((3, 4), "float32"),
        "vector": Field((4,), "float32"),
        "attributes": Field((3,), "bool"),
        "angle": Field((), "float32"),
    },
)
CONDITIONS = {
    "label": Embed(),
    "vector": Embed(0.2),
    "attributes": Embed(),
    "angle": Embed(),
    "low": Concat(0.3),
    "same": Concat(),
    "edges": Concat(),
    "caption": CrossAttend(padding=0),
    "frames": CrossAttend(),
}
FORMS = {
    "label": ((B,), "int32"),
    "vector": ((B, 5), "float32"),
    "attributes": ((B, 4), "float32"),
    "angle": ((B, 2), "float32"),
    "low": ((B, 4, 6, 2), "float32"),
    "same": ((B, 4, 6, 3), "float32"),
    "edges": ((B, 4, 6, 2), "float32"),
    "caption": ((B, 5), "int32"),
    "frames": ((B, 3, 5), "float32"),
}


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "label": np.arange(B, dtype=np.int32),
        "low": rng.integers(0, 256, (B, 2, 3, 1), np.uint8),
        "same": rng.normal(size=(B, 4, 6, 2)).astype(np.float32),
        "edges": rng.integers(0, 2, (B, 4, 6, 1)).astype(bool),
        "caption": np.array([[1, 2, 3, 4, 5], [6, 5, 0, 0, 0], *[[3, 3, 3, 0, 0]] * (B - 2)], np.int32),
        "frames": rng.normal(size=(B, 3, 4)).astype(np.float32),
        "vector": rng.normal(size=(B, 4)).astype(np.float32),
        "attributes": rng.integers(0, 2, (B, 3)).astype(bool),
        "angle": rng.normal(size=B).astype(np.float32),
    }


def everywhere(value):
    return dict.fromkeys(CONDITIONS, jnp.full(B, value))


def test_the_forms_are_those_of_the_table(batch):
    conditions.check(CONDITIONS, SPEC)
    forms = conditions.given(CONDITIONS, SPEC, batch)
    assert {name: (form.shape, form.dtype.name) for name, form in forms.items()} == FORMS
    for name in ("label", "caption"):
        np.testing.assert_array_equal(forms[name], batch[name])
    for name in ("same", "vector", "frames"):
        np.testing.assert_array_equal(forms[name][..., :-1], batch[name])
    np.testing.assert_array_equal(forms["angle"][:, 0], batch["angle"])
    for name in ("edges", "attributes"):
        np.testing.assert_array_equal(forms[name][..., :-1], np.where(batch[name], 1, -1))
    flagged = [name for name, (_, dtype) in FORMS.items() if dtype == "float32"]
    for name in flagged:
        np.testing.assert_array_equal(forms[name][..., -1], np.zeros(FORMS[name][0][:-1]))
    without = conditions.given(CONDITIONS, SPEC, batch, everywhere(True))
    assert {name: (form.shape, form.dtype.name) for name, form in without.items()} == FORMS
    np.testing.assert_array_equal(without["label"], np.full(B, 10))
    np.testing.assert_array_equal(without["caption"], np.full((B, 5), V))
    for name in flagged:
        np.testing.assert_array_equal(without[name][..., :-1], np.zeros_like(without[name][..., :-1]))
        np.testing.assert_array_equal(without[name][..., -1], np.ones(FORMS[name][0][:-1]))
    jax.tree.map(np.testing.assert_array_equal, without, conditions.absent(CONDITIONS, SPEC, B))


def test_each_example_is_withheld_by_itself(batch):
    withheld = {name: jnp.arange(B) % 3 == i % 3 for i, name in enumerate(CONDITIONS)}
    mixed = conditions.given(CONDITIONS, SPEC, batch, withheld)
    kept, without = (conditions.given(CONDITIONS, SPEC, batch, everywhere(value)) for value in (False, True))
    for name, form in mixed.items():
        for i in range(B):
            np.testing.assert_array_equal(form[i], (without if withheld[name][i] else kept)[name][i])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 5), (4, 6)])
def test_smaller_images_are_resized_to_x(size):
    """Any ratio; a ramp stays a ramp between the centres of its pixels, beyond which its ends go on."""
    spec = Spec((4, 6, 3), fields={"low": Field((*size, 2), "uint8")})
    rows, columns = np.indices(size)
    low = np.stack([20 * rows, 40 * columns], -1).astype(np.uint8)[None]
    form = np.asarray(conditions.given({"low": Concat()}, spec, {"low": low})["low"])
    assert form.shape == (1, 4, 6, 3)
    for axis, (num, full, step) in enumerate(zip(size, (4, 6), (20, 40), strict=True)):
        centres = np.clip((np.arange(full) + 0.5) * num / full - 0.5, 0, num - 1)
        line = form[0, :, 0, 0] if axis == 0 else form[0, 0, :, 1]
        np.testing.assert_allclose(line, step * centres / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(form[..., 0], np.broadcast_to(form[:, :, :1, 0], (1, 4, 6)), atol=1e-6)


def test_levels_are_scaled_by_their_number():
    spec = Spec((2, 1), fields={"low": Field((2, 1), "uint8", 17)})
    form = conditions.given({"low": Concat()}, spec, {"low": np.array([[[0], [16]]], np.uint8)})["low"]
    np.testing.assert_array_equal(form[0, :, 0], [-1, 1])


def test_points_are_images_without_space():
    spec = Spec((2,), fields={"past": Field((3,), "float32")})
    condition = {"past": Concat()}
    forms = conditions.given(condition, spec, {"past": np.ones((4, 3), np.float32)})
    assert conditions.concatenated(jnp.zeros((4, 2)), condition, forms).shape == (4, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Embed(dropout=1.0), "dropout must be a finite number at least 0 and below 1, got 1.0"),
        (lambda: Concat(dropout=-0.1), "dropout must be"),
        (lambda: CrossAttend(dropout=float("nan")), "dropout must be"),
        (lambda: CrossAttend(padding=-1), "padding must be an integer of at least 0, got -1"),
    ],
)
def test_choices_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "condition", "message"),
    [
        ("high", Embed(), "the data must have the field 'high', they have label, angle, attributes, "),
        ("x", Concat(), "the data must have the field 'x', they have"),
        ("low", Embed(), r"low must be one value or a vector .*got uint8\[2, 3, 1\]: Concat is for images"),
        ("caption", Embed(), r"caption must be one value or a vector .*got int32\[5\] below 7"),
        ("caption", Concat(), "caption must be uint8, float32 or bool to be concatenated with x, got int32"),
        ("vector", Concat(), r"vector must be of the size of x or smaller, and have as many axes, .*\(4, 6, 3\), got"),
        ("wide", Concat(), r"wide must be of the size of x or smaller, .*got uint8\[4, 7, 1\]"),
        ("label", CrossAttend(), r"label must be integers \[L\] or vectors \[L, n\] to be attended to, got int32\[\]"),
        ("low", CrossAttend(), r"low must be integers \[L\] or vectors \[L, n\]"),
        ("vector", CrossAttend(), r"vector must be integers \[L\] or vectors \[L, n\]"),
        ("caption", CrossAttend(padding=7), r"padding must be a token of caption, int32\[5\] below 7, got 7"),
        ("frames", CrossAttend(padding=0), "padding must be a token of frames"),
        ("label", 0.1, r"condition\['label'\] must be Embed\(\), Concat\(\) or CrossAttend\(\), got 0\.1"),
    ],
)
def test_conditions_that_the_data_cannot_meet(name, condition, message):
    spec = Spec((4, 6, 3), num_classes=10, fields={**SPEC.fields, "wide": Field((4, 7, 1), "uint8")})
    # Unwrapped: in these tests beartype would be the first to refuse what is no condition.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(conditions.check)({name: condition}, spec)


def test_what_is_given_must_be_what_the_data_have(batch):
    for fields, message in [
        ({}, "the fields given must hold 'low', got none"),
        ({"x": batch["low"]}, "the fields given must hold 'low', got x"),
        ({"low": batch["low"][:, :1]}, r"low must be uint8 of shape \[B, 2, 3, 1\], got uint8 of shape \(6, 1, 3, 1\)"),
        ({"low": np.float32(batch["low"])}, r"low must be uint8 of shape \[B, 2, 3, 1\], got float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            conditions.given({"low": Concat()}, SPEC, fields)
    with pytest.raises(ValueError, match=r"label must be int32 of shape \[B\], got int32 of shape \(\)"):
        conditions.given({"label": Embed()}, SPEC, {"label": 3})


def test_each_condition_is_withheld_with_its_probability_and_apart_from_the_others(key):
    num = 20_000
    found = conditions.withhold(key, CONDITIONS, num)
    assert found.keys() == CONDITIONS.keys()
    for name, withheld in found.items():
        p = CONDITIONS[name].dropout
        assert abs(float(withheld.mean()) - p) < 4 * (p * (1 - p) / num) ** 0.5, name
    for (a, one), (b, other) in itertools.combinations(found.items(), 2):
        both, p = float((one & other).mean()), CONDITIONS[a].dropout * CONDITIONS[b].dropout
        assert abs(both - p) < 4 * (p * (1 - p) / num) ** 0.5, (a, b)
    # Neither their order nor their number matters to one of several.
    fewer = {name: CONDITIONS[name] for name in ("low", "label")}
    for name, withheld in conditions.withhold(key, fewer, num).items():
        np.testing.assert_array_equal(withheld, found[name])
    assert not conditions.withhold(key, {"label": Embed(dropout=0.0)}, num)["label"].any()


def test_a_condition_alone_is_withheld_by_the_key_itself(key):
    """So that a label alone is withheld where it always was: runs go on to the bit."""
    expected = jax.random.bernoulli(key, jnp.float32(0.1), (B,))
    np.testing.assert_array_equal(conditions.withhold(key, {"label": Embed(0.1)}, B)["label"], expected)


def test_doubled_is_each_example_with_and_without(batch):
    forms = conditions.given(CONDITIONS, SPEC, batch)
    without = conditions.absent(CONDITIONS, SPEC, B)
    for name, form in conditions.doubled(CONDITIONS, SPEC, forms).items():
        assert form.dtype == forms[name].dtype
        np.testing.assert_array_equal(form[0::2], forms[name])
        np.testing.assert_array_equal(form[1::2], without[name])


def network(dtype=jnp.float32, choices=CONDITIONS):
    """All three ways in, as one function (key) -> params, (params, x, forms) -> [B, ...]."""
    vectors, tokens = (layer(choices, SPEC, 8, dtype) for layer in (EmbedConditions, TokenConditions))
    attention = CrossAttention(num_heads=2, num_groups=1, dtype=dtype)

    def init(x, forms):
        params = {"vectors": vectors.init(jax.random.key(1), forms), "tokens": tokens.init(jax.random.key(2), forms)}
        context: Any = tokens.apply(params["tokens"], forms)
        attend: Any = attention.init(jax.random.key(3), conditions.concatenated(x, choices, forms), context.tokens)
        kernel = attend["params"]["Dense_2"]["kernel"]
        attend["params"]["Dense_2"]["kernel"] = jax.random.normal(jax.random.key(4), kernel.shape)  # zeros
        return {**params, "attention": attend}

    def apply(params, x, forms):
        context: Any = tokens.apply(params["tokens"], forms)
        vector: Any = vectors.apply(params["vectors"], forms)
        h: Any = attention.apply(params["attention"], conditions.concatenated(x, choices, forms), *context)
        return jnp.concatenate([h.reshape(len(x), -1), vector], axis=-1)

    return init, apply


X = jnp.asarray(np.random.default_rng(1).normal(size=(B, 4, 6, 3)), jnp.float32)


def test_a_row_from_which_all_is_withheld_does_not_depend_on_its_conditions(batch):
    init, apply = network()
    params = init(X, conditions.given(CONDITIONS, SPEC, batch))
    reals = {name: batch[name] for name in ("same", "frames", "vector", "angle")}

    @jax.jit
    def out(reals, others, withheld):
        forms = conditions.given(CONDITIONS, SPEC, {**others, **reals}, withheld)
        return apply(params, X, forms)

    withheld = dict.fromkeys(CONDITIONS, jnp.arange(B) % 2 == 0)
    found = out(reals, batch, withheld)
    other = jax.tree.map(lambda a: a[::-1], batch)
    changed = out({name: other[name] for name in reals}, other, withheld)
    np.testing.assert_array_equal(found[0::2], changed[0::2])
    assert (np.abs(found[1::2] - changed[1::2]).max(axis=1) > 1e-3).all()
    gradient = jax.grad(lambda reals: jnp.sum(jnp.square(out(reals, batch, withheld))))(reals)
    for name, values in gradient.items():
        flat = np.asarray(values).reshape(B, -1)
        np.testing.assert_array_equal(flat[0::2], np.zeros_like(flat[0::2]))
        assert (np.abs(flat[1::2]).max(axis=1) > 0).all(), name


def test_examples_and_conditions_may_come_in_any_order(batch):
    init, apply = network()
    forms = conditions.given(CONDITIONS, SPEC, batch)
    params = init(X, forms)
    found = apply(params, X, forms)
    order = np.array([3, 1, 5, 0, 2, 4])
    np.testing.assert_allclose(
        apply(params, X[order], jax.tree.map(lambda a: a[order], forms)), found[order], rtol=1e-4, atol=1e-5
    )
    turned = dict(reversed(CONDITIONS.items()))
    init, apply = network(choices=turned)
    forms = conditions.given(turned, SPEC, batch)
    assert jax.tree.structure(init(X, forms)) == jax.tree.structure(params)
    np.testing.assert_array_equal(apply(params, X, forms), found)


def test_padding_is_not_attended_to(batch):
    init, apply = network()
    forms = conditions.given(CONDITIONS, SPEC, batch)
    params: Any = init(X, forms)
    found = apply(params, X, forms)
    table = params["tokens"]["params"]["embed_caption"]["embedding"]
    params["tokens"]["params"]["embed_caption"]["embedding"] = table.at[0].add(5.0)
    np.testing.assert_allclose(apply(params, X, forms), found, rtol=1e-5, atol=1e-5)
    params["tokens"]["params"]["embed_caption"]["embedding"] = table.at[3].add(5.0)
    changed = np.abs(apply(params, X, forms) - found).max(axis=1)
    assert changed[1] < 1e-5 and (np.delete(changed, 1) > 1e-3).all()  # all rows but this one have a 3


def test_half_precision_keeps_shapes_and_float32_parameters(batch):
    init, apply = network(jnp.bfloat16)
    forms = conditions.given(CONDITIONS, SPEC, batch)
    x = jnp.asarray(X, jnp.bfloat16)
    params = init(x, forms)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
    found = apply(params, x, forms)
    assert found.dtype == jnp.bfloat16
    exact = network()[1](params, X, forms)
    assert np.abs(np.asarray(found, np.float32) - exact).mean() < 0.05


def test_layers_without_a_condition_of_their_kind_have_no_parameters(batch):
    choices = {"low": Concat()}
    forms = conditions.given(choices, SPEC, batch)
    for layer in (EmbedConditions(choices, SPEC, 8), TokenConditions(choices, SPEC, 8)):
        found, variables = layer.init_with_output(jax.random.key(0), forms)
        assert found is None and variables == {}
    assert conditions.concatenated(X, {"label": Embed()}, {}).shape == X.shape
    vectors = EmbedConditions({"label": Embed(), "vector": Embed()}, SPEC, 8)
    forms = conditions.absent(vectors.conditions, SPEC, 2)
    shapes: Any = jax.eval_shape(vectors.init, jax.random.key(0), forms)["params"]
    assert shapes["embed_label"]["embedding"].shape == (11, 8)
    assert shapes["embed_vector"]["kernel"].shape == (5, 8)
