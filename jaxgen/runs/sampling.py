"""Samples of a run: drawn and written a chunk at a time, so that their number is limited by the disk alone."""

import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Shaped

from jaxgen import atomic, plot, require
from jaxgen.core import sample_arguments
from jaxgen.data import write_table
from jaxgen.progress import activity, counted
from jaxgen.runs.outside import Source
from jaxgen.runs.use import Trained, load_model
from jaxgen.spelling import nearest

SHOWN = 1024
"""How many samples a picture shows at most."""

_CHUNK, _CHUNK_BYTES = 10_000, 2**21
"""Samples per call of the model: so many, or as many as have so many bytes; a network has some hundred times that."""


class Samples(NamedTuple):
    """The result of drawing samples.

    Attributes:
        x: The samples; where they were written to a file, memory-mapped from it.
        picture: The picture of the first ones, if one was made.
        file: The .npy, .npz or .csv file, if one was written.
    """

    x: Shaped[np.ndarray, "num ..."]
    picture: Path | None
    file: Path | None


def sample(
    path: Path | str,
    num: int = 64,
    *,
    seed: int = 1,
    first: int = 0,
    best: bool = False,
    experiment: Source | None = None,
    out: Path | str | None = None,
    chunk: int | None = None,
    **options: Any,
) -> tuple[Shaped[np.ndarray, "num ..."], Path]:
    """Draw samples of a run's model and save them, or their picture.

    Args:
        path: The run's folder.
        num: Number of samples.
        seed: Seed of the draws.
        first: Number of the first sample; sample k is the same however many are drawn.
        best: Take the best checkpoint instead of the last.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        out: File of the samples (.npy, or .npz with "x", and "label" if one is given, or .csv of a table), or of their
            picture (.png). None for a picture in the run's folder and, if there are more than it shows or if they are
            rows of a table, a file with all beside it.
        chunk: Samples per call of the model, which change none of them (but for rounding); None for as many as suit
            their size.
        options: Further arguments of the model's `sample`: label, or sampler and guidance of a diffusion model.

    Returns:
        The samples, memory-mapped where they were written, and the path of the picture, or else of their file.

    Raises:
        ValueError: A number out of range, another kind of file, or an option that the model does not take.
        OSError: Too little space, or a folder that cannot be written.
    """
    chosen = {"seed": seed, "first": first, "best": best, "experiment": experiment, "out": out, "chunk": chunk}
    drawn = draw(path, num, **chosen, **options)
    return drawn.x, drawn.picture or cast(Path, drawn.file)


def draw(
    path: Path | str,
    num: int,
    *,
    seed: int,
    first: int,
    best: bool,
    experiment: Source | None = None,
    out: Path | str | None,
    chunk: int | None = None,
    trained: Trained | None = None,
    progress: bool = False,
    **options: Any,
) -> Samples:
    """Do what `sample` does, and say where everything is.

    Args:
        path: The run's folder.
        num: Number of samples.
        seed: Seed of the draws.
        first: Number of the first sample.
        best: Take the best checkpoint instead of the last.
        experiment: Experiment outside jaxgen that the run is of.
        out: File of the samples or of their picture.
        chunk: Samples per call of the model.
        trained: Result of `load_model` for this run, if it was asked already.
        progress: Whether to say that samples are drawn.
        options: Further arguments of the model's `sample`.

    Raises:
        ValueError: As `sample`.
        OSError: As `sample`.
    """
    for name, value in {"num": num, "chunk": 1 if chunk is None else chunk}.items():
        require.size(name, value)
    require.seed("seed", seed)
    require.integer("first", first, 0, require.INT32_MAX + 1 - num, f"2^31 - num with num={num}")
    kind, path = _kind(out), Path(path)
    trained = load_model(path, best=best, experiment=experiment) if trained is None else trained
    taken = sample_arguments(trained.model)
    for name in options:
        if name not in taken:
            raise ValueError(f"the model of {path} takes no {name}; {nearest(name, list(taken))}")
    name = f"samples_seed{seed}_{first}_{first + num - 1}"
    file = Path(out) if out is not None and kind != ".png" else None
    picture = None if file else Path(out) if out is not None else path / "pictures" / f"{name}.png"
    spec = trained.spec
    if file is None and (num > SHOWN or (spec.columns is not None and out is None)):
        kind = ".npy" if spec.columns is None else ".csv"
        file = path / "samples" / f"{name}{kind}"
    if kind == ".csv" and spec.columns is None:
        raise ValueError(f"out must end in .npy, .npz or .png, got {str(out)!r}: the samples are no rows of a table")

    chunk = chunk or max(1, min(_CHUNK, _CHUNK_BYTES // (4 * max(1, spec.num_dimensions))))
    chunk = min(chunk, num)
    key, labels = jax.random.key(seed), options.get("label")
    each = np.asarray(labels) if labels is not None and np.ndim(labels) == 1 else None
    if each is not None and len(each) != num:
        raise ValueError(f"label must be an integer or {num} of them, got {len(each)}")

    def call(start: int) -> Any:
        some = {} if each is None else {"label": each[start : start + chunk]}
        return trained.model.sample(key, trained.state.variables, chunk, first=first + start, **{**options, **some})

    example = jax.eval_shape(lambda: call(0))  # what the model refuses, it refuses here
    shape, dtype = example.shape[1:], np.dtype(example.dtype)

    for place in (picture, file):
        if place is not None:
            _make_room(place, num * math.prod(shape) * dtype.itemsize if place == file else 0)

    def chunks() -> Iterator[np.ndarray]:
        for begin in range(0, num, chunk):
            # All calls have the same size, so that one compilation serves all: the last one starts earlier.
            start = min(begin, num - chunk)
            yield np.asarray(call(start))[begin - start :]

    what = (f"calls of {chunk} samples", -(-num // chunk))

    def show(x: np.ndarray) -> None:
        if picture is not None:
            some = f"the first {len(x)} of {num} samples" if len(x) < num else "samples"
            title = f"{path.name}: {some} {first} to {first + num - 1} of seed {seed}, step {int(trained.state.step)}"
            plot.save(trained.samples(x, title), picture)

    if file is None:
        with activity(f"{num} samples", enabled=progress):
            x = np.concatenate(list(counted(chunks(), *what)))
        show(x)
        return Samples(x, picture, None)
    saying = activity(f"{num} samples to {file}", enabled=progress)
    if kind == ".csv":
        with saying:
            x = np.concatenate(list(counted(chunks(), *what)))
            names = None
            if labels is not None:
                names = [spec.class_name(int(c)) for c in np.broadcast_to(np.asarray(labels), (num,))]
            write_table(file, x, spec.columns or (), label=names)
        show(x[:SHOWN])
        return Samples(x, picture, file)
    with saying, atomic.writing(file) as stream, _array(stream, kind, (num, *shape), dtype, labels) as (array, offset):
        for some in counted(chunks(), *what):
            array.write(np.ascontiguousarray(some).data)
    x = np.memmap(file, dtype, "r", offset, (num, *shape))
    show(np.asarray(x[:SHOWN]))
    return Samples(x, picture, file)


def _kind(out: Path | str | None) -> str:
    """The ending of a file to write.

    Raises:
        ValueError: Another one, or a folder in its place.
    """
    if out is None:
        return ""
    kind = Path(out).suffix.lower()
    if kind not in (".npy", ".npz", ".csv", ".png"):
        raise ValueError(f"out must end in .npy, .npz or .png, got {str(out)!r}; in .csv for rows of a table")
    if Path(out).is_dir():
        raise ValueError(f"out must be a file, got the folder {str(out)!r}")
    return kind


def _make_room(file: Path, size: int) -> None:
    """Make the folder, and raise OSError where it cannot be written or has too little space."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise OSError(f"{file} cannot be written: {error.strerror or error}") from None
    free = shutil.disk_usage(file.parent).free
    if free < size + 2**20:
        raise OSError(f"{file} takes {size / 2**30:.2f} GiB, and there are {free / 2**30:.2f} GiB of space left")


@contextmanager
def _array(
    stream: IO[bytes], kind: str, shape: tuple[int, ...], dtype: np.dtype, label: Any
) -> Iterator[tuple[IO[bytes], int]]:
    """The open file for the bytes of an array, .npy or .npz, and the place where they begin."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    if kind == ".npy":
        np.lib.format.write_array_header_1_0(stream, header)
        yield stream, stream.tell()
        return
    with zipfile.ZipFile(stream, "w") as archive:  # stored, not compressed
        if label is not None:
            with archive.open("label.npy", "w") as member:
                np.lib.format.write_array(member, np.broadcast_to(np.asarray(label, np.int32), shape[:1]))
        with archive.open("x.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            yield member, stream.tell()
