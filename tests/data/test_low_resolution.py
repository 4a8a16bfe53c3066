"""Reduced pictures: the published protocol, and patches that belong together."""

import numpy as np
import pytest
from PIL import Image
from published import SHARED, needs_shared

from jaxgen.data import low_resolution
from jaxgen.evaluate import psnr

RNG = np.random.default_rng(0)
Y = RNG.integers(16, 236, (40, 52), np.uint8)


def test_the_luminance_of_black_white_and_the_primaries():
    """ITU-R BT.601: 16 and 235 at the ends; red, green and blue as their weights say."""
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    assert low_resolution.luminance(colours[None]).tolist() == [[16, 235, 81, 145, 41]]
    grey = np.array([0, 100, 255], np.uint8)[None, :, None]
    assert low_resolution.luminance(grey).tolist() == [[16, round(16 + 219 * 100 / 255), 235]]


def test_a_flat_picture_stays_flat_and_a_ramp_stays_a_ramp():
    flat = np.full((12, 18), 77, np.uint8)
    assert (low_resolution.enlarged(low_resolution.reduced(flat, 3), 3) == 77).all()
    ramp = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[None], 24, axis=0)
    again = low_resolution.enlarged(low_resolution.reduced(ramp, 2), 2)
    np.testing.assert_allclose(again[:, 8:-8].astype(int), ramp[:, 8:-8], atol=1)


@needs_shared
@pytest.mark.parametrize(("factor", "published"), [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_bicubic_on_set5_as_published(factor, published):
    """Dong et al. 2016 (SRCNN), table 3."""
    found = []
    for y in low_resolution.pictures(SHARED / "super_resolution" / "Set5").values():
        original = low_resolution.cut(y, factor)
        again = low_resolution.enlarged(low_resolution.reduced(original, factor), factor)
        found.append(psnr(again.astype(float), original.astype(float), border=factor))
    assert np.mean(found) == pytest.approx(published, abs=0.015)


def test_patches_are_the_picture():
    """Residual and enlarged picture add up to a place of the picture; the same for each part of a turned one."""
    found = low_resolution.patches({"a": Y}, 20, 12, (2, 3), seed=0, shrinks=(1.0,), turned=False)
    assert found.factor.tolist() == [2, 3] * 10
    for residual, enlarged, factor in zip(found.residual, found.enlarged, found.factor, strict=True):
        whole = (residual + enlarged)[..., 0]
        windows = np.lib.stride_tricks.sliding_window_view(Y, (12, 12))
        top, left = np.argwhere((windows == whole).all(axis=(-2, -1)))[0]
        original = low_resolution.cut(Y, int(factor))
        base = low_resolution.enlarged(low_resolution.reduced(original, int(factor)), int(factor))
        np.testing.assert_array_equal(enlarged[..., 0], base[top : top + 12, left : left + 12])
    turned = low_resolution.patches({"a": Y}, 200, 12, (2,), seed=0, shrinks=(1.0,))
    sums = turned.residual + turned.enlarged
    assert sums.min() >= 16 and sums.max() <= 235 and len(np.unique(sums[:, 0, 0, 0])) > 20


def test_patches_are_a_function_of_the_seed():
    one, same, other = (low_resolution.patches({"a": Y}, 5, 12, (2,), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.residual, same.residual)
    assert (one.residual != other.residual).any()


def test_a_folder_of_pictures_of_any_size(tmp_path):
    Image.fromarray(Y).save(tmp_path / "grey.png")
    (tmp_path / "more").mkdir()
    Image.fromarray(np.stack([Y[:20]] * 3, axis=-1)).save(tmp_path / "more" / "colour.png")
    found = low_resolution.pictures(tmp_path)
    assert {name: y.shape for name, y in found.items()} == {"grey.png": (40, 52), "more/colour.png": (20, 52)}
    np.testing.assert_array_equal(found["grey.png"][:20], found["more/colour.png"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: low_resolution.luminance(Y), r"picture must be uint8 \[h, w, 1 or 3\], got uint8 of shape \(40, 52\)"),
        (lambda: low_resolution.reduced(Y, 3), "factor must divide the size of y, 40 x 52, got 3"),
        (lambda: low_resolution.cut(Y, 1), "factor must be an integer of at least 2, got 1"),
        (lambda: low_resolution.cut(Y, 41), "factor must be at most the size of the picture, 40 x 52, got 41"),
        (
            lambda: low_resolution.patches({"a": Y}, 5, 39, (2,), seed=0),
            "size must be below that of some picture by 2 pixels, got 39 and pictures of at most 40 x 52",
        ),
        (lambda: low_resolution.patches({}, 5, 39, (2,), seed=0), "pictures of at most 0 x 0"),
        (lambda: low_resolution.patches({"a": Y}, 5, 12, (), seed=0), "factors must hold 1 or more integers"),
        (lambda: low_resolution.patches({"a": Y}, 5, 12, (2,), seed=0, shrinks=(1.5,)), "shrinks must be"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_folders_without_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="data must be a folder of pictures, there is none at"):
        low_resolution.pictures(tmp_path / "none")
    with pytest.raises(ValueError, match=r"must hold pictures \(PNG or JPEG\), got none"):
        low_resolution.pictures(tmp_path)
    Image.fromarray(Y.astype(np.uint16) * 200).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="must be of 8 bit, got 16-bit grey"):
        low_resolution.pictures(tmp_path)
