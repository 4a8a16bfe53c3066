"""The command line in one process: what it refuses, how it says so, and how it ends."""

import errno
import os
import subprocess
import sys
import zipfile

import jax
import pytest

import jaxgen
from jaxgen import cli, runs
from jaxgen.cli import process
from jaxgen.runs import environment

VAE = ["train", "digits_vae", "--steps", "1"]


def said(capsys, arguments):
    """The exit code, and the one line on stderr."""
    code = cli.main(arguments)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("jaxgen: "), lines
    return code, lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "there is no command 'trian'; did you mean 'train'?"),
        ([""], "there is no command ''"),
        (["list", "foo"], "list takes no arguments, got foo"),
        (["train"], "train needs the name of an experiment before its flags, got nothing; there are cifar10_ddpm"),
        (["train", "--steps", "3"], "before its flags, got --steps 3"),
        (["train", "_ddpm"], "there is no experiment '_ddpm'"),
        ([*VAE, "--sed", "3"], "unknown: --sed 3; did you mean --seed?"),
        ([*VAE, "stray"], "unknown: stray (jaxgen train digits_vae --help lists the flags)"),
        ([*VAE, "--steps"], "--steps needs a value"),
        ([*VAE, "--steps", "1e3"], "--steps must be an integer, got '1e3'"),
        ([*VAE, "--model.beta", "much"], "--model.beta must be a number, got 'much'"),
        ([*VAE, "--model.optimizer.clip-norm", "x"], "clip-norm must be {None}|FLOAT, got x"),
        ([*VAE, "--model.hidden", "3", "x"], "--model.hidden takes no such values, got ['3', 'x']"),
        ([*VAE, "--data", ""], "--data is followed by an empty word"),
        ([*VAE, "--model.latent-dim", "-3"], "model: latent_dim must be"),
        ([*VAE, "--model.axis-name", "x"], "unknown: --model.axis-name x"),
        (["train", "digits_gan", "--model.axis-name", "x"], "unknown: --model.axis-name x"),
        (["train", "digits_ddpm", "--model.axis-name", "x"], "unknown: --model.axis-name x"),
        (["train", "mnist_autoencoder", "--model.axis-name", "x"], "unknown: --model.axis-name x"),
        ([*VAE, "model.likelihood:foo"], "did you mean model.likelihood:normal or"),
        ([*VAE, "--model.likelihood.sigma", "1"], "or model.likelihood:normal, which must be named before it"),
        (
            ["train", "digits_ddpm", "--model.network.patch", "2", "model.network:mlp"],
            "model.network:mlp must be named before --model.network.patch",
        ),
        ([*VAE, "--tyro-print-completion", "no-shell"], "unknown: --tyro-print-completion no-shell"),
        (["train", "digits_vae", "--tyro-print-completion", "no-shell"], ""),
        (["resume"], "missing: PATH Folder of the run"),
        (["resume", "a", "b"], "unknown: b"),
        (["sample", "nowhere"], "no run in nowhere"),
        (["sample", "nowhere", "--num", "1e9"], "--num must be an integer, got '1e9'"),
        (["evaluate", "nowhere"], "no run in nowhere"),
        (["verify", ""], "jaxgen verify is followed by an empty word"),
        (["compare"], "compare needs runs"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, line = said(capsys, arguments)
    assert code == 2
    assert message in line
    assert not list(tmp_path.iterdir())


class Backend(RuntimeError):
    """As jaxlib's own, which cannot be raised here."""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ImportError("'cifar10' must be prepared: pip install tensorflow"), 2, "a package is missing: 'cifar10'"),
        (ModuleNotFoundError("No module named 'grain'", name="grain"), 2, "'grain'; pip install grain"),
        (ModuleNotFoundError("No module named 'jaxgen.x'", name="jaxgen.x"), 1, "a fault of jaxgen's own"),
        (OverflowError("Python int too large"), 2, "Python int too large"),
        (MemoryError(), 2, "not enough memory; take a smaller batch, network or number"),
        (Backend("RESOURCE_EXHAUSTED: Out of memory\nallocating 8 bytes"), 2, "Out of memory allocating 8 bytes; take"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2, "text that is not UTF-8"),
        (zipfile.BadZipFile("Bad magic number"), 2, "a file is damaged: Bad magic number"),
        (EOFError(), 2, "a file is damaged: EOFError"),
        (ValueError("a\n  b"), 2, "jaxgen: a b"),
        (ValueError(), 2, "jaxgen: ValueError"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 3000), 2, "a name is too long"),
        (KeyError("x"), 1, "KeyError: 'x'; this is a fault of jaxgen's own, JAXGEN_TRACEBACK=1 shows where"),
        (TypeError("no"), 1, "TypeError: no; this is a fault of jaxgen's own"),
        (Backend("INTERNAL: of XLA"), 1, "Backend: INTERNAL: of XLA; this is a fault"),
    ],
)
def test_no_exception_is_a_traceback(capsys, monkeypatch, error, code, message):
    def raises(*_):
        raise error

    monkeypatch.setattr(runs, "resume", raises)
    found, line = said(capsys, ["resume", "somewhere"])
    assert found == code
    assert message in line


@pytest.mark.parametrize("error", [RuntimeError("Unable to initialize backend 'cuda'"), AssertionError()])
def test_no_device_is_no_traceback(capsys, monkeypatch, error):
    def raises(*_):
        raise error

    monkeypatch.setattr(runs, "resume", raises)
    monkeypatch.setattr(jax, "devices", raises)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    code, line = said(capsys, ["resume", "somewhere"])
    assert code == 2 and "jax cannot run on JAX_PLATFORMS=cuda: " in line
    assert line.endswith(str(error) or "it has no such device here")


def test_an_interruption_that_a_callback_swallows_comes_again():
    code = (
        "import sys, os, signal, time, weakref; from jaxgen.cli import process; process.insist()\n"
        "class Thing: pass\n"
        "def callback(_): os.kill(os.getpid(), signal.SIGINT); time.sleep(0)\n"
        "thing = Thing(); held = weakref.ref(thing, callback); del thing\n"
        "print('swallowed', flush=True)\n"
        "try: time.sleep(20); print('never came')\n"
        "except KeyboardInterrupt: print('came again')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "swallowed\ncame again\n", "")


def test_who_asks_for_a_traceback_gets_it(capsys, monkeypatch):
    monkeypatch.setenv("JAXGEN_TRACEBACK", "1")
    assert cli.main(["resume", "nowhere"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_where_nobody_reads_nothing_is_said(capsys, monkeypatch):
    def raises(*_):
        raise BrokenPipeError

    monkeypatch.setattr(cli, "list_experiments", raises)
    assert cli.main(["list"]) == 141
    assert capsys.readouterr() == ("", "")


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxgen {jaxgen.__version__}\n"


def test_help_is_no_error(capsys):
    for arguments in (["--help"], ["list", "--help"], ["train", "--help"], ["sample", "--help"], ["verify", "-h"]):
        assert cli.main(arguments) == 0
        out, err = capsys.readouterr()
        assert out and not err
    assert cli.main([]) == 2
    assert "jaxgen train EXPERIMENT" in capsys.readouterr().out


def test_the_help_of_an_experiment_has_the_fields_of_its_choices(capsys):
    assert cli.main(["train", "digits_ddpm", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in ("--steps", "--model.network.multipliers", "--model.schedule.num-timesteps", "--help-all"):
        assert flag in shown
    for flag in ("--model.axis-name", "--model.network.hidden"):
        assert flag not in shown
    assert cli.main(["train", "digits_ddpm", "--help-all"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "--model.network.multipliers",
        "model.network:mlp",
        "--model.network.hidden",
        "--model.weighting.gamma",
    ):
        assert words in shown


def test_fields_of_the_default_choice_need_no_choice(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(runs, "train", lambda config, run, **_: seen.append((config, run)) or sys.exit(0))
    assert cli.main(["train", "digits_ddpm", "--model.network.features", "32", "--seed", "3"]) == 0
    documented = "--run runs/normal model.likelihood:normal --model.likelihood.sigma 0.2"
    assert cli.main(["train", "digits_vae", *documented.split()]) == 0
    (unet, _), (normal, run) = seen
    assert (unet.model.network.features, unet.seed) == (32, 3)
    assert normal.model.likelihood.sigma == 0.2
    assert str(run) == "runs/normal"


def test_a_process_that_a_signal_ended_is_left_at_once():
    code = (
        "import sys, atexit; from jaxgen.cli import process; atexit.register(print, 'at exit');"
        "print('saved'); process.leave({}); print('returned')"
    )
    for number, expected in ((130, "saved\n"), (143, "saved\n"), (0, "saved\nreturned\nat exit\n")):
        done = subprocess.run([sys.executable, "-c", code.format(number)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (number, expected, "")


def test_an_interrupted_import_is_no_traceback():
    code = (
        "import sys, os, signal, builtins; from jaxgen import cli; own = builtins.__import__\n"
        "def importing(name, *rest):\n"
        "    if name == 'jax': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return own(name, *rest)\n"
        "builtins.__import__ = importing; sys.argv = ['jaxgen', 'resume', 'nowhere']; sys.exit(cli.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "jaxgen: interrupted\n")


@pytest.mark.slow
def test_a_terminal_without_such_letters(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code = "import sys; from jaxgen.cli import process, show; process.speak_plainly(); show.line('1 ± 2')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, b"1 \\xb1 2\n")


CACHE = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture
def cache_settings():
    before = {name: getattr(jax.config, name) for name in CACHE}
    yield lambda: {name: getattr(jax.config, name) for name in CACHE}
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("given", [None, "", "0"])
def test_no_program_is_kept_unless_the_environment_says_so(given, cache_settings, monkeypatch):
    if given is None:
        monkeypatch.delenv("JAXGEN_COMPILATION_CACHE", raising=False)
    else:
        monkeypatch.setenv("JAXGEN_COMPILATION_CACHE", given)
    before = cache_settings()
    process.keep_programs()
    assert cache_settings() == before


def test_compiled_programs_are_kept_by_the_number_of_cores(cache_settings, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("JAXGEN_COMPILATION_CACHE", "1")
    process.keep_programs()
    kept = tmp_path / "cache" / "compiled" / f"{environment.cores()}-cores"
    assert tuple(cache_settings().values()) == (str(kept), 0, 0) and kept.is_dir()
    monkeypatch.setenv("JAXGEN_COMPILATION_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(environment, "cores", lambda: 64)
    process.keep_programs()
    assert cache_settings()["jax_compilation_cache_dir"] == str(tmp_path / "own" / "64-cores")


def test_a_cache_that_cannot_be_written_is_refused(cache_settings, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXGEN_COMPILATION_CACHE", str(tmp_path / "file"))
    before = cache_settings()
    with pytest.raises(ValueError, match="JAXGEN_COMPILATION_CACHE must be 0, 1 or a folder that can be written, got"):
        process.keep_programs()
    assert cache_settings() == before


@pytest.mark.slow
def test_programs_that_were_kept_change_no_bit(tmp_path):
    command = [sys.executable, "-m", "jaxgen.cli", "train", "digits_vae", "--steps", "2", "--model.hidden", "8"]
    without = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    digests = []
    for name, cache in (("plain", "0"), ("written", str(tmp_path / "cache")), ("read", str(tmp_path / "cache"))):
        env = {**without, "JAX_PLATFORMS": "cpu", "JAXGEN_COMPILATION_CACHE": cache}
        subprocess.run([*command, "--run", str(tmp_path / name)], env=env, check=True, capture_output=True)
        digests.append(runs.RunFolder(tmp_path / name).manifest["digests"])
    assert digests[0] == digests[1] == digests[2]
    assert list((tmp_path / "cache").rglob("*-cache"))
