"""Defaults suit any data: a folder of 30 tiny images, a file of 40 examples, and the data that they were made for."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import dataclasses
import itertools
import json

import numpy as np
import pytest
from given import GIVEN
from PIL import Image

from jaxgen import data, experiments, gan, vae
from jaxgen.experiments import (
    _images,
    digits_gan,
    digits_vae,
    mnist_autoencoder,
    mnist_dcgan,
    mnist_gan_mlp,
    mnist_vae,
    mnist_vae_conv,
    ring_gan,
)
from jaxgen.runs import config as configs
from jaxgen.runs import train

X = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
OF_THEIR_OWN = ("ring_gan", "grid_gan", "toy_ddpm", "toy_flow", "translation_digits", "stacked_mnist", *GIVEN)
ON_IMAGES = [name for name in experiments.names() if name not in OF_THEIR_OWN]


@pytest.mark.parametrize("name", experiments.names())
def test_every_config_comes_back_from_a_manifest(name):
    """Under names that no underscore hides, which are refused."""
    config = experiments.find(name).Config()
    assert configs.from_json(configs.to_json(config)) == config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos")
    for i, name in zip(range(30), itertools.cycle(("cat", "dog"))):
        (path / name).mkdir(exist_ok=True)
        Image.fromarray(X[i, ..., 0]).save(path / name / f"{i}.png")
    return str(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "set.npz"
    np.savez(path, x=X, label=np.arange(40) % 4)
    return str(path)


@pytest.mark.parametrize("name", ON_IMAGES)
def test_every_experiment_is_built_on_a_folder_and_on_a_file(name, folder, file):
    for place, num in ((folder, 30), (file, 40)):
        config = experiments.find(name).Config(data=place)
        dataset = config.build().dataset
        assert sum(map(len, dataset.splits.values())) == num
        # None of MNIST's is held out by the published protocol of mnist_vae.
        assert (dataset.valid is None) == (name == "mnist_vae")
        batch_size = config.batch_size_for(len(dataset.train))
        assert 16 <= batch_size <= len(dataset.train)
        assert dataset.train.batches(0, batch_size)(0)["x"].shape[0] == batch_size


@pytest.mark.parametrize("kind", [mnist_vae.Config, mnist_vae_conv.Config])
@pytest.mark.parametrize(("valid", "size"), [(0.2, 6), (5, 5), (0, None)])
def test_a_number_or_a_fraction_is_held_out_where_it_is_given(kind, valid, size, folder):
    held_out = kind(data=folder, valid=valid).build().dataset.valid
    assert (None if held_out is None else len(held_out)) == size


def test_the_images_that_sigma_is_chosen_on(folder):
    assert len(mnist_gan_mlp.Config(data=folder, held_out=4).build().dataset.splits["valid"]) == 4
    assert len(mnist_gan_mlp.Config(data=folder, held_out=0.2).build().dataset.splits["valid"]) == 6


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (mnist_vae.Config, {"valid": -1}, "valid must be an integer of at least 0, got -1"),
        (mnist_vae_conv.Config, {"valid": 1.5}, "valid must be a finite number above 0 and below 1, got 1.5"),
        (mnist_vae_conv.Config, {"valid": float("nan")}, "valid must be a finite number"),
        (mnist_gan_mlp.Config, {"held_out": 0}, "held_out must be a number or a fraction .* above 0, got 0"),
        (mnist_gan_mlp.Config, {"held_out": 0.0}, "held_out must be a finite number above 0"),
    ],
)
def test_numbers_that_hold_out_nothing_sensible(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        kind(**fields)


@pytest.mark.parametrize(
    ("kind", "field", "number"),
    [
        (mnist_vae.Config, "valid", 0),
        (mnist_vae_conv.Config, "valid", 10_000),
        (mnist_gan_mlp.Config, "held_out", 1000),
    ],
)
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_manifest_of_before_means_what_it_meant(kind, field, number, name):
    """Configs had the number where they have None today; MNIST is split as it was."""
    today = kind(data=name)
    written = json.loads(json.dumps(configs.to_json(today)))
    before = {**written, field: number}
    assert configs.from_json(before) == today
    assert configs.completed(before) == configs.to_json(today)
    assert _images.split_off(getattr(today, field), number, name) == {"valid": number}
    # On other data the number is what it says.
    assert getattr(kind(data="photos.npz", **{field: number or 7}), field) == (number or 7)


def test_data_with_a_split_for_ever_keep_it():
    assert _images.split_off(None, 10_000, "binarized_mnist") == _images.split_off(None, 0, "digits") == {}
    assert len(mnist_vae_conv.Config(data="digits").build().dataset.splits["valid"]) == 200


def test_a_default_that_does_not_fit_becomes_smaller_and_a_given_number_is_refused(file):
    config = mnist_autoencoder.Config(data=file)
    assert config.fitted("labels_per_class", 7, "the smallest class") == 7
    config.build()
    with pytest.raises(ValueError, match=r"labels_per_class must be at most [5-8], the smallest class, got 9"):
        dataclasses.replace(config, labels_per_class=9).build()
    assert len(mnist_gan_mlp.Config(data=file).build().dataset.train) < 1000
    with pytest.raises(ValueError, match="centroids must be at most 32, the training images, got 33"):
        mnist_gan_mlp.Config(data=file, centroids=33).build()


def test_the_batch_is_the_experiments_own_where_it_fits():
    assert digits_vae.Config().batch_size_for(128) == digits_vae.Config().batch_size_for(1297) == 128
    assert [digits_vae.Config().batch_size_for(num) for num in (127, 24, 3, 1)] == [64, 16, 2, 1]
    assert digits_vae.Config(batch_size=5000).batch_size_for(1297) == 5000  # the batches refuse it
    critic = dataclasses.replace(digits_gan.Config().model, n_critic=5)
    assert digits_gan.Config(model=critic).batch_size_for(1297) == 80
    assert ring_gan.Config().batch_size_for(100_000) == 640
    assert ring_gan.Config(num=30).batch_size_for(30) == 20
    assert ring_gan.Config(members=7).batch_size_for(1000) == 448
    # Devices, which may change in a run, have no say.
    assert digits_vae.Config(devices=4).batch_size_for(24) == digits_vae.Config().batch_size_for(24)


@pytest.mark.slow
def test_a_run_on_a_folder_from_defaults_to_report(tmp_path, folder):
    """All that a report and its pictures need of 24 + 3 + 3 images, classes by their names."""
    model = dataclasses.replace(mnist_dcgan.Config().model, latent_dim=2, network=gan.DCGAN(features=4))
    config = mnist_dcgan.Config(data=folder, steps=2, samples=40, classifier_steps=2, model=model, picture_every=0)
    found = train(config, tmp_path / "run", progress=False).results["test"]
    assert found["share/cat"].value + found["share/dog"].value == pytest.approx(1)
    assert "share/0" not in found


@pytest.mark.slow
def test_a_bound_of_any_number_of_draws(tmp_path, folder):
    small = vae.Config(latent_dim=2, hidden=(4,))
    config = mnist_vae.Config(data=folder, steps=2, importance_samples=3, binarisations=1, model=small)
    assert np.isfinite(train(config, tmp_path / "run", progress=False).results["test"]["-log p(x)"].value)


def test_shares_are_held_against_the_classes_that_occur(monkeypatch):
    """Labels 1 and 2: samples that are half of each are as they should be, 0 nats from equal shares."""
    with pytest.warns(UserWarning, match="1 of the 3 classes have no example"):
        dataset = data.from_arrays(X, np.arange(40) % 2 + 1, class_names=["none", "cat", "dog"])

    class Judge:
        params = np.zeros(1, np.float32)

        def accuracy(self, x, label):
            return _images.Estimate(1.0)

        def predictions(self, x):
            return np.arange(len(x)) % 2 + 1

    monkeypatch.setattr(_images.evaluate, "train_classifier", lambda *_, **__: Judge())
    found = _images.fidelity(np.float32(X) / 255, dataset, dataset.test, seed=0, classifier_steps=1)
    assert found["class_kl"].value == pytest.approx(0, abs=1e-6)
    assert [found[f"share/{name}"].value for name in ("none", "cat", "dog")] == [0, 0.5, 0.5]
