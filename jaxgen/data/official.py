"""The files that a data set's authors published: from a folder of the user's, or by TFDS's download manager.

Either way a file is used only if its sha256 is the one that tensorflow-datasets has registered. A folder may hold
the files themselves or one sub-folder per data set (mnist and fashion_mnist share the names of their files), and
any file may be gzipped once more than its authors did.
"""

import gzip
import hashlib
import importlib.util
import os
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class OfficialFile:
    """A published file, as tensorflow-datasets registers it.

    Args:
        url: Its address; the last part is its name.
        size: In bytes.
        sha256: In hex.
    """

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def contents(
    dataset: str, files: Sequence[OfficialFile], folder: str | Path | None, cache_folder: Path
) -> dict[str, bytes]:
    """The bytes of each file by its name, checked.

    Args:
        dataset: Name of the data set at TFDS.
        files: Files to read.
        folder: Folder in which the user has them; None for $JAXGEN_DATA_DIR, and without that a download.
        cache_folder: Folder whose `downloads` keeps the downloads.

    Raises:
        FileNotFoundError: A folder without the files, or none and no way to download.
        ConnectionError: The download failed.
        ValueError: A file that is not the published one.
    """
    folder = folder or os.environ.get("JAXGEN_DATA_DIR")
    if folder:
        paths = _in_folder(dataset, files, Path(folder).expanduser())
    else:
        paths = _downloaded(dataset, files, cache_folder / "downloads" / dataset)
    return {file.name: _checked(file, path) for file, path in zip(files, paths, strict=True)}


def _in_folder(dataset: str, files: Sequence[OfficialFile], folder: Path) -> list[Path]:
    places = [folder / dataset, folder]
    found = []
    for file in files:
        names = [place / (file.name + ending) for place in places for ending in ("", ".gz")]
        path = next((path for path in names if path.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"folder must hold {', '.join(file.name for file in files)} (in {folder} or {places[0]}), "
                f"there is no {file.name}; without a folder and $JAXGEN_DATA_DIR they are downloaded"
            )
        found.append(path)
    return found


def _downloaded(dataset: str, files: Sequence[OfficialFile], folder: Path) -> list[Path]:
    paths = [folder / file.name for file in files]
    if all(_is_kept(file, path) for file, path in zip(files, paths, strict=True)):
        return paths
    by_hand = (
        f"download {', '.join(file.url for file in files)} by hand and name their folder by the argument `folder` "
        "or by $JAXGEN_DATA_DIR"
    )
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise FileNotFoundError(
            f"{dataset} is not here; either pip install 'jaxgen[data]' to have it downloaded (tensorflow is not "
            f"needed), or {by_hand}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        try:
            loaded = download(dataset, [file.url for file in files], Path(temporary))
        except Exception as error:  # of requests, urllib3, promise or TFDS, which share no base
            raise ConnectionError(f"{dataset} could not be downloaded; {by_hand}. The error was: {error}") from error
        for source, path in zip(loaded, paths, strict=True):
            source.replace(path)
    return paths


def download(dataset: str, urls: Sequence[str], folder: Path) -> list[Path]:
    """Have TFDS download what it has registered, and check it."""
    import requests  # both come with the extra `data`
    import tensorflow_datasets as tfds

    requests.head(urls[0], timeout=10)  # without a network TFDS would try for three minutes
    # Data sets with the same file names must not share what is extracted: fashion_mnist was once built from mnist.
    manager = tfds.download.DownloadManager(
        download_dir=folder,
        extract_dir=folder / "extracted",
        dataset_name=dataset,
        url_infos=tfds.builder_cls(dataset).url_infos,
        force_checksums_validation=True,
    )
    paths: Any = manager.download(list(urls))  # as many as there are addresses
    return [Path(path) for path in paths]


def _is_kept(file: OfficialFile, path: Path) -> bool:
    """Whether an earlier call has downloaded the file, and nothing has happened to it since."""
    try:
        _checked(file, path)
    except (OSError, ValueError):
        return False
    return True


def _checked(file: OfficialFile, path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == f"{file.name}.gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} must be a whole gzip file: {error}") from error
    if len(content) != file.size:
        raise ValueError(f"{path} must hold {file.size} bytes, got {len(content)}: was its download cut short?")
    if (sha256 := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise ValueError(f"{path} must have sha256 {file.sha256}, got {sha256}: it is not the published file")
    return content


def source(files: Sequence[OfficialFile]) -> str:
    """One checksum of all files, for the cache."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
