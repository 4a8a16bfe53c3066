"""Samples of a run: in chunks, to files, with the options of the model's own `sample`."""

import shutil

import jax
import numpy as np
import pytest

from jaxgen import cli, ddpm, runs, vae
from jaxgen.experiments import digits_ddpm, digits_vae, toy_ddpm
from jaxgen.runs import sampling

VAE = digits_vae.Config(
    steps=2, batch_size=16, log_every=1, checkpoint_every=2, model=vae.Config(latent_dim=2, hidden=(4,))
)  # fmt: skip
DDPM = toy_ddpm.Config(
    steps=2, num=400, batch_size=16, log_every=1, checkpoint_every=2,
    model=ddpm.Config(network=ddpm.MLP((8,)), schedule=ddpm.Cosine(20), num_draws=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of two runs."""
    folder = tmp_path_factory.mktemp("runs")
    for name, config in (("vae", VAE), ("ddpm", DDPM)):
        runs.train(config, folder / name, progress=False)
    return folder


def test_samples_are_the_same_whatever_the_chunk_and_the_file(trained, tmp_path):
    whole, picture = runs.sample(trained / "vae", 10, seed=3)
    assert picture == trained / "vae" / "pictures" / "samples_seed3_0_9.png"
    assert whole.shape == (10, 8, 8, 1)
    for chunk, name in ((1, "x.npy"), (3, "x.npz"), (4, "deep/er/x.NPY"), (99, "x.png")):
        x, path = runs.sample(trained / "vae", 10, seed=3, chunk=chunk, out=tmp_path / name)
        assert path == tmp_path / name
        np.testing.assert_allclose(x, whole, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), runs.sample(trained / "vae", 10, seed=3, chunk=1)[0])
    assert list(np.load(tmp_path / "x.npz")) == ["x"]
    np.testing.assert_allclose(np.load(tmp_path / "x.npz")["x"], whole, rtol=0, atol=1e-6)
    later, _ = runs.sample(trained / "vae", 4, seed=3, first=6, out=tmp_path / "later.npy")
    np.testing.assert_allclose(later, whole[6:], rtol=0, atol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "later.npy", "x.npy", "x.npz", "x.png"]


def test_more_than_a_picture_shows_goes_to_a_file(trained, monkeypatch):
    monkeypatch.setattr(sampling, "SHOWN", 5)
    monkeypatch.setattr(sampling, "_CHUNK", 2)
    x, picture = runs.sample(trained / "vae", 7, seed=5)
    file = trained / "vae" / "samples" / "samples_seed5_0_6.npy"
    assert picture.name == "samples_seed5_0_6.png" and picture.exists()
    assert isinstance(x, np.memmap) and not x.flags.writeable
    np.testing.assert_array_equal(np.load(file), x)
    assert runs.verify(trained / "vae", progress=False).passed  # the folder is still a run's


def test_no_more_than_a_chunk_is_held(trained, tmp_path, monkeypatch):
    held = []
    experiment = runs.load_model(trained / "vae")

    def sample(key, state, num, *, first=0):
        held.append(num)
        return jax.numpy.full((num, 8, 8, 1), 0.5)

    counted = experiment._replace(model=experiment.model._replace(sample=sample))
    drawn = runs.draw(trained / "vae", 25_000, seed=0, first=0, best=False, out=tmp_path / "x.npy", trained=counted)
    assert max(held) == 2**21 // 256 and len(held) == 1 + 4  # shapes are asked for once
    assert drawn.x.shape == (25_000, 8, 8, 1) and (drawn.x[-1] == 0.5).all()


def test_too_little_space_is_said_before_anything_is_drawn(trained, tmp_path, capsys):
    with pytest.raises(OSError, match=r"x.npy takes 476.84 GiB, and there are .* GiB of space left"):
        runs.sample(trained / "vae", 2_000_000_000, out=tmp_path / "x.npy")
    assert not list(tmp_path.iterdir())
    assert cli.main(["sample", str(trained / "vae"), "--num", "2000000000"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_fails_on_the_way_leaves_no_file(trained, tmp_path):
    experiment = runs.load_model(trained / "vae")

    def sample(key, state, num, *, first=0):
        if first:
            raise KeyboardInterrupt
        return jax.numpy.zeros((num, 8, 8, 1))

    interrupted = experiment._replace(model=experiment.model._replace(sample=sample))
    (tmp_path / "x.npz").write_text("before")
    with pytest.raises(KeyboardInterrupt):
        runs.draw(trained / "vae", 9, seed=0, first=0, best=False, out=tmp_path / "x.npz", chunk=3, trained=interrupted)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]
    assert (tmp_path / "x.npz").read_text() == "before"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num": 0}, "num must be an integer of at least 1"),
        ({"num": True}, "num must be an integer"),
        ({"first": -1}, "first must be an integer"),
        ({"first": 2**31}, "first must be an integer"),
        ({"first": 2**31 - 9, "num": 10}, "first must be an integer"),
        ({"seed": -1}, "seed must be an integer"),
        ({"seed": 2**63}, "seed must be an integer"),
        ({"seed": 2**32}, "seed must be an integer"),
        ({"chunk": 0}, "chunk must be an integer of at least 1"),
        ({"out": "x.jpg"}, "out must end in .npy, .npz or .png, got 'x.jpg'"),
        ({"out": "x"}, "out must end in .npy, .npz or .png, got 'x'"),
        ({"label": 3}, "unconditional"),
        ({"sampler": ddpm.DDIM(3)}, "takes no sampler; "),
        ({"guidance": 2.0}, "takes no guidance; "),
        ({"gudance": 2.0}, "takes no gudance; "),
    ],
)
def test_what_cannot_be_drawn(trained, arguments, message):
    with pytest.raises(ValueError, match=message):
        runs.sample(trained / "vae", **{"num": 2, **arguments})


def test_the_last_samples_that_there_are(trained):
    x, _ = runs.sample(trained / "vae", 3, first=2**31 - 3)
    y, _ = runs.sample(trained / "vae", 3, first=2**31 - 3, chunk=2)
    np.testing.assert_allclose(x, y, atol=1e-6)


def test_options_of_the_models_own(trained, tmp_path, capsys):
    run = str(trained / "ddpm")
    x, _ = runs.sample(run, 4, sampler=ddpm.DDIM(3))
    words = ["sample", run, "--num", "4", "sampler:ddim", "--sampler.num-steps", "3"]
    assert cli.main([*words, "--out", str(tmp_path / "x.npz")]) == 0
    assert f"4 samples in {tmp_path / 'x.npz'}" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["x"], x)
    assert not np.allclose(x, runs.sample(run, 4)[0])
    assert cli.main(["sample", run, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in ("--label", "--guidance", "sampler:dpm-solver", "--out"))


def test_labels_stand_beside_their_samples(tmp_path, monkeypatch):
    run = tmp_path / "run"
    config = digits_ddpm.Config(
        steps=1, batch_size=16, log_every=1,
        model=ddpm.Config(network=ddpm.MLP((8,)), schedule=ddpm.Cosine(4), num_draws=1, conditional=True),
    )  # fmt: skip
    runs.train(config, run, progress=False)
    labels = np.arange(5) % 2
    each, _ = runs.sample(run, 5, label=labels, chunk=2, out=tmp_path / "each.npz", guidance=1.5)
    ones, _ = runs.sample(run, 5, label=1, guidance=1.5)
    np.testing.assert_allclose(each[1::2], ones[1::2], atol=1e-5)
    np.testing.assert_array_equal(np.load(tmp_path / "each.npz")["label"], labels)
    with pytest.raises(ValueError, match="label must be an integer or 5 of them, got 4"):
        runs.sample(run, 5, label=labels[:4])
    assert cli.main(["sample", str(run), "--num", "3", "--label", "1", "--out", str(tmp_path / "one.npz")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "one.npz")["label"], [1, 1, 1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "3"], "takes no --label 3"),
        (["--guidance", "2"], "takes no --guidance 2"),
        (["sampler:ddim"], "takes no sampler:ddim"),
        (["--nmu", "3"], "takes no --nmu 3; did you mean --num?"),
        (["--first", "2147483648"], "first must be an integer"),
        (["--seed", "9223372036854775808"], "seed must be an integer"),
        (["--seed", "-1"], "seed must be an integer"),
        (["--num", "0"], "num must be an integer of at least 1"),
        (["--out", "x.gif"], "out must end in .npy, .npz or .png"),
        (["--best"], ""),
    ],
)
def test_what_the_command_refuses(trained, capsys, words, message):
    code = cli.main(["sample", str(trained / "vae"), *words])
    err = capsys.readouterr().err
    if message:
        assert code == 2 and len(err.splitlines()) == 1 and message in err
    else:
        assert code == 0


def test_a_folder_in_the_place_of_a_file(trained, tmp_path):
    (tmp_path / "x.npy").mkdir()
    with pytest.raises(ValueError, match="out must be a file, got the folder"):
        runs.sample(trained / "vae", 2, out=tmp_path / "x.npy")
    shutil.rmtree(tmp_path / "x.npy")
