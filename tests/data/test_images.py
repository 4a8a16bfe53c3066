"""One image file: its pixels without a bit lost, or an error that names it."""

import zlib

import numpy as np
import pytest
from pictures import chunk, noise, png_header, save
from PIL import Image

from jaxgen.data import images

GREY, RGB = noise(7, 5), noise(7, 5, 3)


def read(path, **options):
    return images.pixels(path, images.header(path), **options)


@pytest.mark.parametrize(("array", "kind"), [(GREY, (7, 5, 1, 8)), (RGB, (7, 5, 3, 8))])
def test_png_of_8_bit_comes_back_as_it_was(tmp_path, array, kind):
    path = save(tmp_path / "a.png", array)
    assert images.header(path) == kind
    np.testing.assert_array_equal(read(path), array.reshape(7, 5, -1))
    assert read(path).dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_16_bit_keeps_every_bit(tmp_path, channels):
    array = noise(13, 4, channels, dtype="uint16")
    path = save(tmp_path / "a.png", array)
    assert images.header(path) == (13, 4, channels, 16)
    x = read(path)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(np.round(x.astype(np.float64) * 65535), array)


def test_all_values_of_16_bit_stay_apart(tmp_path):
    x = read(save(tmp_path / "a.png", np.arange(65536, dtype="uint16").reshape(256, 256, 1)))
    assert len(np.unique(x)) == 65536
    assert (x.min(), x.max()) == (0, 1)


def test_jpeg_is_what_pillow_decodes_and_upright(tmp_path):
    path = save(tmp_path / "a.jpg", RGB)
    with Image.open(path) as image:
        np.testing.assert_array_equal(read(path), np.asarray(image))
    turn = Image.Exif()
    turn[0x0112] = 6  # the camera was turned by a quarter
    turned = save(tmp_path / "b.jpg", RGB, exif=turn)
    assert images.header(turned) == (5, 7, 3, 8)
    np.testing.assert_array_equal(read(turned), np.rot90(read(path), -1))


def test_bilevel_is_grey_and_palette_is_rgb(tmp_path):
    bilevel = save(tmp_path / "a.png", GREY, mode="1")
    assert images.header(bilevel).kind == "8-bit grey"
    assert set(np.unique(read(bilevel))) == {0, 255}
    few = (RGB // 128) * 255
    palette = save(tmp_path / "b.png", few, mode="P")
    assert images.header(palette).kind == "8-bit RGB"
    with Image.open(palette) as image:
        assert image.mode == "P"
    assert read(palette).shape == few.shape


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_resizing_keeps_constants_and_stretches_or_crops(tmp_path, dtype):
    # Left half dark, right half bright, twice as wide as high.
    wide = np.full((8, 16, 3), 10, dtype)
    wide[:, 8:] = 50
    path = save(tmp_path / "a.png", wide)
    low, high = np.unique(read(path))
    stretched, cropped = read(path, size=(4, 4)), read(path, size=(4, 4), crop=True)
    for x in (stretched, cropped):
        assert x.shape == (4, 4, 3)
        assert x.dtype == read(path).dtype
        np.testing.assert_allclose(x[:, 0], low, atol=0.15 * (high - low))
        np.testing.assert_allclose(x[:, -1], high, atol=0.15 * (high - low))
    flat = save(tmp_path / "b.png", np.full((9, 5, 1), 77, dtype))
    np.testing.assert_allclose(read(flat, size=(3, 8), crop=True), read(flat)[0, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(read(path, size=(8, 16), crop=True), read(path))


def test_cropping_is_central(tmp_path):
    image = np.zeros((4, 12), np.uint8)
    image[:, 4:8] = 200
    np.testing.assert_array_equal(read(save(tmp_path / "a.png", image), size=(4, 4), crop=True), 200)


def test_enlarging_16_bit_stays_in_the_interval(tmp_path):
    path = save(tmp_path / "a.png", noise(5, 5, 3) // 128 * np.uint16(65535))
    x = read(path, size=(40, 40))
    assert (x.min(), x.max()) == (0, 1)


def write(path, content):
    path.write_bytes(content)
    return path


def alpha(path):
    Image.fromarray(noise(4, 4, 4)).save(path)
    return path


def transparent(path):
    Image.fromarray(GREY).save(path, transparency=3)
    return path


def cmyk(path):
    Image.fromarray(noise(4, 4, 4), mode=None).convert("CMYK").save(path)
    return path


def cut(path, keep):
    return write(path, path.read_bytes()[:keep])


def crc(path):
    content = bytearray(save(path, RGB).read_bytes())
    content[20] ^= 1  # within the header, whose checksum then fails
    return write(path, content)


def bomb(width, height):
    # Rows of zeros shrink to a thousandth: gigabytes fit into a short file.
    return png_header(width, height) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


BAD = {
    "0 bytes": (lambda path: write(path, b""), r"must be a PNG or JPEG image, got an empty file \(0 bytes\)"),
    "text": (lambda path: write(path, b"hello"), "must be a whole PNG or JPEG image: cannot identify"),
    "GIF": (lambda path: save(path, GREY, format="GIF"), "must be a whole PNG or JPEG image: cannot identify"),
    "half a PNG": (lambda path: cut(save(path, RGB), 80), "must be a whole PNG or JPEG image: "),
    "a PNG's header": (lambda path: cut(save(path, RGB), 20), "must be a whole PNG or JPEG image: "),
    "half of 16 bit": (lambda path: cut(save(path, noise(9, 9, 3, dtype="uint16")), 200), "must be a whole PNG"),
    "half a JPEG": (lambda path: cut(save(path, RGB, format="JPEG"), 630), "must be a whole PNG or JPEG image: "),
    "checksum": (crc, "must be a whole PNG or JPEG image: "),
    "alpha": (alpha, "must be grey or RGB without alpha, got RGBA: convert it first"),
    "transparency": (transparent, "must be grey or RGB without alpha, got L with transparency"),
    "CMYK": (lambda path: cmyk(path.with_suffix(".jpg")), "must be grey or RGB without alpha, got CMYK"),
    "1 x 1": (lambda path: save(path, GREY[:1, :1]), "must have more than one pixel, got 1 x 1"),
    "gigabytes": (lambda path: write(path, bomb(50_000, 50_000)), "must have at most 67108864 pixels: .*2500000000"),
    "a gigabyte": (lambda path: write(path, bomb(10_000, 10_000)), "must have at most 67108864 pixels: .*100000000"),
    "a few more": (lambda path: write(path, bomb(8193, 8192)), "must have at most 67108864 pixels, got 8193 x 8192"),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_are_refused_by_their_header(tmp_path, case):
    make, message = BAD[case]
    path = make(tmp_path / "a.png")
    with pytest.raises(ValueError, match=f"^{path} {message}"):
        images.header(path)


@pytest.mark.parametrize("name", ["8-bit.png", "16-bit.png", "a.jpg"])
def test_a_file_cut_short_anywhere_is_refused_or_lacks_no_pixel(tmp_path, name):
    path = save(tmp_path / name, noise(6, 5, 3, dtype="uint16" if name == "16-bit.png" else "uint8"))
    content, x = path.read_bytes(), read(path)
    accepted = 0
    for keep in range(1, len(content), 3):
        write(path, content[:keep])
        try:
            np.testing.assert_array_equal(read(path), x)
            accepted += 1
        except ValueError as error:
            assert str(error).startswith(f"{path} must be a whole PNG or JPEG image")
    assert accepted <= 7  # of a PNG no more than its checksums and its end, 20 bytes, may be missing


def test_a_file_that_changes_after_its_header_was_read(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    kind = images.header(path)
    cut(path, 100)
    with pytest.raises(ValueError, match=f"^{path} must be a whole PNG or JPEG image"):
        images.pixels(path, kind)


def test_the_limit_holds_before_a_pixel_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    for size in (8193, 8192), (30_000, 30_000):
        with pytest.raises(ValueError, match="must have at most 67108864 pixels"):
            images.header(write(tmp_path / "a.png", bomb(*size)))
