"""The diffusion model beyond the protocol: learning, guidance, samplers, inpainting, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, ddpm, train
from jaxgen.core import Spec
from jaxgen.ddpm.oracle import GaussianData
from jaxgen.optimizers import Adam

TINY = ddpm.Config(
    schedule=ddpm.Cosine(10),
    network=ddpm.MLP((16,), time_features=4),
    variance=ddpm.LearnedVariance(),
    conditional=True,
    label_dropout=0.3,
    num_draws=2,
)
SPEC = Spec((4,), num_classes=3)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def case():
    """A model with random parameters, a state and a batch."""
    model = ddpm.model(TINY, SPEC)
    x = np.asarray(jax.random.normal(KEY, (6, 4)))
    batch = {"x": x, "label": np.array([0, 1, 2, 0, 1, 2], np.int32), "index": np.arange(6, dtype=np.int32)}
    state = model.init(KEY, batch)
    rng = np.random.default_rng(0)
    random = jax.tree.map(lambda p: jnp.asarray(0.1 * rng.normal(size=p.shape), p.dtype), state.ema["params"])
    return model, state.replace(ema={"params": random}), batch


@pytest.mark.slow
def test_it_learns_gaussian_data():
    """The mean bound comes down to the entropy and what is left at T, which no model can undercut."""
    truth = GaussianData(np.array([0.5, -1.0]), 0.7)
    x = np.asarray(truth.sample(KEY, 4000))
    dataset = data.from_arrays(x, valid=None, test=0.25)
    config = ddpm.Config(
        schedule=ddpm.Cosine(20),
        prediction=ddpm.V(),
        network=ddpm.MLP((32,), time_features=8),
        variance=ddpm.BetaVariance(),
        optimizer=Adam(1e-2),
        ema_decay=0.98,
    )
    model = ddpm.model(config, dataset.spec)
    state, _ = train.fit(
        model, dataset.train.batches(seed=0, batch_size=128), KEY, 400, progress=False, chunk_steps=400
    )
    bound = model.parts.bound(KEY, state.variables, {"x": dataset.test.x})
    schedule = model.parts.schedule
    # The bound of the exact denoiser with this variance, on the same data and noise.
    exact = ddpm.objective.variational_bound(
        KEY,
        lambda x_t, t: truth.denoise(schedule, x_t, t),
        schedule,
        jnp.asarray(dataset.test.x),
        levels=None,
        variance=ddpm.process.beta_variance,
    )
    gap = float((bound.negative_bound - exact.negative_bound).mean())
    assert -0.02 < gap < 0.1
    samples = np.asarray(model.sample(KEY, state.variables, 1000))
    np.testing.assert_allclose(samples.mean(axis=0), truth.mean, atol=0.15)
    np.testing.assert_allclose(samples.std(axis=0), 0.7, atol=0.15)


def test_evaluation_is_the_bound_with_fewer_t(case):
    model, state, batch = case
    values = model.evaluate(KEY, state.variables, batch)
    bound = model.parts.bound(KEY, state.variables, batch)
    assert bound.per_t.shape == (10, 6)
    np.testing.assert_allclose(values["prior"], bound.prior, rtol=1e-5)
    np.testing.assert_allclose(values["reconstruction"], bound.reconstruction, rtol=1e-5)
    total = values["prior"] + values["denoising"] + values["reconstruction"]
    np.testing.assert_allclose(values["negative_bound"], total, rtol=1e-5)
    whole = ddpm.model(dataclasses.replace(TINY, num_draws=9), SPEC).evaluate(KEY, state.variables, batch)
    np.testing.assert_allclose(whole["denoising"], bound.denoising, rtol=1e-5)


def test_the_average_follows_the_parameters_faster_while_it_is_young(case):
    model, state, batch = case
    after, _ = model.step(KEY, state, batch)
    for old, new, average in zip(
        jax.tree.leaves(state.ema["params"]),
        jax.tree.leaves(after.params),
        jax.tree.leaves(after.ema["params"]),
        strict=True,
    ):
        np.testing.assert_allclose(average, 0.1 * old + 0.9 * new, rtol=1e-4, atol=1e-6)


def test_guidance_goes_from_no_condition_to_the_condition_and_beyond(case):
    model, state, batch = case
    t, x_t = jnp.full((6,), 4, jnp.int32), jnp.asarray(batch["x"])
    without, _ = model.parts.denoise(state.variables, x_t, t)
    given, fraction = model.parts.denoise(state.variables, x_t, t, batch["label"])
    assert not np.allclose(without, given, atol=1e-3)
    for w, expected in ((0.0, without), (1.0, given), (3.0, without + 3 * (given - without))):
        eps, of_guided = model.parts.bind(state.variables, batch["label"], w)(x_t, t)
        np.testing.assert_allclose(eps, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(of_guided, fraction, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sampler", [ddpm.Ancestral(5), ddpm.DDIM(5, eta=0.5), ddpm.DPMSolver(5)], ids=str)
def test_sample_k_is_the_same_in_a_batch_of_1_and_of_64(case, sampler):
    model, state, _ = case
    many = np.asarray(model.sample(KEY, state.variables, 64, sampler=sampler, label=1, guidance=2.0))
    one = model.sample(KEY, state.variables, 1, first=37, sampler=sampler, label=1, guidance=2.0)
    assert np.isfinite(many).all()
    np.testing.assert_allclose(one[0], many[37], rtol=1e-5, atol=1e-4)
    chain = model.parts.chain(KEY, state.variables, 64, sampler=sampler, label=1, guidance=2.0, keep=2)
    assert chain.shape == (4, 64, 4)
    np.testing.assert_allclose(chain[-1], many, rtol=1e-5, atol=1e-5)


def test_the_program_is_as_long_for_1000_steps_as_for_10():
    config = ddpm.Config(schedule=ddpm.Linear(1000), network=ddpm.MLP((4,), time_features=4))
    model = ddpm.model(config, Spec((2,)))
    state = model.init(KEY, {"x": np.zeros((2, 2), np.float32)})

    def instructions(sampler):
        compiled = (
            jax.jit(lambda key, state: model.sample(key, state.variables, 2, sampler=sampler))
            .lower(KEY, state)
            .compile()
        )
        lines = (compiled.as_text() or "").splitlines()
        # Constants, of which equal ones are merged, left out.
        return sum(" = " in line and " constant(" not in line for line in lines)

    for kind in (ddpm.Ancestral, ddpm.DDIM):
        few, many = instructions(kind(10)), instructions(kind(1000))
        assert few == many > 50


def test_what_is_observed_stays(case):
    model, state, batch = case
    mask = np.array([True, False, True, False])[None].repeat(6, axis=0)
    found = np.asarray(model.parts.impute(KEY, state.variables, {**batch, "mask": mask}, sampler=ddpm.DDIM(4)))
    np.testing.assert_array_equal(found[mask], batch["x"][mask])
    assert not np.isclose(found[~mask], batch["x"][~mask]).any()


def test_forward_and_likelihood_parts(case):
    model, state, batch = case
    noisy = model.parts.diffuse(KEY, batch["x"], jnp.int32(10))
    assert np.corrcoef(np.ravel(noisy), np.ravel(batch["x"]))[0, 1] < 0.9
    log_prob = model.parts.log_likelihood(KEY, state.variables, batch)
    assert log_prob.shape == (6,)
    part = {name: value[[4, 2]] for name, value in batch.items()}
    np.testing.assert_allclose(
        model.parts.log_likelihood(KEY, state.variables, part), log_prob[np.array([4, 2])], rtol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": ddpm.DDIM(11)}, "num must be an integer in 1..10"),
        ({"label": 3}, r"label must lie in 0\.\.2"),
        ({"condition": np.zeros(2)}, "no condition"),
        ({"guidance": 2.0, "label": None}, "guidance needs a label"),
    ],
)
def test_samples_that_cannot_be(case, options, message):
    model, state, _ = case
    if "guidance" in options:
        model = ddpm.model(dataclasses.replace(TINY, conditional=False), SPEC)
    with pytest.raises(ValueError, match=message):
        model.sample(KEY, state.variables, 2, **options)


def test_models_that_cannot_be():
    with pytest.raises(ValueError, match="labelled data"):
        ddpm.model(TINY, Spec((4,)))
    with pytest.raises(ValueError, match="flip=True"):
        ddpm.model(dataclasses.replace(TINY, flip=True), SPEC)
    for change, message in (
        ({"label_dropout": 1.0}, "label_dropout"),
        ({"ema_decay": -0.1}, "ema_decay"),
        ({"num_draws": 0}, "num_draws"),
        ({"dtype": "float16"}, "dtype"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(TINY, **change)
    for make, message in (
        (lambda: ddpm.DDIM(eta=2.0), "eta"),
        (lambda: ddpm.DPMSolver(order=3), "order"),
        (lambda: ddpm.Ancestral(0), "num_steps"),
        (lambda: ddpm.LearnedVariance(0.0), "weight"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
