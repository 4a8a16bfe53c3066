"""Runs on real values in physical units: the scale is a flag, in the manifest, and in all that follows."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalCall=false

import dataclasses
import json
import warnings

import numpy as np
import pytest

from jaxgen import cli, data, evaluate, gan, runs, vae
from jaxgen.data import Functions, Standardise
from jaxgen.evaluate import FewSamplesWarning
from jaxgen.experiments import digits_gan, digits_vae, mnist_gan_mlp

SHORT = {"steps": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 2}
VAE = vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal())
GAN = gan.Config(latent_dim=3, network=gan.MLP(generator_hidden=(8,), discriminator_hidden=(8,)))


@pytest.fixture
def flux(tmp_path):
    x = np.random.default_rng(0).exponential(500, (80, 4, 4, 1)).astype(np.float32)
    np.savez(tmp_path / "flux.npz", x=x)
    return tmp_path / "flux.npz"


@pytest.mark.slow
def test_from_the_command_line_to_samples_without_the_data(flux, tmp_path, capsys):
    run = tmp_path / "run"
    flags = ["--steps", "2", "--batch-size", "8", "--model.latent-dim", "2", "--model.hidden", "8"]
    flags += ["--data", str(flux), "--run", str(run), "scale:arcsinh", "--scale.softening", "50.0"]
    assert cli.main(["train", "digits_vae", *flags, "model.likelihood:normal"]) == 0
    assert "density of" in capsys.readouterr().out
    manifest = json.loads((run / "manifest.json").read_text())
    # As it was asked for in the config, as it was fitted in what is known of the data.
    scale = manifest["config"]["scale"]
    assert (scale["type"], scale["softening"], scale["mean"]) == ("jaxgen.data.Arcsinh", 50.0, None)
    fitted = manifest["data"]["spec"]["scale"]
    assert fitted["softening"] == 50.0 and fitted["mean"] > 0 and fitted["std"] > 0
    assert (run / "pictures" / "final.png").exists()
    with pytest.warns(FewSamplesWarning):
        found = runs.fidelity(run, 8)
    assert any("on their scale, Arcsinh" in note for note in found.notes)
    before, _ = runs.sample(run, 6)
    flux.unlink()
    x, _ = runs.sample(run, 6)
    np.testing.assert_array_equal(x, before)
    assert 20 < np.asarray(x).mean() < 5000


def test_what_cannot_be_modelled_is_refused_before_there_is_a_folder(flux, tmp_path, capsys):
    for flags, message in (
        (["digits_vae"], "Normal() fits (likelihood:normal)"),
        (["digits_vae", "model.likelihood:discretized-normal"], "Normal() fits"),
        (["digits_vae", "scale:standardise"], "scale must be None for the likelihood Bernoulli()"),
        (["digits_vae", "scale:to-range", "--scale.high", "1.0", "model.likelihood:normal"], "must hold all values"),
        (["digits_gan", "scale:arcsinh", "--scale.softening", "-1"], "softening must be"),
    ):
        run = ["--data", str(flux), "--run", str(tmp_path / "run")]
        assert cli.main(["train", flags[0], *run, *flags[1:]]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert cli.main(["train", "digits_vae", "--run", str(tmp_path / "run"), "scale:standardise"]) == 2
    assert "grey levels 0..16 have a scale of their own" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_pair_of_functions_is_refused_in_a_config(flux, tmp_path):
    pair = Functions(lambda x: x / 500, lambda u: 500 * u)
    if hasattr(digits_gan.Config.__init__, "__wrapped__"):  # under the tests' checks of every annotation
        pytest.skip("the annotation refuses it first")
    with pytest.raises(TypeError, match=r"config\.scale\.forward must be made of numbers, .*, got <function"):
        runs.train(digits_gan.Config(data=str(flux), scale=pair, model=GAN, **SHORT), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_config_of_before_there_were_scales_is_that_of_today():
    tree = runs.config.to_json(digits_vae.Config())
    del tree["scale"]
    assert runs.config.from_json(tree) == digits_vae.Config()
    assert runs.config.completed(tree) == runs.config.to_json(digits_vae.Config())


@pytest.mark.slow
def test_metrics_clip_nothing(monkeypatch, tmp_path):
    x = np.random.default_rng(0).normal(0.5, 1.0, (60, 6, 6, 1)).astype(np.float32)
    np.savez(tmp_path / "real.npz", x=x)
    config = digits_vae.Config(data=str(tmp_path / "real.npz"), model=VAE, **SHORT)
    runs.train(config, tmp_path / "run", progress=False)
    dataset = config.build().dataset
    beyond = 3 * dataset.test.x  # half of it outside the range of the data

    class Untouched(Exception):
        pass

    def features(images):
        seen = np.asarray(images).reshape(len(images), -1)
        drawn = data.space.seen(beyond, data.space.for_metrics(dataset.spec)).reshape(len(beyond), -1)
        if seen.shape == drawn.shape and np.allclose(seen, drawn):
            raise Untouched
        return seen

    monkeypatch.setattr(evaluate, "samples", lambda *args, **kwargs: beyond)
    looked = evaluate.Features(features, "mine", "1", bounded=False)
    with pytest.raises(Untouched):
        runs.fidelity(tmp_path / "run", len(beyond), features=looked)
    # Features that take [0, 1] alone are not given what lies beyond.
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        runs.fidelity(tmp_path / "run", len(beyond), features=dataclasses.replace(looked, bounded=True))


@pytest.mark.slow
def test_parzen_windows_are_of_the_data_in_their_own_units(flux, key):
    """A scale of the user's and the range that is taken where there is none differ by what their windows are worth."""
    found = {}
    for scale in (data.Identity(), Standardise(), Standardise(500.0, 2000.0)):
        config = mnist_gan_mlp.Config(data=str(flux), scale=scale, samples=40, centroids=3, model=GAN, **SHORT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            experiment = config.build()
        state = experiment.model.init(key, {"x": experiment.dataset.train.x[:8]})
        report = experiment.report(key, state.variables, experiment.dataset.test)
        found[scale] = report["Parzen of training images"]
    values = [estimate.value for estimate in found.values()]
    # 16 dimensions of exponential values with mean 500: -16 (1 + log 500) = -115 nats, windows cost some.
    assert all(-200 < value < -110 for value in values), values
    assert "as [0, 1]" in found[data.Identity()].unit and "scale Standardise" in found[Standardise()].unit
