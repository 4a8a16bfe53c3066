"""The next frame of bouncing balls: what is given, measures against copies, films."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgen import ddpm, plot, runs
from jaxgen.experiments import video_ddpm

SMALL = video_ddpm.Config(
    videos=20,
    size=12,
    past=2,
    rollouts=2,
    horizon=3,
    samples=2,
    sampler=ddpm.DPMSolver(2),
    model=dataclasses.replace(
        video_ddpm.Config.model, network=ddpm.MLP((8,), time_features=4), schedule=ddpm.Cosine(4), num_draws=2
    ),
    steps=2,
    batch_size=8,
)


def test_the_last_frame_is_modelled_and_those_before_are_given():
    dataset = SMALL.dataset()
    assert dataset.spec.event_shape == (12, 12, 1) and dataset.spec.fields["past"].shape == (12, 12, 2)
    clips = SMALL.clips(0, 20, 3)
    np.testing.assert_array_equal(dataset.train.x[..., 0], clips[:, 2])
    np.testing.assert_array_equal(dataset.train.fields["past"][..., 1], clips[:, 1])
    assert (SMALL.clips(0, 5, 3) == clips[:5]).all() and (SMALL.clips(1, 5, 3) != clips[:5]).any()


def test_digits_move_in_place_of_balls_and_several_frames_are_drawn_at_once():
    config = dataclasses.replace(SMALL, data="digits", balls=2, future=3)
    dataset = config.dataset()
    assert dataset.name == "moving_digits"
    assert dataset.spec.event_shape == (3, 12, 12, 1) and dataset.spec.fields["past"].shape == (1, 12, 12, 2)
    clips = config.clips(2, 20, 5)
    np.testing.assert_array_equal(dataset.test.x[..., 0], clips[:, 2:])
    np.testing.assert_array_equal(np.moveaxis(dataset.test.fields["past"][:, 0], -1, 1), clips[:, :2])
    with pytest.raises(ValueError, match=r"data must be grey images, uint8 .h, w, 1., to move, got"):
        dataclasses.replace(SMALL, data="ring").dataset()


def test_a_past_that_is_missing_or_of_another_shape_is_refused():
    dataset = SMALL.dataset()
    model = SMALL.model_for(dataset.spec)
    variables = model.init(jax.random.key(0), dataset.train.batches(seed=0, batch_size=8)(0)).variables
    for condition, message in (
        (None, 'condition must hold "past", got none'),
        ({"past": dataset.test.fields["past"][0, :, :, :1]}, r"condition\['past'\]"),
        ({"past": dataset.test.fields["past"][0] > 9}, r"condition\['past'\] must be uint8, got bool"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(jax.random.key(0), variables, 2, condition=condition)


@pytest.mark.slow
def test_from_training_to_the_film(tmp_path):
    found = runs.train(SMALL, tmp_path, progress=False).results["test"]
    clips = SMALL.clips(2, 20, 3) / 255
    copied = np.square(clips[:, 2] - clips[:, 1]).sum(axis=(1, 2))
    assert found["next/last_frame"].value == pytest.approx(copied.mean(), rel=1e-4)
    assert {"next/sample", "next/mean_of_2", "ahead_1/rollout", "ahead_3/rollout"} <= found.keys()
    with Image.open(tmp_path / "pictures" / "rollouts.png") as film:
        assert film.is_animated and film.n_frames == 5


@pytest.mark.slow
def test_several_frames_from_training_to_the_film(tmp_path):
    config = dataclasses.replace(SMALL, data="digits", balls=2, future=2)
    found = runs.train(config, tmp_path, progress=False).results["test"]
    assert {"next/sample", "ahead_1/rollout", "ahead_3/rollout"} <= found.keys()
    with Image.open(tmp_path / "pictures" / "rollouts.png") as film:
        assert film.is_animated and film.n_frames == 5
    past = config.dataset().test.fields["past"][0]
    assert runs.sample(tmp_path, num=2, condition={"past": past}, out=tmp_path / "x.npy")[0].shape == (2, 2, 12, 12, 1)


def test_a_film_is_an_animated_picture(tmp_path):
    videos = np.random.default_rng(0).uniform(size=(3, 4, 6, 5))
    film = plot.film({"one": videos, "two": videos[:2]}, title="noise", milliseconds=50)
    assert film.frames.shape[0] == 4 and film.frames.dtype == np.uint8
    with Image.open(plot.save(film, tmp_path / "film.png")) as again:
        assert again.n_frames == 4 and again.info["duration"] == 50
    for wrong, message in (
        ({}, "videos"),
        ({"a": videos[0, 0]}, "of one length t, got"),
        ({"a": videos, "b": videos[:, :2]}, "one length"),
    ):
        with pytest.raises(ValueError, match=message):
            plot.film(wrong, title="")
    with pytest.raises(ValueError, match="moments must be a name for each of 4 frames, got 1"):
        plot.film({"a": videos}, title="", moments=["only one"])
