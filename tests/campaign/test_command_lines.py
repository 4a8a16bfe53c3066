"""Wrong command lines by the hundred: each ends with exit code 2 and one line, and none is accepted without a word."""

import dataclasses
import json
import shutil
import types
import typing

import pytest

from jaxgen import cli, experiments, runs, vae
from jaxgen.experiments import digits_vae
from jaxgen.runs import launch

pytestmark = pytest.mark.slow

TINY = digits_vae.Config(
    steps=2, batch_size=16, log_every=1, checkpoint_every=1, model=vae.Config(latent_dim=2, hidden=(4,))
)  # fmt: skip


class Accepted(BaseException):
    """What should have been refused would have been trained."""


def refused(capsys, words):
    """Assert exit code 2 and one line on stderr, without a traceback."""
    code = cli.main(words)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]  # what was being done until then
    assert len(lines) == 1 and lines[0].startswith("jaxgen: "), err
    assert code == 2, err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    runs.train(TINY, path, progress=False)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, in which nothing is trained."""
    monkeypatch.chdir(tmp_path)

    def accepts(*_, **__):
        raise Accepted

    monkeypatch.setattr(launch, "fit", accepts)
    return tmp_path


# Flags of configs: every number of every experiment, with values that no number may have.


def numbers(kind, at=""):
    """The flags of a config that are numbers, with the words that choose what they belong to."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = f"{at}{field.name}".replace("_", "-")
        members = typing.get_args(hints[field.name])
        if not isinstance(hints[field.name], types.UnionType):
            members = (hints[field.name],)
        if any(member in (int, float) for member in members):
            yield f"--{name}", int if int in members else float, []
        nested = [member for member in members if dataclasses.is_dataclass(member)]
        for member in nested:
            chosen = [f"{name}:{hyphens(member)}"] if len(members) > 1 else []
            for flag, number, choice in numbers(member, f"{name}."):
                yield flag, number, chosen + choice


def hyphens(kind):
    """The name of a class as tyro writes it."""
    from tyro._strings import hyphen_separated_from_camel_case

    return hyphen_separated_from_camel_case(kind.__name__)


BAD = {int: ("x", "", "1.5", "nan", "1e3", "-1000000"), float: ("x", "", "nan", "inf", "-inf", "1,5")}
SHARED = {field.name.replace("_", "-") for field in dataclasses.fields(runs.Settings)}


def bad_flags():
    for name in ("digits_vae", "digits_gan", "digits_ddpm", "mnist_autoencoder", "mnist_vae", "mnist_ddpm"):
        for flag, number, choice in numbers(experiments.find(name).Config):
            if name != "digits_vae" and flag.removeprefix("--") in SHARED:
                continue
            for value in BAD[number]:
                yield ["train", name, *choice, flag, value]


SEEN = {}
for words in bad_flags():  # the same classes come again in other experiments
    SEEN.setdefault(" ".join([words[1].split("_")[-1], *words[2:]]), words)


@pytest.mark.parametrize("words", SEEN.values(), ids=" ".join)
def test_numbers_that_cannot_be(capsys, here, monkeypatch, words):
    monkeypatch.setattr(runs, "train", launch.fit)  # what is wrong is wrong before the data are read
    refused(capsys, words)
    assert not list(here.iterdir())


@pytest.mark.parametrize("name", experiments.names())
@pytest.mark.parametrize(
    "rest",
    [
        ["--stepps", "3"],
        ["--steps"],
        ["--run"],
        ["stray"],
        ["--model.axis-name", "x"],
        ["--model.optimiser.learning-rate", "1"],
        ["--model:vae"],
        ["model.network:u-net-2"],
        ["--", "3"],
        ["-x"],
        ["-seed", "3"],
        ["--seed", "9223372036854775808"],
        ["--seed", "4294967296"],
        ["--seed", "-1"],
        ["--steps", "99999999999999999999999999"],
        ["--seed", "0", "--seed"],
        ["--keep", "0"],
        ["--devices", "-1"],
        ["--steps=x"],
        ["--steps=", "3"],
        ["\udcff"],
        ["--seed", "\udcff"],
        ["--\x00"],
    ],
    ids=repr,
)
def test_words_that_no_experiment_has(capsys, here, monkeypatch, name, rest):
    monkeypatch.setattr(runs, "train", launch.fit)
    refused(capsys, ["train", name, *rest])


# What is wrong with data, folders and machines comes out before the first step.


@pytest.mark.parametrize(
    "rest",
    [
        ["--data", "nowhere"],
        ["--data", "nowhere.npy"],
        ["--data", "nowhere.npz"],
        ["--data", "."],
        ["--data", "empty"],
        ["--data", "text.npy"],
        ["--data", "text.npz"],
        ["--data", "empty.npy"],
        ["--data", "words.npy"],
        ["--data", "~nobody/x.npy"],
        ["--data", "https://example.org/x.npy"],
        ["--data", "text.txt"],
        ["--data", "ring"],
        ["--data", "x" * 5000],
        ["--data", "mnist/"],
        ["--data", "\udcff.npy"],
        ["--batch-size", "100000"],
        ["--devices", "64"],
        ["--devices", "3", "--batch-size", "16"],
        ["--run", "text.txt"],
        ["--run", "text.txt/x"],
        ["--run", "full"],
        ["--run", "/proc/nothing"],
        ["--run", "x" * 5000],
        ["--run", "a\x00b"],
        ["--run", "/dev/null"],
    ],
    ids=lambda rest: " ".join(rest)[:40],
)
def test_data_and_folders_that_cannot_be(capsys, here, rest):
    (here / "text.txt").write_text("text")
    (here / "text.npy").write_text("text")
    (here / "text.npz").write_text("text")
    (here / "empty.npy").write_text("")
    (here / "words.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': 'O'}  \n")
    (here / "empty").mkdir()
    (here / "full").mkdir()
    (here / "full" / "file").write_text("")
    refused(capsys, ["train", "digits_vae", "--steps", "1", *rest])
    assert not list(here.rglob("manifest.json"))


# Commands without a run, and with a wrong one.

VERBS = ("resume", "sample", "evaluate", "verify", "compare")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "rest",
    [
        [],
        [""],
        ["nowhere"],
        ["."],
        ["text.txt"],
        ["text.txt/x"],
        ["x" * 5000],
        ["a\x00b"],
        ["\udcff"],
        ["/dev/null"],
        ["--flag"],
        ["nowhere", "--flag"],
        ["nowhere", "--flag", "3"],
        ["nowhere", "-v"],
        ["--best"],
    ],
    ids=lambda rest: " ".join(rest)[:40],
)
def test_no_run(capsys, here, verb, rest):
    (here / "text.txt").write_text("text")
    refused(capsys, [verb, *rest])


@pytest.mark.parametrize(
    "words",
    [
        ["trian"],
        ["Train"],
        ["--train"],
        ["-v"],
        ["help"],
        [""],
        [" "],
        ["train"],
        ["train", ""],
        ["train", "--steps", "3"],
        ["train", "digits"],
        ["train", "_ddpm"],
        ["train", "__init__"],
        ["train", "../digits_vae"],
        ["train", "jaxgen.experiments.digits_vae"],
        ["train", "os"],
        ["train", "digits_vae.py"],
        ["train", "x" * 5000],
        ["train", "\udcff"],
        ["train", "a\x00b"],
        ["list", "foo"],
        ["list", "--foo"],
        ["list", ""],
        ["\udcff"],
        ["x" * 5000],
        ["a\nb"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_no_command(capsys, here, words):
    refused(capsys, words)


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "--num", "0"],
        ["sample", "--num", "-1"],
        ["sample", "--num", "1.5"],
        ["sample", "--num", "x"],
        ["sample", "--num"],
        ["sample", "--num", "99999999999999999999"],
        ["sample", "--num", "2000000000"],
        ["sample", "--first", "-1"],
        ["sample", "--first", "2147483648"],
        ["sample", "--first", "2147483647"],
        ["sample", "--seed", "-1"],
        ["sample", "--seed", "4294967296"],
        ["sample", "--seed", "9223372036854775808"],
        ["sample", "--label", "3"],
        ["sample", "--guidance", "3"],
        ["sample", "sampler:ddim"],
        ["sample", "--sampler.num-steps", "3"],
        ["sample", "--out", "x"],
        ["sample", "--out", "x.jpg"],
        ["sample", "--out", ""],
        ["sample", "--out", "folder.npy"],
        ["sample", "--out", "text.txt/x.npy"],
        ["sample", "--out", "/proc/x.npz"],
        ["sample", "--out", "/proc/x.png"],
        ["sample", "--out", "x" * 5000 + ".npy"],
        ["sample", "--condition", "3"],
        ["sample", "--chunk", "3"],
        ["sample", "--best", "yes"],
        ["evaluate", "--split", "tset"],
        ["evaluate", "--split", ""],
        ["evaluate", "--num", "3"],
        ["evaluate", "--seed", "3"],
        ["evaluate", "--fidelity", "--num", "0"],
        ["evaluate", "--fidelity", "--num", "-1"],
        ["evaluate", "--fidelity", "--num", "x"],
        ["evaluate", "--fidelity", "--num", "100000"],
        ["evaluate", "--fidelity", "--seed", "-1"],
        ["evaluate", "--fidelity", "--seed", "9223372036854775808"],
        ["evaluate", "--fidelity", "--split", "tset"],
        ["compare", "--num", "0"],
        ["compare", "--num", "x"],
        ["compare", "--num", "100000"],
        ["compare", "--seed", "-1"],
        ["compare", "--seed", "9223372036854775808"],
        ["compare", "--split", "tset"],
        ["compare", "--out", "text.txt"],
        ["compare", "--out", "/proc/x"],
        ["compare", "--out", "x" * 5000],
        ["verify", "--steps", "3"],
        ["verify", "--num", "3"],
        ["resume", "--steps", "x"],
        ["resume", "--steps", "0"],
        ["resume", "--steps", "-1"],
        ["resume", "--seed", "3"],
        ["resume", "--model.latent-dim", "3"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_flags_of_a_run_that_cannot_be(capsys, here, run, words):
    (here / "text.txt").write_text("text")
    (here / "folder.npy").mkdir()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    refused(capsys, [words[0], str(run), *words[1:]])
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", ["resume", "sample", "evaluate", "verify"])
def test_two_runs_where_one_is_meant(capsys, here, run, verb):
    refused(capsys, [verb, str(run), str(run)])


# Manifests that are none.


def cut(share):
    return lambda text: text[: int(share * len(text))]


def without(*path):
    def change(text):
        tree = json.loads(text)
        at = tree
        for name in path[:-1]:
            at = at[name]
        del at[path[-1]]
        return json.dumps(tree)

    return change


def with_value(value, *path):
    def change(text):
        tree = json.loads(text)
        at = tree
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value
        return json.dumps(tree)

    return change


MANIFESTS = {
    "empty": lambda text: "",
    "a blank line": lambda text: "\n",
    "null": lambda text: "null",
    "a number": lambda text: "3",
    "a string": lambda text: '"config"',
    "a list": lambda text: "[]",
    "a list of pairs": lambda text: '[["config", 1], ["environment", 2], ["data", 3], ["digests", 4]]',
    "an empty object": lambda text: "{}",
    "cut after 1/10": cut(0.1),
    "cut after half": cut(0.5),
    "cut before the end": cut(0.99),
    "twice": lambda text: text + text,
    "no text": lambda text: b"\xff\xfe\x00\x01",
    "bytes in it": lambda text: text.encode().replace(b"seed", b"se\xffd"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "deep": lambda text: "[" * 100_000,
    **{f"without {name}": without(name) for name in ("config", "environment", "data", "digests")},
    **{
        f"{name} = {value!r}": with_value(value, name)
        for name in ("config", "data")
        for value in (None, 3, "x", [], [[]], {})
    },
    **{
        f"config.{name} = {value!r}": with_value(value, "config", name)
        for name in ("type", "steps", "batch_size", "seed", "model", "data")
        for value in (None, [], {}, -1, 1.5)
    },
    "another type": with_value("os.path.join", "config", "type"),
    "a type that is gone": with_value("jaxgen.experiments.digits_vae.Gone", "config", "type"),
    "a function": with_value("jaxgen.data.load", "config", "type"),
    "a field that is gone": with_value(3, "config", "gone"),
    "a model of another type": with_value({"type": "jaxgen.gan.config.Config"}, "config", "model"),
    "a model's field": with_value("wide", "config", "model", "latent_dim"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("damage", MANIFESTS)
def test_damaged_manifests(capsys, here, run, verb, damage):
    shutil.copytree(run, here / "run")
    path = here / "run" / "manifest.json"
    text = MANIFESTS[damage](path.read_text())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(capsys, [verb, "run"])
