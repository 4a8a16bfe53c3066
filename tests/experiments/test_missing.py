"""Missing pixels: what is given, what is refused, completion with and without a mask, the gated network."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, ddpm, runs
from jaxgen.core import Field, Spec
from jaxgen.data import RandomField, masks
from jaxgen.experiments import _missing, missing_pixels, missing_pixels_mnist
from jaxgen.experiments._gated import Gated, hartley, opposite
from jaxgen.nn import conditions

FIELD = RandomField((4, 4), spectrum=data.PowerLaw(0.4, 0.1, 3.0))
SMALL = Gated(features=4, context=4, num_blocks=1, time_features=4)


def shortened(module, **own):
    model = dataclasses.replace(module.Config.model, schedule=ddpm.Cosine(4), num_draws=2)
    steps = {"steps": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 2, "levels": 4, "repeats": 2, "jump": 2}
    return module.Config(model=dataclasses.replace(model, **own.pop("model", {})), **steps, **own)


FIELDS = shortened(missing_pixels, field=FIELD, network=SMALL, num=40, cases=4, samples=3)
DIGITS = shortened(
    missing_pixels_mnist,
    data="digits",
    model={"network": ddpm.MLP((8,), time_features=4)},
    sampler=ddpm.DPMSolver(2),
    completed=4,
    inpainted=4,
    classifier_steps=2,
)


@pytest.fixture(scope="module")
def fields():
    """The data set of missing_pixels, its model and variables."""
    dataset = FIELDS.dataset()
    model = FIELDS.model_for(dataset.spec)
    return dataset, model, model.init(jax.random.key(0), dataset.train.batches(0, 8)(0)).variables


@pytest.mark.parametrize("config", [FIELDS, DIGITS], ids=["fields", "digits"])
def test_what_is_given(config):
    test = config.dataset().test
    known, seen = (test.fields[name] for name in _missing.GIVEN)
    assert seen.dtype == np.bool_ and known.dtype == test.x.dtype
    np.testing.assert_array_equal(known, np.where(seen, test.x, 0))
    assert not seen[3::4].any() and seen[0::4].any(axis=(1, 2)).all()  # every kind in turn, the last of them nothing


def test_the_exact_conditional_of_the_missing_pixels():
    x = np.asarray(FIELD.sample(jax.random.key(0), 1))[0]
    seen = np.asarray(masks.halves((4, 4)))[0][..., None]
    exact = FIELDS.exact(x, seen)
    prior = FIELD.covariance()
    expected = data.conditioned(data.Gaussian(np.zeros(16), prior), np.arange(8), x.reshape(-1)[:8])
    np.testing.assert_allclose(exact.mean, expected.mean)
    assert (exact.std < np.sqrt(np.diag(prior))[:8]).all()


@pytest.mark.parametrize("way", ["given the mask", "replaced"])
def test_what_is_seen_stays_as_it_is(fields, way):
    dataset, model, variables = fields
    complete = {
        "given the mask": _missing.conditional(model, dataset.spec, ddpm.DPMSolver(2)),
        "replaced": _missing.replaced(model, dataset.spec, 4, 2, 2),
    }[way]
    x, seen = dataset.test.x[:4], dataset.test.fields["seen"][:4]
    found = complete(jax.random.key(0), variables, x, seen)
    np.testing.assert_array_equal(found[seen], x[seen])
    assert np.isfinite(found).all() and (found[~seen] != x[~seen]).all()
    with pytest.raises(ValueError, match="seen must have dtype bool, got float32"):
        complete(jax.random.key(0), variables, x, seen.astype(np.float32))
    with pytest.raises(ValueError, match=r"seen must have shape \(4, 4, 4, 1\), got \(4, 4, 4\)"):
        complete(jax.random.key(0), variables, x, seen[..., 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seen": None}, 'condition must hold "seen", got known'),
        ({"seen": np.ones((4, 4, 1), np.float32)}, r"condition\['seen'\] must be bool, got float32"),
        ({"seen": np.ones((4, 4, 1), np.uint8)}, r"condition\['seen'\] must be bool, got uint8"),
        ({"seen": np.ones((4, 4), np.bool_)}, r"condition\['seen'\]"),
    ],
)
def test_a_mask_of_another_kind_is_refused_by_name(fields, change, message):
    dataset, model, variables = fields
    condition = {**{name: dataset.test.fields[name][0] for name in _missing.GIVEN}, **change}
    with pytest.raises(ValueError, match=message):
        model.sample(jax.random.key(0), variables, 2, condition=condition)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: missing_pixels.Config(cases=2), "cases must be an integer of at least 4, got 2"),
        (lambda: missing_pixels.Config(repeats=0), "repeats must be an integer of at least 1, got 0"),
        (lambda: missing_pixels.Config(field=RandomField()), r"two axes, those of a picture, got \(6, 6, 6\)"),
        (lambda: missing_pixels_mnist.Config(jump=0), "jump must be an integer of at least 1, got 0"),
        (lambda: missing_pixels_mnist.Config(data="ring").build(), "images of grey levels with labels, got ring"),
        (lambda: Gated(time_features=3), "time_features must be an integer of at least 4, got 3"),
        (lambda: Gated(patch=3).network(Spec((4, 4, 1)), 1), "a size that patch=3 divides"),
        (lambda: SMALL.network(Spec((128, 128, 1)), 1), "number of blocks of cells must be an integer in 1..4096"),
    ],
)
def test_configs_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_transform_is_its_own_inverse_and_makes_even_convolutions_diagonal():
    shape = (3, 4)
    basis = hartley(shape).astype(np.float64)
    np.testing.assert_allclose(basis @ basis, np.eye(12), atol=1e-6)
    covariance = RandomField(shape).covariance()
    waves = basis @ covariance @ basis
    np.testing.assert_allclose(waves, np.diag(np.diag(waves)), atol=1e-5 * waves.max())
    np.testing.assert_allclose(np.diag(waves), RandomField(shape).mode_variances.reshape(-1), rtol=1e-5)
    np.testing.assert_allclose(np.diag(waves)[opposite(shape)], np.diag(waves), rtol=1e-5)


@pytest.fixture(scope="module")
def gated():
    """A function (x_t, known, seen) -> prediction of a network whose parameters are all different from 0."""
    fields = {"known": Field((4, 4, 1), "float32"), "seen": Field((4, 4, 1), "bool")}
    spec = Spec((4, 4, 1), fields=fields)
    net = SMALL.network(spec, 2, _missing.CONDITION)
    t = jnp.array([1, 3], jnp.int32)

    def forms(known, seen):
        return conditions.given(_missing.CONDITION, spec, {"known": known, "seen": seen})

    zeros = jnp.zeros((2, 4, 4, 1))
    params = jax.jit(net.init)(jax.random.key(0), zeros, t, forms(zeros, zeros > 0))
    params = jax.tree.map(lambda p: p + 0.1, params)

    @jax.jit
    def predict(x, known, seen) -> Any:
        return net.apply(params, x, t, forms(known, seen))

    return predict


def test_the_network_is_linear_in_what_was_measured_and_not_in_where(gated):
    x, known, other_x, other_known = jax.random.normal(jax.random.key(1), (4, 2, 4, 4, 1))
    seen, elsewhere = jax.random.bernoulli(jax.random.key(2), 0.5, (2, 2, 4, 4, 1))
    found, second = gated(x, known, seen), gated(other_x, other_known, seen)
    whole = gated(2 * x - other_x, 2 * known - other_known, seen).prediction
    np.testing.assert_allclose(whole, 2 * found.prediction - second.prediction, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found.variance, second.variance)
    assert (abs(gated(x, known, elsewhere).prediction - found.prediction) > 1e-3).mean() > 0.5


def test_a_shift_of_the_torus_shifts_the_prediction(gated):
    """By a single cell."""
    x, known = jax.random.normal(jax.random.key(1), (2, 2, 4, 4, 1))
    seen = jax.random.bernoulli(jax.random.key(2), 0.5, (2, 4, 4, 1))
    shifted = gated(*(jnp.roll(each, (1, 2), axis=(1, 2)) for each in (x, known, seen)))
    for part, still in zip(shifted, gated(x, known, seen), strict=True):
        np.testing.assert_allclose(part, jnp.roll(still, (1, 2), axis=(1, 2)), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_fields_from_training_to_the_exact_conditional(tmp_path):
    found = runs.train(FIELDS, tmp_path, progress=False).results["test"]
    assert {"given_mask/mean_error", "given_mask/half/variance_ratio"} <= found.keys()
    assert {"replacement/covariance_ratio", "repeated_2/mean_error"} <= found.keys()
    assert (tmp_path / "pictures" / "deviations.png").exists()


@pytest.mark.slow
def test_digits_from_training_to_the_classifier(tmp_path):
    found = runs.train(DIGITS, tmp_path, progress=False).results["test"]
    assert {"read/real", "read/half", "read/given_mask", "read/replacement", "read/repeated_2"} <= found.keys()
    assert {"read/half/upper", "read/given_mask/right"} <= found.keys()
    assert (tmp_path / "pictures" / "any_mask.png").exists()


@pytest.mark.slow
def test_a_few_hundred_steps_come_near_the_exact_conditional(tmp_path):
    """A shortened form of missing_pixels: the means come within 0.2 deviations, nearer than without a mask."""
    config = missing_pixels.Config(field=FIELD, num=4000, steps=400, cases=12, samples=50, levels=50, repeats=2)
    found = runs.train(config, tmp_path, progress=False).results["test"]
    error = found["given_mask/mean_error"]
    assert error.value < 0.04 + 4 * (error.standard_error or 0)
    assert error.value < found["replacement/mean_error"].value
