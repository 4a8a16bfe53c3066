"""Sizes of compressed images, by a model and by formats that know nothing of them."""

import bz2
import gzip
import importlib.util
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgen import codec
from jaxgen.core import Estimate, GenerativeModel, Spec
from jaxgen.progress import activity


def by_model(
    model: GenerativeModel, variables: Any, x: UInt8[np.ndarray, "n *event"], spec: Spec, num_levels: int | None = None
) -> dict[str, Estimate]:
    """Bits/dim of a file of images, with and without what it takes beside them, and whether all came back.

    Args:
        model: Model whose parts have latents.
        variables: Its variables.
        x: The images.
        spec: Description of the data.
        num_levels: Levels of a diffusion model's chain; None for all.

    Raises:
        ValueError: An image did not come back.
    """
    latents = model.parts.latents(num_levels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images"
        with activity(f"compression of {len(x)} images", enabled=False):
            found = codec.compress(path, x, latents, variables, spec, num_levels=num_levels)
        out = np.zeros_like(x)
        codec.decompress(codec.Read(path), out, latents, variables)
    if not np.array_equal(out, x):
        raise ValueError("images must come back bit for bit, got others")
    beside = f"{found.header:,} bytes of header and checksums, {found.initial:,} to begin with"
    return {
        "file": Estimate(found.bits_per_dim, None, f"bits/dim, {found.num} images in {found.size:,} bytes, all back"),
        "file without overhead": Estimate(found.net_bits_per_dim, None, f"bits/dim, without {beside}"),
    }


def by_others(x: UInt8[np.ndarray, "n *event"], spec: Spec) -> dict[str, Estimate]:
    """Bits/dim of the same images in the formats that everyone has; binary images are packed, eight to a byte.

    gzip and bzip2 take all images as one, the others each in a file of its own, at their highest efforts. JPEG XL is
    there where the package imagecodecs is.

    Args:
        x: The images.
        spec: Description of the data; nothing is found for what is no picture.
    """
    binary = spec.levels == 2
    packed = np.packbits(x.reshape(len(x), -1), axis=1) if binary else x
    whole = packed.tobytes()
    sizes = {"gzip": len(gzip.compress(whole, 9)), "bzip2": len(bz2.compress(whole, 9))}
    if len(spec.event_shape) == 3 and spec.event_shape[-1] in (1, 3) and spec.levels in (2, 256):
        images = [image[..., 0] if image.shape[-1] == 1 else image for image in x]
        sizes["PNG"] = sum(len(_saved(image, binary, format="PNG", optimize=True)) for image in images)
        lossless: dict[str, Any] = {"format": "WEBP", "lossless": True, "quality": 100, "method": 6}
        sizes["WebP, lossless"] = sum(len(_saved(image, binary, **lossless)) for image in images)
        if importlib.util.find_spec("imagecodecs") is not None:
            encode = importlib.import_module("imagecodecs").jpegxl_encode
            sizes["JPEG XL, lossless"] = sum(
                len(encode(image * 255 if binary else image, lossless=True, effort=9)) for image in images
            )
    return {name: Estimate(8 * size / x.size, None, f"bits/dim, {size:,} bytes") for name, size in sizes.items()}


def _saved(image: UInt8[np.ndarray, "h w *c"], binary: bool, **options: Any) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    picture = Image.fromarray(image * 255 if binary else image)
    (picture.convert("1") if binary and options["format"] == "PNG" else picture).save(file, **options)
    return file.getvalue()
