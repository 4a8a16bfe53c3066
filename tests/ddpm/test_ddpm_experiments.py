"""The experiments end to end, on networks and chains that take seconds."""

import dataclasses

import numpy as np
import pytest

from jaxgen import ddpm, runs
from jaxgen.experiments import cifar10_ddpm, mnist_ddpm, toy_ddpm

SMALL = ddpm.Config(schedule=ddpm.Cosine(6), prediction=ddpm.V(), network=ddpm.MLP((8,), time_features=4), num_draws=2)


@pytest.mark.slow
def test_images_from_training_to_the_last_picture(tmp_path):
    config = mnist_ddpm.Config(
        data="digits", samples=30, sampler=ddpm.DDIM(3), classifier_steps=2, model=SMALL, steps=2, batch_size=8
    )
    found = runs.train(config, tmp_path, progress=False).results
    terms = ("prior", "denoising", "reconstruction")
    test = found["test"]
    assert test["negative_bound"].value == pytest.approx(sum(test[name].value for name in terms), rel=1e-5)
    assert test["bits_per_dim"].value == pytest.approx(test["negative_bound"].value / (64 * np.log(2)), rel=1e-5)
    assert all(test[f"{name}/bits_per_dim"].unit == "bits/dim" for name in terms)
    assert test["negative_bound"].unit == "nats, 17 grey levels" and test["negative_bound"].standard_error
    assert {"class_kl", "classifier", "nearest_of_samples", "nearest_of_test"} <= test.keys()
    assert "class_kl" not in found["valid"]
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"final.png", "samples.png", "chain.png", "terms.png", "curves.png"} <= pictures


@pytest.mark.slow
def test_points_from_training_to_the_score(tmp_path):
    config = toy_ddpm.Config(num=200, model=dataclasses.replace(SMALL, schedule=ddpm.Cosine(20)), steps=2, batch_size=8)
    found = runs.train(config, tmp_path, progress=False).results
    assert found["test"]["negative_bound"].unit == "nats, density" and "bits_per_dim" not in found["test"]
    assert (tmp_path / "pictures" / "score.png").exists()


def test_cifar10_is_the_papers():
    config = cifar10_ddpm.Config()
    assert config.model.network == ddpm.UNet.cifar10() and config.model.schedule == ddpm.Linear(1000, 1e-4, 0.02)
    assert (config.steps, config.batch_size, config.model.ema_decay) == (800_000, 128, 0.9999)
