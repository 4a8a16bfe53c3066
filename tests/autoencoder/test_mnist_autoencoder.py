import dataclasses

import jax
import numpy as np
import pytest

from jaxgen import autoencoder
from jaxgen.experiments.mnist_autoencoder import Config

SMALL = Config(
    data="digits",
    probe_examples=100,
    labels_per_class=2,
    label_draws=2,
    fine_tuning_steps=5,
    model=autoencoder.Config(latent_dim=4, hidden=()),
)


def initial(experiment):
    return experiment.model.init(jax.random.key(0), {"x": experiment.dataset.train.x[:8]})


def test_the_report_compares_features_with_pixels_and_training_with_none():
    experiment = SMALL.build()
    assert experiment.report is not None
    state = initial(experiment)
    found = experiment.report(jax.random.key(1), state.variables, experiment.dataset.test)
    compared = ["probe_features", "probe_pixels", "fine_tuned", "from_scratch"]
    assert list(found) == ["reconstruction", *compared, "gain"]
    assert all(0 <= found[name].value <= 1 for name in compared)
    assert found["gain"].value == pytest.approx(found["fine_tuned"].value - found["from_scratch"].value)
    assert found["gain"].unit == "accuracy, 20 labels"
    assert experiment.picture(jax.random.key(1), state) is not None


def test_data_without_labels_are_reconstructed_only(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 1)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    experiment = dataclasses.replace(SMALL, data=str(tmp_path / "x.npy")).build()
    assert experiment.report is not None
    assert list(experiment.report(jax.random.key(1), initial(experiment).variables, experiment.dataset.test)) == [
        "reconstruction"
    ]


def test_what_could_only_fail_after_training_fails_before():
    with pytest.raises(ValueError, match="label_draws must be an integer of at least 1, got 0"):
        dataclasses.replace(SMALL, label_draws=0)
    with pytest.raises(ValueError, match=r"labels_per_class must be at most \d+, the smallest class, got 1000"):
        dataclasses.replace(SMALL, labels_per_class=1000).build()
