import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen import data, gan, train
from jaxgen.core import Spec
from jaxgen.optimizers import Adam, Cosine

SMALL = gan.Config(
    latent_dim=3,
    network=gan.MLP(generator_hidden=(16,), discriminator_hidden=(16,)),
    generator_optimizer=Adam(1e-3),
    discriminator_optimizer=Adam(1e-3),
)
PLANE = Spec((2,))
DIGITS = Spec((8, 8, 1), "uint8", levels=17, num_classes=10)


def changed(**changes):
    return dataclasses.replace(SMALL, **changes)


def plane_batch(key, num=12):
    return {"x": jax.random.normal(key, (num, 2))}


def test_a_round_is_n_critic_updates_of_d_then_one_of_g(key):
    model = gan.model(changed(n_critic=3), PLANE)
    state = model.init(key, plane_batch(key))
    after, _ = model.step(key, state, plane_batch(key))
    assert (int(after.step), int(after.discriminator.step), int(after.generator.step)) == (1, 3, 1)


def test_the_generator_plays_against_the_discriminator_as_it_now_is(key):
    """A discriminator whose update makes it constant has nothing to say to the generator any more."""

    def to_zero():
        def update(updates, state, params=None):
            return jax.tree.map(jnp.negative, params), state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    batch = plane_batch(key)
    model = gan.model(SMALL, PLANE, discriminator_tx=to_zero())
    state = model.init(key, batch)
    after, metrics = model.step(key, state, batch)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(after.discriminator.params))
    assert metrics["generator_grad_norm"] == 0
    assert metrics["discriminator_grad_norm"] > 0  # and the metrics of D are those of before its update
    # With an update that leaves it as it is, the generator learns.
    _, metrics = gan.model(SMALL, PLANE, discriminator_tx=optax.set_to_zero()).step(key, state, batch)
    assert metrics["generator_grad_norm"] > 0


def test_every_critic_update_sees_data_of_its_own(key):
    """The same batch in another order is another round, unless examples keep to their updates."""
    model = gan.model(changed(n_critic=2, penalty=gan.NoPenalty()), PLANE)
    x = jax.random.normal(key, (8, 2))
    state = model.init(key, {"x": x})
    digest = train.digest(model.step(key, state, {"x": x})[0])
    # Examples go to the updates in turn: 0, 2, 4, 6 to the first.
    exchanged = x.reshape(4, 2, 2)[:, ::-1].reshape(8, 2)
    assert train.digest(model.step(key, state, {"x": exchanged})[0]) != digest


def test_the_average_follows_with_a_warm_up(key):
    """decay min(d, (1 + n) / (10 + n)): 1/10 of the first parameters is left after one step."""
    model = gan.model(changed(ema_decay=0.15), PLANE)
    start = model.init(key, plane_batch(key))
    one, _ = model.step(key, start, plane_batch(key))
    two, _ = model.step(key, one, plane_batch(key))
    for a, g0, g1, b, g2 in zip(
        *(jax.tree.leaves(tree) for tree in (one.ema["params"], start.generator.params, one.generator.params)),
        *(jax.tree.leaves(tree) for tree in (two.ema["params"], two.generator.params)),
        strict=True,
    ):
        np.testing.assert_allclose(a, 0.1 * g0 + 0.9 * g1, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(b, 0.15 * a + 0.85 * g2, rtol=1e-5, atol=1e-7)  # 2/11 is beyond the decay


def test_no_average_is_the_generator_itself(key):
    model = gan.model(changed(ema_decay=0.0), PLANE)
    state, _ = model.step(key, model.init(key, plane_batch(key)), plane_batch(key))
    for a, b in zip(jax.tree.leaves(state.ema["params"]), jax.tree.leaves(state.generator.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_metrics_say_what_a_person_needs_to_see(key):
    _, metrics = (model := gan.model(SMALL, PLANE)).step(key, model.init(key, plane_batch(key)), plane_batch(key))
    assert set(metrics) == {
        "discriminator_loss",
        "generator_loss",
        "penalty",
        "value",
        "d_real",
        "d_fake",
        "diversity",
        "discriminator_grad_norm",
        "generator_grad_norm",
    }
    np.testing.assert_allclose(metrics["value"], -metrics["discriminator_loss"], rtol=1e-6)


LOSSES = [
    gan.Minimax(),
    gan.NonSaturating(),
    gan.LeastSquares(),
    gan.Hinge(),
    gan.Wasserstein(),
    gan.Relativistic(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_each_player_moves_its_own_way(loss):
    """A better D has a lower loss of D and a higher one of G, by the logits of the samples."""
    real, low, high = jnp.zeros(3), jnp.zeros(3), jnp.full(3, 0.5)
    assert (loss.discriminator(real, low) < loss.discriminator(real, high)).all()
    assert (loss.generator(real, low) > loss.generator(real, high)).all()
    assert loss.paired == bool((loss.generator(real, low) != loss.generator(real + 1, low)).any())


def test_penalties_carry_their_weights(key):
    """A linear D(x) = w x: ||w|| = 5."""
    w = jnp.array([3.0, 4.0])
    x, y = jax.random.normal(key, (2, 6, 2))

    def penalised(penalty):
        return penalty(key, lambda x: x @ w, x, y)

    np.testing.assert_allclose(penalised(gan.ZeroCentred(r1=2.0)), 25.0, rtol=1e-6)
    np.testing.assert_allclose(penalised(gan.ZeroCentred(r1=0.0, r2=1.0)), 12.5, rtol=1e-6)
    np.testing.assert_allclose(penalised(gan.ZeroCentred(r1=2.0, r2=2.0)), 50.0, rtol=1e-6)
    np.testing.assert_allclose(penalised(gan.GradientPenalty(10.0)), 160.0, rtol=1e-5)
    np.testing.assert_array_equal(penalised(gan.NoPenalty()), 0)


@pytest.fixture(scope="module")
def conditional():
    model = gan.model(changed(conditional=True), DIGITS)
    digits = data.load("digits")
    return model, model.init(jax.random.key(0), digits.train.batches(seed=0, batch_size=8)(0)), digits


def test_a_label_chooses_what_is_drawn(conditional, key):
    model, state, _ = conditional
    three = model.sample(key, state.variables, 4, label=3)
    assert three.shape == (4, 8, 8, 1)
    np.testing.assert_allclose(
        three[2], model.sample(key, state.variables, 1, first=2, label=np.array([3]))[0], atol=1e-5
    )
    assert not np.allclose(three, model.sample(key, state.variables, 4, label=4))
    # Without one each sample has a label of its own, whatever the batch.
    free = model.sample(key, state.variables, 40)
    np.testing.assert_allclose(free[7], model.sample(key, state.variables, 1, first=7)[0], atol=1e-5)
    z = model.parts.prior(key, jnp.arange(40))
    of_label = np.stack([model.parts.generate(state.variables, z, jnp.full(40, c)) for c in range(10)])
    drawn = np.square(of_label - np.asarray(free)[None]).sum(axis=(2, 3, 4)).argmin(axis=0)
    assert len(set(drawn)) > 5


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (10, r"label must lie in 0..9, got 10"),
        (-1, r"label must lie in 0..9, got -1"),
        (np.array([1, 2]), r"label must be an integer or 4 of them, got int64 of shape \(2,\)"),
        (1.5, "label must be an integer or 4 of them, got float64"),
    ],
)
def test_a_label_that_cannot_be_is_refused(conditional, label, message):
    model, state, _ = conditional
    with pytest.raises(ValueError, match=message):
        model.sample(jax.random.key(0), state.variables, 4, label=label)


def test_inversion_finds_what_the_generator_made(conditional, key):
    model = gan.model(SMALL, DIGITS)
    digits = conditional[2]
    state = model.init(key, digits.train.batches(seed=0, batch_size=8)(0))
    x = model.sample(jax.random.key(3), state.variables, 2)
    _, x_hat, error = model.parts.invert(key, state.variables, x, num_steps=200, num_starts=2)
    assert (error < 0.05 * np.square(x - x.mean()).sum(axis=(1, 2, 3))).all()
    np.testing.assert_allclose(np.square(x - x_hat).sum(axis=(1, 2, 3)), error, rtol=1e-3, atol=1e-6)


def test_images_are_handed_out_in_unit_space(conditional, key):
    model, state, digits = conditional
    batch = next(digits.test.evaluation_batches(6))
    found = model.evaluate(key, state.variables, batch)
    logits = model.parts.discriminate(
        state.variables, jnp.asarray(batch["x"], jnp.float32) / 16, jnp.asarray(batch["label"])
    )
    np.testing.assert_allclose(found["d_real"], jax.nn.sigmoid(logits), rtol=1e-5)


@pytest.mark.slow
def test_training_moves_samples_to_the_data(key):
    """Points around (2, -1): seconds of training."""
    x = np.asarray(jax.random.normal(key, (2000, 2)) * 0.3 + jnp.array([[2.0, -1.0]]))
    points = data.from_arrays(x, valid=None, test=0.05)
    config = changed(
        penalty=gan.ZeroCentred(r1=0.1),
        generator_optimizer=Adam(2e-3, b1=0.0),
        discriminator_optimizer=Adam(2e-3, b1=0.0),
        ema_decay=0.99,
    )
    model = gan.model(config, points.spec)
    state, history = train.fit(model, points.train.batches(seed=0, batch_size=64), key, 1500, progress=False)
    samples = np.asarray(model.sample(key, state.variables, 2000))
    np.testing.assert_allclose(samples.mean(axis=0), [2.0, -1.0], atol=0.15)
    np.testing.assert_allclose(samples.std(axis=0), [0.3, 0.3], atol=0.15)
    assert abs(history.records[-1]["value"] + np.log(4)) < 0.1


def test_the_penalty_follows_its_schedule(key):
    """At round i it is that of the config times the schedule; at the end of the decay, `final` of it."""
    batch = plane_batch(key)
    whole = gan.model(changed(penalty=gan.ZeroCentred(2.0)), PLANE)
    fading = gan.model(
        changed(penalty=gan.ZeroCentred(2.0), penalty_schedule=Cosine(decay_steps=10, final=0.125)), PLANE
    )
    state = whole.init(key, batch)
    for round_, share in ((0, 1.0), (5, (1 + 0.125) / 2), (10, 0.125), (99, 0.125)):
        then = state.replace(step=jnp.int32(round_))
        expected = share * whole.step(key, then, batch)[1]["penalty"]
        np.testing.assert_allclose(fading.step(key, then, batch)[1]["penalty"], expected, rtol=1e-5)
    assert gan.Config(penalty_schedule=Cosine()).lasting(7).penalty_schedule == Cosine(decay_steps=7)


def test_a_game_that_explodes_is_stopped(key):
    points = data.from_arrays(np.asarray(jax.random.normal(key, (100, 2))), valid=None, test=0.05)
    model = gan.model(changed(discriminator_optimizer=Adam(1e30), generator_optimizer=Adam(1e30)), points.spec)
    with pytest.raises(train.NonFiniteError, match="step"):
        train.fit(model, points.train.batches(seed=0, batch_size=16), key, 50, progress=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: changed(latent_dim=0), "latent_dim must be an integer of at least 1, got 0"),
        (lambda: changed(n_critic=0), "n_critic must be an integer of at least 1, got 0"),
        (lambda: changed(ema_decay=1.0), r"ema_decay must be a finite number at least 0 and below 1, got 1.0"),
        (lambda: changed(dtype="float16"), "dtype must be"),
        (lambda: gan.ZeroCentred(r1=-1.0), "r1 must be a finite number at least 0, got -1"),
        (lambda: gan.ZeroCentred(r1=0.0), "r1 or r2 must be above 0"),
        (lambda: gan.GradientPenalty(-1.0), "weight must be a finite number at least 0, got -1.0"),
        (lambda: gan.model(changed(conditional=True), PLANE), "conditional=True needs labelled data"),
        (lambda: gan.model(changed(augmentation=gan.Augmentation(0.1)), PLANE), "augmentation is for images"),
        (
            lambda: gan.model(changed(n_critic=3), PLANE).init(jax.random.key(0), {"x": jnp.zeros((10, 2))}),
            "batch size 10 is not a multiple of n_critic=3",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unconditional_model_takes_no_label(key):
    model = gan.model(SMALL, PLANE)
    state = model.init(key, plane_batch(key))
    with pytest.raises(ValueError, match="unconditional"):
        model.sample(key, state.variables, 2, label=1)
    with pytest.raises(ValueError, match="no condition"):
        model.sample(key, state.variables, 2, condition=1)


def test_a_game_of_your_own_becomes_a_model(key):
    """The family's own game is the family's model; with a constant in the place of G's loss G stays as it is."""
    batch = plane_batch(key)
    whole, game = gan.model(SMALL, PLANE), gan.model(SMALL, PLANE).objective
    same = gan.model_of(game, SMALL, PLANE)
    states = [model.step(key, model.init(key, batch), batch)[0] for model in (whole, same)]
    assert train.digest(states[0]) == train.digest(states[1])

    def constant(variables, key, batch, step):
        losses, aux = game.generator_loss(variables, key, batch, step)
        return 0 * losses, aux

    own = gan.model_of(game.replace(generator_loss=constant), SMALL, PLANE)
    state = own.init(key, batch)
    after, _ = own.step(key, state, batch)
    jax.tree.map(np.testing.assert_array_equal, after.generator.params, state.generator.params)
    assert train.digest(after.discriminator) == train.digest(states[0].discriminator)
