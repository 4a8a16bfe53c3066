"""Images compressed with a run's model, and back."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgen import atomic, codec
from jaxgen.core import Spec
from jaxgen.latents import Latents
from jaxgen.progress import activity
from jaxgen.runs import environment
from jaxgen.runs.image_files import ImageFiles, write_pictures
from jaxgen.runs.outside import Source
from jaxgen.runs.use import load, load_model


def compress(
    path: Path | str,
    images: Sequence[Path | str] = (),
    *,
    out: Path | str,
    split: str | None = None,
    num_levels: int | None = None,
    best: bool = False,
    experiment: Source | None = None,
    progress: bool = False,
) -> codec.Compressed:
    """Compress images, or a split of a run's data, with the run's model.

    Args:
        path: The run's folder.
        images: Files of images (PNG, JPEG; .npy or .npz with "x" [N, *event]) and folders of pictures.
        out: The compressed file.
        split: Split of the run's data in the place of files.
        num_levels: Levels of a diffusion model's chain; None for all.
        best: Take the best checkpoint instead of the last.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        progress: Whether to say what is being done.

    Returns:
        The size of the file and of its parts.

    Raises:
        ValueError: Both images and a split, or none of them; images that are not like the run's data; a model without
            latents, or of data that are not discrete.
        FileNotFoundError: There is no run, no checkpoint or no such image.
        ImportError: constriction is not installed.
        OSError: The file cannot be written.
    """
    codec.installed()
    if (split is None) == (not images):
        given = "both" if images else "none of them"
        raise ValueError(f"compress takes either images or a split of the run's data, got {given}")
    if not Path(out).parent.is_dir():
        raise FileNotFoundError(f"there is no folder {Path(out).parent} for {out}")
    if split is None:
        run = load_model(path, best=best, experiment=experiment)
        model, state, spec = run.model, run.state, run.spec
        latents = _latents(path, model, num_levels)
        x: codec.Images = ImageFiles(images, spec)
    else:
        whole, _, state = load(path, best=best, experiment=experiment)
        model, spec, splits = whole.model, whole.dataset.spec, whole.dataset.splits
        if split not in splits:
            raise ValueError(f"split must be one of {', '.join(splits)}, got {split!r}")
        if splits[split].mask is not None:
            raise ValueError(f"the {split} split must have no mask for a codec, which is of whole images")
        latents, x = _latents(path, model, num_levels), splits[split].x
    with activity(f"compression of {len(x)} images", enabled=progress):
        return codec.compress(out, x, latents, state.variables, spec, num_levels=num_levels, environment=_environment())


def decompress(
    file: Path | str,
    path: Path | str,
    *,
    out: Path | str,
    best: bool = False,
    experiment: Source | None = None,
    progress: bool = False,
) -> int:
    """Decompress the images of a file that a run's model compressed.

    Args:
        file: The compressed file.
        path: The run's folder.
        out: File of the images (.npy), or a new or empty folder for them as PNG.
        best: Take the best checkpoint instead of the last.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        progress: Whether to say what is being done.

    Returns:
        Number of images.

    Raises:
        ValueError: A file that is damaged, of another model, or that cannot be decoded here; an `out` of another kind,
            or a folder with something in it.
        FileNotFoundError: There is no file, no run or no checkpoint.
        ImportError: constriction is not installed.
        OSError: The images cannot be written.
    """
    codec.installed()
    out, read = Path(out), codec.Read(file)
    run = load_model(path, best=best, experiment=experiment)
    latents = _latents(path, run.model, read.header.num_levels)
    codec.belongs(read, latents, run.state.variables, run.spec)
    with (
        _images(out, (read.header.num, *run.spec.event_shape), run.spec) as x,
        activity(f"decompression of {len(x)} images", enabled=progress),
    ):
        codec.decompress(read, x, latents, run.state.variables, environment=_environment())
    return read.header.num


def _latents(path: Path | str, model: Any, num_levels: int | None) -> Latents:
    latents = getattr(model.parts, "latents", None)
    if latents is None:
        raise ValueError(f"the model of {path} has no latents to compress with: VAEs and diffusion models have")
    return latents(num_levels)


def _environment() -> dict[str, Any]:
    """Whatever the numbers of a compiled function may depend on."""
    found = environment.describe()
    versions = {name: found["versions"][name] for name in ("jax", "jaxlib", "numpy")}
    device = {name: found["device"][name] for name in ("platform", "kind", "machine", "cores")}
    flags = {name: value for name, value in found["flags"].items() if value}
    return {**versions, "constriction": metadata.version("constriction"), **device, **flags}


@contextlib.contextmanager
def _images(out: Path, shape: tuple[int, ...], spec: Spec) -> Iterator[UInt8[np.ndarray, "n *event"]]:
    """An array on the disk to be filled, which becomes `out` when the block ends."""
    size = int(np.prod(shape, dtype=np.int64))
    if out.suffix == ".npy":
        with atomic.writing(out) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            place = file.tell()
            file.truncate(place + size)
            x = np.memmap(file, np.uint8, "r+", place, shape)  # pyright: ignore[reportArgumentType, reportCallIssue]
            yield x
            x.flush()
        return
    if out.suffix:
        raise ValueError(f"out must end in .npy or be a folder, got {str(out)!r}")
    if spec.levels != 256 or len(shape) != 4 or shape[-1] not in (1, 3):
        raise ValueError(
            f"out must end in .npy, got the folder {str(out)!r}: images of shape {spec.event_shape} with {spec.levels} "
            "levels are no pictures"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"out must be a new or an empty folder, got {str(out)!r}, which holds something")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out) as file:
        file.truncate(size)
        x = np.memmap(file, np.uint8, "r+", 0, shape)  # pyright: ignore[reportArgumentType, reportCallIssue]
        yield x
        write_pictures(out, x)
