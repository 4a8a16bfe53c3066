"""A new run from the state of another."""

# Wrong arguments are given on purpose.
# pyright: reportAttributeAccessIssue=false

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from tiny import TINY, manifest

from jaxgen import cli, ddpm, gan, runs, train
from jaxgen.core import Spec
from jaxgen.digest import flatten
from jaxgen.optimizers import Adam
from jaxgen.runs import start

SLOWER = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, optimizer=Adam(1e-4, weight_decay=0.1)))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run, and one with another optimizer that started from its state."""
    folder = tmp_path_factory.mktemp("runs")
    runs.train(TINY, folder / "source", progress=False)
    runs.train(SLOWER, folder / "new", start=folder / "source", progress=False)
    return folder


@pytest.fixture
def copy(two, tmp_path):
    shutil.copytree(two / "new", tmp_path / "new")
    return tmp_path / "new"


def test_it_starts_from_what_the_other_has_learned(two):
    source, state = runs.load(two / "source")[::2]
    experiment = runs.load(two / "new")[0]
    kept = start.kept(runs.RunFolder(two / "new"), runs.load(two / "new")[2])
    jax.tree.map(np.testing.assert_array_equal, kept.params, state.params)
    assert int(kept.step) == 0 and not any(np.any(leaf) for leaf in jax.tree.leaves(kept.opt_state))
    found = manifest(two / "new")
    assert found["start"] == {"run": str(two / "source"), "step": 4, "digest": manifest(two / "source")["digests"]["4"]}
    assert found["digests"]["0"] == train.digest(kept)
    assert list(found["digests"]) == ["0", "1", "2", "4"]
    assert source.best == experiment.best


def test_it_is_a_run_of_its_own(copy, two):
    """The run that it came from need not be there any more."""
    assert str(two / "source") in (copy / "manifest.json").read_text()
    text = (copy / "manifest.json").read_text().replace(str(two / "source"), "/nowhere")
    (copy / "manifest.json").write_text(text)
    report = runs.verify(copy, progress=False)
    assert report.passed and any("how the run in /nowhere came to step 4" in line for line in report.unseen)
    shutil.rmtree(copy / "checkpoints")
    assert train.digest(runs.resume(copy, progress=False).state) == manifest(two / "new")["digests"]["4"]
    assert runs.sample(copy, 2)[0].shape == (2, 8, 8, 1)


def test_the_same_command_goes_on(copy, two):
    shutil.rmtree(copy / "checkpoints" / "4")
    for given in (two / "source", None):
        outcome = runs.train(SLOWER, copy, start=given, progress=False)
        assert train.digest(outcome.state) == manifest(two / "new")["digests"]["4"]
    with pytest.raises(ValueError, match=r"start must be left out or the same, got .*: the run in .* started from"):
        runs.train(SLOWER, copy, start=copy, progress=False)
    with pytest.raises(ValueError, match="started from the beginning"):
        runs.train(TINY, two / "source", start=copy, progress=False)


def test_killed_before_its_first_state_was_kept(copy, two):
    shutil.rmtree(copy / "start")
    shutil.rmtree(copy / "checkpoints")
    assert train.digest(runs.resume(copy, progress=False).state) == manifest(two / "new")["digests"]["4"]
    shutil.rmtree(copy / "start")
    shutil.rmtree(copy / "checkpoints")
    tree = manifest(copy)
    tree["start"]["digest"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(ValueError, match="is no longer at step 4, from which that in"):
        runs.resume(copy, progress=False)


def test_a_state_that_was_exchanged_is_noticed(copy):
    tree = manifest(copy)
    tree["digests"]["0"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(ValueError, match="is not the state that the run in"):
        runs.verify(copy, progress=False)


def test_another_model_is_refused_before_a_folder_is_made(two, tmp_path):
    wider = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, latent_dim=3))
    with pytest.raises(ValueError, match=r"the state to start from must be of the same model: .* expected"):
        runs.train(wider, tmp_path / "run", start=two / "source", progress=False)
    with pytest.raises(FileNotFoundError, match="no run in"):
        runs.train(TINY, tmp_path / "run", start=tmp_path / "nothing", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: gan.model(
            gan.Config(
                latent_dim=2,
                network=gan.MLP(generator_hidden=(4,), discriminator_hidden=(4,)),
                generator_optimizer=optimizer,
                discriminator_optimizer=optimizer,
                ema_decay=0.9,
            ),
            Spec((2,)),
        ),
        lambda optimizer: ddpm.model(ddpm.Config(network=ddpm.MLP((4,)), optimizer=optimizer), Spec((2,))),
        lambda optimizer: train.ensemble(
            gan.model(
                gan.Config(latent_dim=2, network=gan.MLP(generator_hidden=(4,), discriminator_hidden=(4,))), Spec((2,))
            ),
            2,
        ),
    ],
    ids=["gan", "ddpm", "ensemble"],
)
def test_every_family_is_adopted(make):
    """Parameters, averages and statistics are taken over, the counters and the optimizers begin anew."""
    batch = {"x": np.zeros((8, 2), np.float32), "index": np.arange(8, dtype=np.int32)}
    model, other = make(Adam(1e-3)), make(Adam(1e-2))
    fresh = model.init(jax.random.key(0), batch)
    stepped, _ = other.step(jax.random.key(2), other.init(jax.random.key(1), batch), batch)
    state = flatten(start.adopted(fresh, stepped))
    for path, leaf in flatten(stepped).items():
        anew = "opt_state" in path or path.endswith("step")
        np.testing.assert_array_equal(state[path], flatten(fresh)[path] if anew else leaf)
    assert any("opt_state" in path for path in state) and any("params" in path for path in state)


def test_from_the_command_line(two, tmp_path):
    flags = ["--steps", "2", "--batch-size", "16", "--checkpoint-every", "2", "--model.latent-dim", "2"]
    flags += ["--model.hidden", "8", "--run", str(tmp_path / "run"), "--from", str(two / "source")]
    assert cli.main(["train", "digits_vae", *flags]) == 0
    assert manifest(tmp_path / "run")["start"]["step"] == 4
