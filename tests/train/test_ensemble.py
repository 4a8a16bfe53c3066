import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, train, vae
from jaxgen.train.fit import INIT


@pytest.fixture(scope="module")
def case():
    digits = data.load("digits")
    model = vae.model(vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal(0.5)), digits.spec)
    together = train.ensemble(model, 3)
    batches = digits.train.batches(seed=0, batch_size=12)
    state, _ = train.fit(together, batches, jax.random.key(5), 3, progress=False)
    return model, together, batches, state


def test_a_member_is_the_model_trained_alone(case):
    """With its key and its part of every batch, up to how XLA fuses the two programs."""
    model, together, batches, state = case

    def part_of(i, s):
        return jax.tree.map(lambda x: x[s::3], dict(batches(i)))

    for s in range(3):
        key = jax.random.fold_in(jax.random.key(5), INIT)
        alone = model.init(jax.random.fold_in(key, s), part_of(0, s))
        for i in range(3):
            part = part_of(i, s)
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), i), s)
            alone, _ = model.step(key, alone, part)
        for a, b in zip(
            jax.tree.leaves(together.parts.member(state.variables, s)), jax.tree.leaves(alone.variables), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_members_differ_and_samples_go_round(case):
    _, together, _, state = case
    weights = jax.tree.leaves(state.params)[0]
    assert not np.allclose(weights[0], weights[1])
    each = together.parts.sample_each(jax.random.key(1), state.variables, 7)
    assert each.shape == (3, 7, 8, 8, 1)
    x = together.sample(jax.random.key(1), state.variables, 4, first=3)
    np.testing.assert_allclose(x, jnp.stack([each[0, 3], each[1, 4], each[2, 5], each[0, 6]]), atol=1e-5)


def test_what_cannot_be_divided_is_refused(case):
    model, together, batches, _ = case
    with pytest.raises(ValueError, match="num must be an integer of at least 1, got 0"):
        train.ensemble(model, 0)
    with pytest.raises(ValueError, match="batch size 8 is not a multiple of the 3 members"):
        together.init(jax.random.key(0), jax.tree.map(lambda x: x[:8], dict(batches(0))))
