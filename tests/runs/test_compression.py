"""Compression with a run, from the command line and from Python: files in, files out, and what is refused."""

import dataclasses
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import TINY

from jaxgen import cli, data, runs, vae
from jaxgen.core import Spec
from jaxgen.runs import Experiment, Trained, compression, use
from jaxgen.runs.image_files import ImageFiles

pytest.importorskip("constriction")
MODEL = dataclasses.replace(TINY.model, likelihood=vae.DiscretizedNormal())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Grey images of 256 levels as files, and a model of them that has learned nothing."""
    root = tmp_path_factory.mktemp("compression")
    x = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), np.uint8)
    np.savez(root / "set.npz", x=x)
    np.save(root / "x.npy", x[:6])
    (root / "pictures").mkdir()
    for i in range(3):
        Image.fromarray(x[6 + i, ..., 0]).save(root / "pictures" / f"{i}.png")
    dataset = data.from_arrays(x)
    model = vae.model(MODEL, dataset.spec)
    state = model.init(jax.random.key(0), dataset.train.batches(seed=0, batch_size=16)(0))
    return root, x, dataset, Trained(model, state, TINY, dataset.spec, lambda *_: None)


@pytest.fixture(autouse=True)
def loaded(place, monkeypatch):
    """The model, in the place of one that a run has to be trained and read for."""
    _, _, dataset, trained = place
    whole = Experiment(trained.model, dataset, *[lambda *_: {}] * 3)  # pyright: ignore
    monkeypatch.setattr(compression, "load_model", lambda *_, **__: trained)
    monkeypatch.setattr(compression, "load", lambda *_, **__: (whole, TINY, trained.state))


def said(capsys, *arguments):
    code = cli.main([str(word) for word in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()[-1] if captured.err else ""


def test_there_and_back_by_the_command_line(place, tmp_path, capsys):
    root, x, *_ = place
    run, file = root / "run", tmp_path / "images.jg"
    code, out, _ = said(capsys, "compress", run, root / "x.npy", root / "pictures", "-o", file)
    assert code == 0 and out.startswith(f"9 images in {file}: {file.stat().st_size:,} bytes")
    for target in ("back.npy", "back"):
        code, out, _ = said(capsys, "decompress", file, run, "-o", tmp_path / target)
        assert code == 0 and out == f"9 images in {tmp_path / target}\n"
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), x[:9])
    pictures = sorted((tmp_path / "back").iterdir())
    assert [path.name for path in pictures] == [f"{i:05}.png" for i in range(9)]
    np.testing.assert_array_equal([np.asarray(Image.open(path)) for path in pictures], x[:9, ..., 0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "back.npy", "images.jg"]


def test_another_model_and_a_damaged_file_are_refused(place, tmp_path, capsys, monkeypatch):
    file = tmp_path / "images.jg"
    runs.compress(place[0] / "run", out=file, split="test")
    trained = place[-1]
    other = trained._replace(state=trained.state.replace(params=jax.tree.map(lambda x: 2 * x, trained.state.params)))
    with monkeypatch.context() as patch:
        patch.setattr(compression, "load_model", lambda *_, **__: other)
        code, _, line = said(capsys, "decompress", file, place[0] / "run", "-o", tmp_path / "back")
    assert code == 2 and "was written with the model" in line and not (tmp_path / "back").exists()
    file.write_bytes(file.read_bytes()[:-1])
    code, _, line = said(capsys, "decompress", file, place[0] / "run", "-o", tmp_path / "back")
    assert code == 2 and line == f"jaxgen: {file} is damaged or cut short: its checksum does not fit"


def test_what_is_asked_for_wrongly_is_refused(place, tmp_path, capsys):
    root, x, *_ = place
    run, file = root / "run", tmp_path / "images.jg"
    np.save(tmp_path / "wide.npy", np.zeros((2, 4, 5, 1), np.uint8))
    np.savez(tmp_path / "other.npz", y=x)
    (tmp_path / "images.txt").write_text("none")
    (tmp_path / "empty").mkdir()
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "wide.png")
    for words, message in (
        ((), "compress takes either images or a split of the run's data, got none of them"),
        ((root / "x.npy", "--split", "test"), "got both"),
        (("--split", "tset"), "split must be one of"),
        ((tmp_path / "nowhere.png",), "there is no image"),
        ((tmp_path / "empty",), "images must be at least one, got none in"),
        ((tmp_path / "wide.npy",), "must hold uint8 of shape [N, 4, 4, 1], as the model's data, got uint8 of shape"),
        ((tmp_path / "wide.png",), "must be an 8-bit picture of shape (4, 4, 1), as the model's data, got 8-bit grey"),
        ((tmp_path / "other.npz",), 'must hold an array "x", got y'),
        ((tmp_path / "images.txt",), "must be a picture (PNG, JPEG), .npy, .npz or a folder of pictures"),
        ((root / "x.npy", "--levels", "2"), "num_levels must be an integer in 1..1, for a VAE, got 2"),
    ):
        code, _, line = said(capsys, "compress", run, *words, "-o", file)
        assert code == 2 and message in line, line
        assert not file.exists()
    code, _, line = said(capsys, "compress", run, root / "x.npy", "-o", tmp_path / "nowhere" / "file")
    assert code == 2 and "there is no folder" in line
    runs.compress(run, [root / "x.npy"], out=file)
    with pytest.raises(ValueError, match=r"must end in \.npy or be a folder, got .*back\.zip"):
        runs.decompress(file, run, out=tmp_path / "back.zip")
    with pytest.raises(ValueError, match=r"must be a new or an empty folder, got .*holds something"):
        runs.decompress(file, run, out=tmp_path)


def test_a_model_without_latents_is_refused_and_so_is_a_missing_package(place, tmp_path, monkeypatch):
    trained = place[-1]
    without = trained._replace(model=trained.model._replace(parts=None))
    with monkeypatch.context() as patch:
        patch.setattr(compression, "load_model", lambda *_, **__: without)
        with pytest.raises(ValueError, match=r"has no latents to compress with: VAEs and diffusion models have"):
            runs.compress(place[0] / "run", [place[0] / "x.npy"], out=tmp_path / "file")
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxgen\[codec\]'"):
        runs.compress(place[0] / "run", out=tmp_path / "file", split="test")


def test_pictures_are_only_of_256_levels(tmp_path):
    spec = Spec((8, 8, 1), "uint8", levels=17)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"must be an array \(.npy, .npz\) of the model's 17 levels, got a picture"):
        ImageFiles([tmp_path / "a.png"], spec)
    with (
        pytest.raises(ValueError, match=r"must end in \.npy, got the folder .*17 levels are no pictures"),
        compression._images(tmp_path / "back", (3, 8, 8, 1), spec),
    ):
        pass


def test_files_are_one_sequence(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 1), np.uint8)
    np.save(tmp_path / "a.npy", x[:4])
    Image.fromarray(x[4, ..., 0]).save(tmp_path / "b.png")
    np.savez(tmp_path / "c.npz", x=x[5:])
    files = ImageFiles([tmp_path / name for name in ("a.npy", "b.png", "c.npz")], Spec((4, 4, 1), "uint8", levels=256))
    assert len(files) == 10
    for rows in (slice(0, 10), slice(3, 6), slice(4, 5), slice(7, 20)):
        np.testing.assert_array_equal(files[rows], x[rows])


@pytest.mark.slow
def test_a_run_that_was_trained(place, tmp_path, monkeypatch):
    """From its folder, as the command line finds it."""
    monkeypatch.setattr(compression, "load_model", use.load_model)
    monkeypatch.setattr(compression, "load", use.load)
    run, file = tmp_path / "run", tmp_path / "file"
    runs.train(dataclasses.replace(TINY, data=str(place[0] / "set.npz"), model=MODEL), run)
    assert cli.main(["compress", str(run), "--split", "test", "-o", str(file)]) == 0
    assert cli.main(["decompress", str(file), str(run), "-o", str(tmp_path / "back.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), use.load(run)[0].dataset.test.x)
