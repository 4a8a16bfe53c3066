"""The experiments in continuous time end to end, on networks that take seconds."""

import dataclasses

import numpy as np
import pytest

from jaxgen import flow, runs
from jaxgen.experiments import digits_flow, mnist_flow, mnist_meanflow, mnist_vdm, toy_flow

SMALL = flow.Config(network=flow.MLP((8,), time_features=4), num_draws=2)
SHORT = {"steps": 2, "batch_size": 8}


@pytest.mark.slow
def test_images_from_training_to_the_last_picture(tmp_path):
    config = mnist_flow.Config(data="digits", samples=30, sampler=flow.DPMSolver(4), tried=(2,), model=SMALL, **SHORT)
    found = runs.train(config, tmp_path, progress=False).results
    test = found["test"]
    terms = ("prior", "diffusion", "reconstruction")
    assert test["negative_bound"].value == pytest.approx(sum(test[name].value for name in terms), rel=1e-5)
    assert test["bits_per_dim"].value == pytest.approx(test["negative_bound"].value / (64 * np.log(2)), rel=1e-5)
    assert {"frechet/DPMSolver of order 2, 4 steps", "frechet/DPMSolver of order 2, 2 steps"} <= test.keys()
    assert test["frechet/real images"].value < test["frechet/DPMSolver of order 2, 2 steps"].value
    assert "30 samples, test split" in test["frechet/real images"].unit
    assert not any(name.startswith("frechet") for name in found["valid"])
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"final.png", "samples.png", "chain.png", "curves.png"} <= pictures


@pytest.mark.slow
def test_points_from_training_to_the_ways(tmp_path):
    found = runs.train(toy_flow.Config(num=200, model=SMALL, **SHORT), tmp_path, progress=False).results["test"]
    assert found["flow_log_density"].unit == "nats, density" and "bits_per_dim" not in found
    # Without training the velocity is 0, and so is its distance from the whole way's.
    assert found["straightness"].value >= 0
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"ways.png", "chain.png", "steps.png"} <= pictures


@pytest.mark.slow
def test_one_step_and_the_likelihood(tmp_path):
    average = dataclasses.replace(SMALL, average=flow.Average())
    config = mnist_meanflow.Config(data="digits", samples=30, tried=(2,), model=average, **SHORT)
    found = runs.train(config, tmp_path / "one", progress=False).results["test"]
    assert "frechet/Jump, 1 step" in found and ", 1 call of" in found["frechet/Jump, 1 step"].unit
    vdm = mnist_vdm.Config().model
    config = mnist_vdm.Config(
        data="digits", model=dataclasses.replace(vdm, network=SMALL.network, num_draws=2), **SHORT
    )
    assert "bits_per_dim" in runs.train(config, tmp_path / "vdm", progress=False).results["test"]


def test_what_is_tried_is_checked():
    with pytest.raises(ValueError, match=r"tried\[1\] must be an integer of at least 1, got 0"):
        mnist_flow.Config(tried=(3, 0))
    assert [s.num_steps for s in mnist_flow.Config().samplers] == [50, 20, 10, 5]
    assert digits_flow.Config().model.path == flow.Linear()
