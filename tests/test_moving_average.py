"""Moving averages count updates of the parameters, not the steps whose gradients are accumulated for one."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen import data, ddpm, gan, learning, optimizers
from jaxgen.optimizers import Adam

KEY = jax.random.key(0)
EVERY = 4


def gan_case(ema_decay):
    """With batch normalisation, whose running statistics are averaged as well."""
    adam = Adam(1e-2, accumulate=EVERY)
    config = gan.Config(
        latent_dim=2,
        network=gan.DCGAN(features=8, num_groups=4),
        ema_decay=ema_decay,
        generator_optimizer=adam,
        discriminator_optimizer=adam,
    )
    return gan.model(config, data.load("digits").spec), lambda s: (
        {"params": s.generator.params, **s.generator.collections},
        s.ema,
    )


def ddpm_case(ema_decay):
    config = ddpm.Config(
        schedule=ddpm.Cosine(6),
        network=ddpm.MLP((8,), time_features=8),
        ema_decay=ema_decay,
        optimizer=Adam(1e-2, accumulate=EVERY),
    )
    return ddpm.model(config, data.load("digits").spec), lambda s: (s.params, s.ema["params"])


def steps(model, num):
    batches = data.load("digits").train.batches(seed=0, batch_size=4)
    states = [model.init(KEY, batches(0))]
    for i in range(num):
        states.append(model.step(jax.random.fold_in(KEY, i), states[-1], batches(i))[0])
    return states


def equal(a: Any, b: Any) -> bool:
    return all(bool((x == y).all()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize("case", [gan_case, ddpm_case])
def test_it_moves_once_per_update_and_its_warm_up_counts_updates(case):
    model, look = case(0.15)
    states = [look(state) for state in steps(model, 2 * EVERY + 1)]
    first = expected = states[0][0]
    for i, (now, average) in enumerate(states):
        if i % EVERY == 0 and i > 0:
            keep = min(0.15, {EVERY: 1 / 10, 2 * EVERY: 2 / 11}[i])
            expected = jax.tree.map(lambda old, new, keep=keep: keep * old + (1 - keep) * new, expected, now)
            assert not equal(now, states[i - 1][0])
        elif i > 0:
            assert equal(average, states[i - 1][1])
        for a, b in zip(jax.tree.leaves(average), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert not equal(first, expected)


@pytest.mark.parametrize("case", [gan_case, ddpm_case])
def test_without_an_average_it_is_the_network_itself_between_updates_too(case):
    model, look = case(0.0)
    for state in steps(model, EVERY + 1):
        assert equal(*look(state))


def test_a_decay_of_099_lags_99_updates_whatever_is_accumulated():
    """Of a parameter that grows by one per update, the average is behind by decay / (1 - decay) = 99."""
    for every in (1, 8):
        tx = optax.MultiSteps(optax.sgd(1.0), every).gradient_transformation() if every > 1 else optax.sgd(1.0)

        def step(_, carry, tx=tx):
            state, average = carry
            after = learning.update(tx, state, {"w": jnp.float32(-1)})
            return after, learning.moving_average(0.99, state, after, average, after.params)

        state = learning.create(tx, {"w": jnp.float32(0)})
        state, average = jax.lax.fori_loop(0, 2000 * every, step, (state, state.params))
        assert int(state.step) == 2000 * every
        assert int(learning.updates_made(state)) == 2000
        assert abs(float(state.params["w"] - average["w"]) - 99) < 0.1


def test_updates_are_found_in_an_optimizer_of_the_users_own():
    """One that accumulates deep inside, and one that accumulates for a part of the parameters only."""
    two, three = (optax.MultiSteps(optax.sgd(1.0), every).gradient_transformation() for every in (2, 3))
    apart = optax.partition({"slow": three, "fast": two}, {"a": "slow", "b": "fast"})
    for tx, expected in (
        (optax.chain(optax.clip(1.0), three), [0, 0, 1, 1, 1, 2]),
        (apart, [0, 1, 1, 2, 2, 3]),
        (optax.adam(1.0), [1, 2, 3, 4, 5, 6]),
    ):
        params = {"a": jnp.float32(0), "b": jnp.float32(0)}
        state, found = learning.create(tx, params), []
        for _ in range(6):
            state = learning.update(tx, state, params)
            found.append(int(learning.updates_made(state)))
        assert found == expected


def test_schedules_end_with_training_whatever_is_accumulated():
    """They count updates: 100 steps of which 4 make one are 25; a discriminator makes n_critic times as many."""
    adam = Adam(schedule=optimizers.Cosine(), accumulate=4)
    config = gan.Config(n_critic=2, generator_optimizer=adam, discriminator_optimizer=adam)
    config = dataclasses.replace(config, penalty_schedule=optimizers.Cosine()).lasting(100)
    assert config.generator_optimizer.schedule == optimizers.Cosine(25)
    assert config.discriminator_optimizer.schedule == optimizers.Cosine(50)
    assert config.penalty_schedule == optimizers.Cosine(100)  # over the rounds
    assert ddpm.Config(optimizer=adam).lasting(100).optimizer.schedule == optimizers.Cosine(25)
