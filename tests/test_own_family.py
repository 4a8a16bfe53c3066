"""A family of the user's own: two files on the path and an experiment of it, without touching anything else.

They keep the protocol of `test_protocol` and are trained, resumed, sampled, evaluated and verified by the command line.
"""

import importlib
import json
import shutil
import sys

import jax
import numpy as np
import pytest
from models import MODELS

# Collected here too, for the family of this file.
from test_protocol import (
    test_any_chunking_gives_the_same_bits,  # noqa: F401
    test_evaluation_batches_need_one_trace,  # noqa: F401
    test_evaluation_belongs_to_the_example_not_to_the_batch,  # noqa: F401
    test_nothing_of_the_caller_is_consumed,  # noqa: F401
    test_one_trace_however_the_steps_are_called,  # noqa: F401
    test_pmap_replicas_are_identical,  # noqa: F401
    test_repeatable_and_the_seed_matters,  # noqa: F401
    test_resumed_equals_uninterrupted_to_the_bit,  # noqa: F401
    test_sample_k_does_not_depend_on_the_batch,  # noqa: F401
    test_several_devices_agree_with_one,  # noqa: F401
    test_the_loop_is_the_step,  # noqa: F401
    test_the_network_is_small,  # noqa: F401
)

from jaxgen import cli, data, runs, train
from jaxgen.optimizers import Adam

OBJECTIVE = '''
"""-log N(x; mu, diag sigma^2), every pixel for itself."""

import jax.numpy as jnp

from jaxgen.distributions import normal_log_prob


def negative_log_prob(x, mu, log_var):
    return -normal_log_prob(x, jnp.broadcast_to(mu, x.shape), jnp.broadcast_to(log_var, x.shape))
'''

MODEL = '''
"""Independent normal distributions as an objective and as a model of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from jaxgen import learning
from jaxgen.core import Aux, Objective
from jaxgen.data import space
from jaxgen.draws import example_normals
from jaxgen.optimizers import Adam
from pixels.objective import negative_log_prob


@dataclass(frozen=True)
class Config:
    """Settings of independent normal distributions.

    Args:
        optimizer: Optimizer.
        axis_name: Mapped axis under pmap.
    """

    optimizer: Adam = Adam(3e-2)
    axis_name: str | None = None


def objective(config, spec):
    def init(key, batch):
        zeros = jnp.zeros(spec.event_shape, jnp.float32)
        return {"params": {"mu": jax.random.normal(key, spec.event_shape), "log_var": zeros}}

    def nll(variables, batch):
        return negative_log_prob(space.to_unit(batch["x"], spec), **variables["params"])

    def loss(variables, key, batch, step):
        return nll(variables, batch), Aux()

    @jax.jit
    def evaluate(key, variables, batch):
        return {"nll": nll(variables, batch)}

    @partial(jax.jit, static_argnums=2)
    def draws(key, variables, num, first):
        eps = example_normals(key, first + jnp.arange(num), spec.event_shape)
        params = variables["params"]
        return jnp.clip(params["mu"][None] + jnp.exp(params["log_var"] / 2)[None] * eps, 0, 1)

    def sample(key, variables, num, *, first=0, label=None, condition=None):
        return draws(key, variables, num, first)

    return Objective(init, loss, evaluate, sample, parts=None)


def model(config, spec):
    tx = config.optimizer.transformation()
    return learning.model(objective(config, spec), tx, ema_decay=0.9, axis_name=config.axis_name)
'''

EXPERIMENT = '''
"""Independent normal distributions of the pixels of handwritten digits."""

from dataclasses import dataclass

import pixels.model as pixels

from jaxgen import data, evaluate, plot
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    data: str = "digits"
    model: pixels.Config = pixels.Config()

    def model_for(self, spec):
        return pixels.model(self.model, spec)

    def build(self):
        dataset = data.load(self.data, seed=self.seed)
        model = self.model_for(dataset.spec)

        def measured(key, variables, split):
            return evaluate.estimates(evaluate.per_example(model, key, variables, split), "nats")

        def shown(x, title):
            return plot.examples({"": x}, title=title)

        def picture(key, state):
            return shown(model.sample(key, state.variables, 4), "samples")

        return Experiment(model, dataset, measured, picture, shown, best="nll")
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of the family and the experiment, on the path."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "pixels").mkdir()
    (folder / "pixels" / "objective.py").write_text(OBJECTIVE)
    (folder / "pixels" / "model.py").write_text(MODEL)
    (folder / "digits_of_pixels.py").write_text(EXPERIMENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "pixels"]:
        del sys.modules[name]


def own(axis_name=None, **changes):
    pixels = importlib.import_module("pixels.model")
    digits = data.load("digits")
    return pixels.model(pixels.Config(axis_name=axis_name, **changes), digits.spec), digits


@pytest.fixture(params=["own"], scope="module")
def case(request, place):
    """The family in place of those of the library; under its name it is found by what is built anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, request.param, own)
        yield own()


def test_it_learns_means_and_variances(place):
    """Its likelihood is largest at the moments of the training images, which are known."""
    model, digits = own(optimizer=Adam(3e-2))
    batches = digits.train.batches(seed=0, batch_size=256)
    state, _ = train.fit(model, batches, jax.random.key(0), 600, progress=False)
    x = np.asarray(data.to_unit(digits.train.x, digits.spec))
    lively = x.std(axis=0) > 0.1
    np.testing.assert_allclose(state.params["mu"][lively], x.mean(axis=0)[lively], atol=0.05)
    np.testing.assert_allclose(np.exp(state.params["log_var"] / 2)[lively], x.std(axis=0)[lively], rtol=0.15)


def test_an_experiment_of_it(place, tmp_path, monkeypatch, capsys):
    """The manifest names its classes; without the experiment's name nothing of it is imported."""
    monkeypatch.chdir(place)
    run, given = tmp_path / "run", ["--experiment", "digits_of_pixels.py"]
    flags = ["--steps", "6", "--checkpoint-every", "2", "--log-every", "2", "--model.optimizer.learning-rate", "0.02"]
    assert cli.main(["train", "digits_of_pixels.py", "--run", str(run), *flags]) == 0
    tree = json.loads((run / "manifest.json").read_text())
    assert tree["config"]["model"]["type"] == "pixels.model.Config"
    assert tree["config"]["model"]["optimizer"]["learning_rate"] == 0.02
    shutil.rmtree(run / "checkpoints" / "6")
    for words in (["resume"], ["sample", "--num", "3"], ["evaluate", "--split", "valid"], ["verify"]):
        assert cli.main([words[0], str(run), *words[1:], *given]) == 0, capsys.readouterr().err
        assert cli.main([words[0], str(run), *words[1:]]) == 2
    assert json.loads((run / "manifest.json").read_text())["digests"] == tree["digests"]
    assert "verified: the state is the same to the bit" in capsys.readouterr().out
    assert np.isfinite(runs.evaluate(run, experiment=place / "digits_of_pixels.py")["nll"].value)
