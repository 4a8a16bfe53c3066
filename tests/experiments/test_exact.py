"""The experiments whose answers are known exactly: what is given, what is refused, and shortened runs."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import ddpm, runs
from jaxgen.core import Spec
from jaxgen.data import LinearQuadratic, RandomField
from jaxgen.experiments import planning_ddpm, volumes_ddpm, volumes_wiener
from jaxgen.experiments._modulated import Modulated
from jaxgen.runs.names import class_of, name_of

SHORT = {"steps": 3, "batch_size": 8, "num": 40, "samples": 4, "log_every": 1, "checkpoint_every": 3}
FIELD = RandomField((4, 4, 4))
SMALL = Modulated(features=4, num_blocks=1, time_features=4)


def shortened(module, **own):
    model = dataclasses.replace(module.Config.model, schedule=ddpm.Cosine(4), num_draws=4)
    return module.Config(**{**SHORT, "model": model, "network": SMALL, **own})


VOLUMES = shortened(volumes_ddpm, field=FIELD, flow_examples=3)
WIENER = shortened(volumes_wiener, field=FIELD, cases=2)
PLANNING = shortened(
    planning_ddpm,
    problem=LinearQuadratic(steps=4),
    cases=6,
    flow_examples=3,
    network=dataclasses.replace(SMALL, patch=4),
)


@pytest.fixture(scope="module")
def wiener():
    """The model of volumes_wiener, its variables and a test batch."""
    dataset = WIENER.dataset()
    model = WIENER.model_for(dataset.spec)
    state = model.init(jax.random.key(0), dataset.train.batches(0, 8)(0))
    return model, state.variables, dataset.test.rows(np.arange(2)).arrays


def test_a_shift_of_the_torus_shifts_the_prediction():
    """By a whole block of cells: what leaves on one side comes in on the other."""
    spec = Spec((4, 4, 4, 1))
    net = SMALL.network(spec, 1)
    x, t = jax.random.normal(jax.random.key(0), (2, 4, 4, 4, 1)), jnp.array([1, 3], jnp.int32)
    params = jax.tree.map(lambda p: p + 0.1, net.init(jax.random.key(1), x, t))
    found: Any = net.apply(params, jnp.roll(x, 2, axis=2), t)
    still: Any = net.apply(params, x, t)
    expected = jnp.roll(still.prediction, 2, axis=2)
    np.testing.assert_allclose(found.prediction, expected, rtol=1e-4, atol=1e-5)


def test_what_is_given(wiener):
    _, _, batch = wiener
    assert batch["observed"].dtype == np.float32 and batch["seen"].dtype == np.bool_
    assert (batch["observed"][~batch["seen"]] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seen": None}, 'condition must hold "seen", got observed'),
        ({"observed": np.zeros((3, 3, 3, 1), np.float32)}, "observed"),
        ({"seen": np.ones((4, 4, 4, 1), np.float32)}, "seen"),
        ({"sen": np.ones((4, 4, 4, 1), np.bool_)}, "sen"),
    ],
)
def test_what_is_missing_or_of_another_kind_is_refused_by_name(wiener, change, message):
    model, variables, batch = wiener
    condition = {**{name: batch[name][0] for name in ("observed", "seen")}, **change}
    with pytest.raises(ValueError, match=message):
        model.sample(jax.random.key(0), variables, 2, condition=condition)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: volumes_wiener.Config(share=1.5), "share must be a finite number at least 0 and at most 1, got 1.5"),
        (lambda: volumes_wiener.Config(noise=0.0), "noise must be a finite number above 0, got 0.0"),
        (lambda: planning_ddpm.Config(cases=1), "cases must be an integer of at least 2, got 1"),
        (lambda: Modulated(patch=0), "patch must be an integer of at least 1, got 0"),
        (lambda: dataclasses.replace(VOLUMES, field=RandomField((5, 4, 4))).build(), "a size that patch=2 divides"),
    ],
)
def test_configs_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_volumes_from_training_to_the_spectrum(tmp_path):
    found = runs.train(VOLUMES, tmp_path, progress=False).results["test"]
    assert found["entropy"].value == pytest.approx(FIELD.entropy())
    excess = found["negative_bound"].value - found["exact"].value
    assert found["bound_excess"].value == pytest.approx(excess, rel=1e-4)
    assert {"flow", "flow_excess", "spectrum/0", "spectrum/3", "chi_squared"} <= found.keys()
    assert (tmp_path / "pictures" / "spectrum.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("config", [WIENER, PLANNING])
def test_given_from_training_to_the_exact_posterior(tmp_path, config):
    found = runs.train(config, tmp_path, progress=False).results["test"]
    assert {"mean_error", "variance_ratio", "covariance_ratio", "bound_excess"} <= found.keys()
    assert (tmp_path / "pictures" / "final.png").exists()


@pytest.mark.slow
def test_a_few_hundred_steps_come_near_the_exact_density(tmp_path):
    """A shortened form of volumes_ddpm: after 300 steps the bound is within a tenth of a nat of each cell's."""
    config = volumes_ddpm.Config(field=FIELD, num=4000, steps=300, samples=100, flow_examples=20)
    found = runs.train(config, tmp_path, progress=False).results["test"]
    assert abs(found["bound_excess"].value) < 0.1 * 64


@pytest.mark.parametrize("name", ["gated.Gated", "modulated.Modulated"])
def test_networks_go_by_names_that_last(name):
    """Runs of before they had them load as well."""
    found = class_of(f"jaxgen.experiments._{name}")
    assert name_of(found) == f"jaxgen.experiments.{name.partition('.')[2]}" and class_of(name_of(found)) is found
