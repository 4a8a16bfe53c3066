"""Compression beside other formats: what is counted, what is refused before it is trained for, and a shortened run."""

import dataclasses
import gzip
import io

import numpy as np
import pytest
from PIL import Image

from jaxgen import data, runs, vae
from jaxgen.core import Spec
from jaxgen.experiments import _compression, mnist_compression

MODEL = dataclasses.replace(mnist_compression.Config.model, latent_dim=8, hidden=(64,))


def test_other_formats_hold_the_images_whole():
    x = np.zeros((3, 16, 16, 1), np.uint8)
    x[:, 4:9, 4:9] = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 1), np.uint8)
    grey = _compression.by_others(x, Spec((16, 16, 1), "uint8", levels=256))
    assert grey["gzip"].value == 8 * len(gzip.compress(x.tobytes(), 9)) / x.size
    assert {"gzip", "PNG", "WebP, lossless"} <= grey.keys() and all(
        75 * 8 / x.size < e.value < 8 for e in grey.values()
    )
    binary = _compression.by_others(x % 2, Spec((16, 16, 1), "uint8", levels=2))
    assert all(binary[name].value < grey[name].value for name in binary)
    assert _compression.by_others(x, Spec((16, 16, 1), "uint8", levels=17)).keys() == {"gzip", "bzip2"}  # no pictures


def test_a_picture_that_is_saved_comes_back():
    x = np.random.default_rng(0).integers(0, 2, (9, 7), np.uint8)
    for options in ({"format": "PNG", "optimize": True}, {"format": "WEBP", "lossless": True, "method": 6}):
        for image, binary in ((x, True), (x * 101, False)):
            with Image.open(io.BytesIO(_compression._saved(image, binary, **options))) as picture:
                np.testing.assert_array_equal(np.asarray(picture.convert("L")), image * (255 if binary else 1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": dataclasses.replace(MODEL, likelihood=vae.Normal())}, "likelihood must be DiscretizedNormal"),
        ({"model": dataclasses.replace(MODEL, likelihood=vae.Bernoulli())}, "data must have 2 levels .* got levels=17"),
        ({"images": -1}, "images must be an integer of at least 0, got -1"),
        ({"valid": -1}, "valid must be an integer of at least 0, got -1"),
    ],
)
def test_what_cannot_be_compressed_is_refused_before_it_is_trained_for(fields, message):
    with pytest.raises(ValueError, match=message):
        mnist_compression.Config(**{"data": "digits", **fields}).build()


@pytest.mark.slow
def test_a_shortened_run_and_its_figures(tmp_path):
    """The file of all test images is as large as the bound on them says."""
    pytest.importorskip("constriction")
    config = mnist_compression.Config(data="digits", model=MODEL, steps=400, log_every=200, checkpoint_every=400)
    found = runs.train(config, tmp_path / "run").results["test"]
    assert found["file"].value > found["file without overhead"].value
    assert found["file without overhead"].value == pytest.approx(found["bits_per_dim"].value, rel=0.015)
    assert found["file"].unit.startswith(f"bits/dim, {len(data.load('digits').test)} images in ")
