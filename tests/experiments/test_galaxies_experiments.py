"""Galaxies: rendered ones and files, statistics beside those of real galaxies, parameters found again."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import ddpm, gan, runs
from jaxgen.data import Arcsinh, Galaxies
from jaxgen.evaluate import photometry
from jaxgen.experiments import _galaxies, _recovery, galaxies_ddpm, galaxies_gan, galaxies_vae

SMALL = {"galaxies": Galaxies(size=12), "num": 40, "samples": 8, "steps": 2, "batch_size": 8}
TINY = galaxies_ddpm.Config(
    sampler=ddpm.DPMSolver(2),
    model=dataclasses.replace(
        galaxies_ddpm.Config.model, network=ddpm.MLP((8,), time_features=4), schedule=ddpm.Cosine(4), num_draws=2
    ),
    **SMALL,
)
EVERY = {
    "ddpm": TINY,
    "vae": galaxies_vae.Config(
        model=dataclasses.replace(galaxies_vae.Config.model, hidden=(8,), features=(), latent_dim=2), **SMALL
    ),
    "gan": galaxies_gan.Config(
        model=dataclasses.replace(galaxies_gan.Config.model, network=gan.MLP((8,), (8,)), latent_dim=2), **SMALL
    ),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    x = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 1), np.uint8)
    path = tmp_path_factory.mktemp("radio") / "first.npz"
    np.savez(path, x=x, label=np.arange(60) % 4, fold=np.arange(60) % 6)
    return str(path)


def test_rendered_galaxies_have_their_parameters_as_fields_and_a_scale():
    dataset = TINY.dataset()
    assert {"flux", "radius", "sersic_index", "axis_ratio", "angle", "colour", "place"} == set(dataset.spec.fields)
    assert isinstance(dataset.spec.scale, Arcsinh) and dataset.spec.class_names == ("disc", "spheroid")
    assert dataset.train.x.dtype == np.float32 and len(dataset.test) == 40
    again = TINY.dataset()
    assert again.fingerprint == dataset.fingerprint


def test_samples_are_counts():
    """What a model hands out is in the units of the data: the arcsinh is inverted."""
    dataset = TINY.dataset()
    model = TINY.model_for(dataset.spec)
    batch = dataset.train.batches(0, 8)(0)
    x = model.sample(jax.random.key(0), model.init(jax.random.key(0), batch).variables, 50)
    assert np.abs(x).max() > 4  # of noise on the scale, which has a spread of 1
    scale = dataset.spec.scale
    assert scale is not None
    seen = np.asarray(scale.forward(jnp.asarray(dataset.train.x)))
    assert seen.std() == pytest.approx(1, rel=1e-3)
    np.testing.assert_allclose(scale.inverse(jnp.asarray(seen)), dataset.train.x, rtol=1e-3, atol=1e-3)


def test_files_are_known_by_their_keys(file):
    dataset = dataclasses.replace(TINY, data=file, fold=1).dataset()
    assert dataset.name == "radio_galaxies" and len(dataset.splits["valid"]) == 10
    assert _galaxies.held_out(dataset) is dataset.valid
    with pytest.raises(ValueError, match=r"fold must be an integer in 0..4, got 5"):
        dataclasses.replace(TINY, fold=5)
    with pytest.raises(ValueError, match=r"data must be square images .*, got \(2,\) from ring"):
        dataclasses.replace(TINY, data="ring").dataset()
    with pytest.raises(FileNotFoundError, match=r"gone.npz"):
        dataclasses.replace(TINY, data="gone.npz").dataset()


def test_known_parameters_are_found_again_in_galaxies_of_the_same_population():
    config = dataclasses.replace(TINY, galaxies=Galaxies(size=20), num=250)
    dataset = config.dataset()
    x, _ = config.galaxies.sample(jax.random.key(77), 250)
    found = _recovery.report(dataset, photometry(x).columns, 250)
    for name in ("flux", "radius", "axis_ratio", "colour"):
        error, spread = (found[f"recovered/{name}/{what}"].value for what in ("error", "spread"))
        assert error < spread / 2, name
        # Two samples of 250 are this far apart with a probability of 0.003.
        assert found[f"recovered/{name}/distance"].value < 0.16, name
    half = _recovery.report(dataset, photometry(x[:, ::-1] * np.float32(3)).columns, 250)
    assert half["recovered/flux/distance"].value > 0.5


@pytest.mark.parametrize("name", EVERY)
def test_orientations_and_light(name):
    config = EVERY[name]
    whole = config.build()
    assert config.turned and whole.dataset.name == "galaxies"
    plain = dataclasses.replace(config, turned=False)
    assert plain.ready(whole.model) is whole.model
    assert config.ready(whole.model).step is not whole.model.step
    np.testing.assert_array_equal(_galaxies.light(np.ones(3, np.float32), whole.dataset.spec), 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_from_training_to_the_last_picture(tmp_path, name):
    found = runs.train(EVERY[name], tmp_path, progress=False).results["test"]
    assert found["finite"].value == 1
    for statistic in ("flux", "radius", "ellipticity", "concentration", "colour"):
        assert 0 <= found[f"{statistic}/training/distance"].value <= 1
        assert {f"{statistic}/sampled/distance", f"{statistic}/held_out/mean"} <= found.keys()
    assert {"recovered/flux/real/distance", "recovered/flux/sampled/distance"} <= found.keys()
    assert {"samples.png", "statistics.png", "final.png"} <= {p.name for p in (tmp_path / "pictures").iterdir()}


@pytest.mark.slow
def test_radio_galaxies_from_a_file(tmp_path, file):
    found = runs.train(dataclasses.replace(TINY, data=file), tmp_path, progress=False).results["test"]
    assert "flux/sampled/distance" in found and "colour/sampled/distance" not in found
