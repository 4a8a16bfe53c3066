"""An experiment of the user's own, in a file or a module, is used as the library's are; a manifest imports nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from processes import xla_flags

from jaxgen import cli, experiments, runs, train, vae
from jaxgen.experiments import digits_vae
from jaxgen.optimizers import Adam
from jaxgen.runs import loading, outside

EXPERIMENT = '''
"""A small VAE of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import helper

from jaxgen import data, vae
from jaxgen.optimizers import Adam
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Narrow:
    """Few units."""

    units: int = 4


@dataclass(frozen=True)
class Wide:
    """More units."""

    units: int = 8
    layers: int = 1


@dataclass(frozen=True)
class Config(Settings):
    """Of a test.

    Args:
        data: Name of the data.
        latent_dim: Size of z, the code.
        network: Size of the networks.
    """

    data: str = "x.npy"
    latent_dim: int = 2
    network: Narrow | Wide = Narrow()
    steps: int = 4
    batch_size: int = 16
    log_every: int = 2
    checkpoint_every: int = 2

    def model_for(self, spec):
        hidden = (self.network.units,) * getattr(self.network, "layers", 1)
        return vae.model(vae.Config(latent_dim=self.latent_dim, hidden=hidden, optimizer=Adam(1e-2)), spec)

    def build(self):
        from later import drawn

        dataset = data.load(self.data, seed=self.seed)
        model = self.model_for(dataset.spec)
        return Experiment(model, dataset, helper.measured(model), drawn(model), helper.shown)
'''
HELPER = """
from jaxgen import evaluate, plot

def measured(model):
    return lambda key, variables, split: evaluate.estimates(evaluate.per_example(model, key, variables, split), "nats")

def shown(x, title):
    return plot.examples({"": x}, title=title)
"""
LATER = """
from helper import shown

def drawn(model):
    return lambda key, state: shown(model.sample(key, state.variables, 4), "samples")
"""


def project(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(EXPERIMENT)
    (folder / "helper.py").write_text(HELPER)
    (folder / "later.py").write_text(LATER)
    np.save(folder / "x.npy", np.random.default_rng(0).integers(0, 256, (120, 6, 5, 1), dtype=np.uint8))
    return folder


def forget():
    """Make this process one in which no experiment was imported."""
    for name in list(sys.modules):
        if name.startswith("_experiment_") or name.partition(".")[0] in ("helper", "later", "mine", "a_package"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with a run that the command line has trained."""
    folder = project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["train", "mine.py", "--run", "run", "--latent-dim", "3", "network:wide", "--network.layers", "2"]
        assert cli.main(words) == 0
    forget()
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A copy of the project, as the current folder."""
    shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def manifest(path="run"):
    return json.loads((Path(path) / "manifest.json").read_text())


def unfinished(path="run"):
    """Take the run back to its checkpoint of step 2."""
    shutil.rmtree(Path(path) / "checkpoints" / "4")


def said(capsys, words):
    """The exit code, and what stands on stderr in jaxgen's name."""
    capsys.readouterr()
    code = cli.main(words)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return code, "\n".join(line for line in err.splitlines() if line.startswith("jaxgen: "))


def test_a_manifest_says_what_was_trained(trained):
    tree = manifest(trained / "run")
    assert tree["experiment"]["name"] == str(trained / "mine.py")
    assert len(tree["experiment"]["sha256"]) == 64
    assert tree["config"]["type"] == "experiment:Config"
    assert tree["config"]["network"] == {"type": "experiment:Wide", "units": 8, "layers": 2}
    assert str(trained) not in json.dumps([tree["config"]["type"], tree["config"]["network"]])


def test_every_field_is_a_flag(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    assert cli.main(["train", "mine.py", "--help"]) == 0
    text = capsys.readouterr().out
    for word in (
        "A small VAE of one's own",
        "--latent-dim",
        "Size of z, the code",
        "network:wide",
        "--checkpoint-every",
    ):
        assert word in text, text
    assert str(Path("runs") / "mine") in text


USES = {
    "resume": ["resume", "run"],
    "sample": ["sample", "run", "--num", "2"],
    "evaluate": ["evaluate", "run"],
    "verify": ["verify", "run"],
    "compare": ["compare", "run", "--num", "8"],
    "fidelity": ["evaluate", "run", "--fidelity", "--num", "8"],
}


@pytest.mark.parametrize("use", USES)
def test_nothing_is_imported_because_a_manifest_names_it(here, capsys, use):
    (here / "mine.py").write_text("raise SystemExit('this was run')")
    code, line = said(capsys, USES[use])
    assert code == 2
    assert f"is imported only where you name it: give it, as --experiment {manifest()['experiment']['name']}" in line
    assert not any(name.startswith("_experiment_") or name == "helper" for name in sys.modules)


@pytest.mark.parametrize(
    ("use", "named"), [*((use, "mine.py") for use in USES), ("resume", "mine"), ("sample", "mine")]
)
def test_every_use_of_a_run(here, capsys, use, named):
    if use == "resume":
        before = manifest()["digests"]["4"]
        unfinished()
    code, line = said(capsys, [*USES[use], "--experiment", named])
    assert (code, line) == (0, "")
    if use == "resume":
        assert manifest()["digests"]["4"] == before


def test_the_same_command_goes_on(here, capsys):
    before = manifest()["digests"]
    unfinished()
    words = ["train", "mine.py", "--run", "run", "--latent-dim", "3", "network:wide", "--network.layers", "2"]
    assert said(capsys, words) == (0, "")
    assert manifest()["digests"] == before
    code, line = said(capsys, [*words[:-1], "1"])
    assert code == 2 and "holds a run with another config (network.layers: 2 -> 1)" in line


def test_from_python(here):
    state = runs.load("run", experiment="mine.py")[2]
    assert train.digest(state) == manifest()["digests"]["4"]
    x, _ = runs.sample("run", 2, experiment=here / "mine.py")
    assert x.shape == (2, 6, 5, 1)
    kind = outside.load("mine.py")
    assert runs.RunFolder("run", kind).config.network.layers == 2
    assert runs.evaluate("run", experiment=kind)
    with pytest.raises(ValueError, match=r"give it, as --experiment .* or experiment=Config"):
        runs.load_model("run")


def test_a_run_starts_from_one_of_the_same_experiment(here, capsys):
    words = ["train", "mine.py", "--from", "run", "--latent-dim", "3", "network:wide", "--network.layers", "2"]
    assert said(capsys, [*words[:4], "--run", "new", *words[4:]]) == (0, "")
    assert manifest("new")["start"]["step"] == 4
    with pytest.raises(ValueError, match="start must be a run of an experiment of jaxgen's own"):
        runs.train(digits_vae.Config(), "other", start="run", progress=False)


def test_a_changed_file_is_refused_unless_that_is_accepted(here, capsys):
    unfinished()
    before = manifest()["experiment"]["sha256"]
    (here / "mine.py").write_text(EXPERIMENT + "\n# a remark\n")
    for verb in ("resume", "verify"):
        code, line = said(capsys, [verb, "run", "--experiment", "mine.py"])
        assert code == 2
        assert "mine.py has changed since the run in run was trained by it (SHA-256" in line
        assert "--accept-changed" in line
    code, line = said(capsys, ["train", "mine.py", "--run", "run"])
    assert code == 2 and "has changed since" in line
    with pytest.warns(UserWarning, match="has changed since the run in run was trained by it"):
        assert len(runs.sample("run", 2, experiment="mine.py")[0]) == 2
    assert said(capsys, ["resume", "run", "--experiment", "mine.py", "--accept-changed"]) == (0, "")
    stages = manifest()["stages"]
    assert [stage["first"] for stage in stages] == [0, 2]
    assert stages[0]["experiment"]["sha256"] == before != stages[1]["experiment"]["sha256"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.load_model("run", experiment="mine.py")  # it is what the last steps were trained by
    with pytest.raises(ValueError, match="has changed since"):
        runs.verify("run", experiment="mine.py", progress=False)
    report = runs.verify("run", experiment="mine.py", accept_changed=True, progress=False)
    assert report.passed and "has changed since" in report.differences[0]


@pytest.mark.parametrize("entry", ["mine.py", [], None, {}, {"name": 3, "sha256": 5}])
def test_a_damaged_entry(here, capsys, entry):
    tree = manifest()
    tree["experiment"] = entry
    (here / "run" / "manifest.json").write_text(json.dumps(tree))
    code, line = said(capsys, ["sample", "run", "--num", "2"])
    assert code == 2 and ("give it, as --experiment" in line or "must be a JSON object" in line)
    assert said(capsys, ["compare", "run", "--num", "8", "--experiment", "mine.py"])[0] == 2


def test_a_file_that_has_moved_is_the_same(here):
    shutil.move("mine.py", "renamed.py")
    assert train.digest(runs.load_model("run", experiment="renamed.py").state) == manifest()["digests"]["4"]


def test_a_run_of_jaxgen_needs_no_experiment(here, capsys):
    small = digits_vae.Config(steps=1, batch_size=8, model=vae.Config(latent_dim=1, hidden=(2,), optimizer=Adam(1e-3)))
    runs.train(small, "other", progress=False)
    code, line = said(capsys, ["sample", "other", "--experiment", "mine.py"])
    assert code == 2 and "is of jaxgen's own jaxgen.experiments.digits_vae.Config; leave --experiment out" in line


@pytest.mark.slow
def test_runs_of_different_experiments_compare(here, capsys):
    text = EXPERIMENT.replace("latent_dim: int = 2", "latent_dim: int = 1").replace("class Wide", "class Other")
    (here / "other.py").write_text(text.replace("Narrow | Wide", "Narrow | Other"))
    assert said(capsys, ["train", "other.py", "--run", "two"]) == (0, "")
    words = ["compare", "run", "two", "--num", "8", "--experiment", "other.py"]
    code, line = said(capsys, words)
    assert code == 2 and f"give it, as --experiment {trained_name('run')}" in line
    assert not Path("comparison").exists()
    assert said(capsys, [*words, "--experiment", "mine.py"]) == (0, "")
    page = Path("comparison/comparison.html").read_text()
    assert "mine.py" in page and "other.py" in page


def trained_name(path):
    return manifest(path)["experiment"]["name"]


def test_a_module_in_a_package(here, capsys):
    """Also one whose own parts are classes of other modules of the package."""
    package = here / "a_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Narrow:\n    units: int = 4\n"
    )
    first, second = (EXPERIMENT.index(f"@dataclass(frozen=True)\nclass {name}") for name in ("Narrow", "Wide"))
    text = EXPERIMENT[:first] + EXPERIMENT[second:]
    text = text.replace("import helper", "import helper\nfrom a_package.parts import Narrow")
    (package / "mine.py").write_text(text)
    assert said(capsys, ["train", "a_package.mine", "--run", "new"]) == (0, "")
    tree = manifest("new")
    assert tree["experiment"]["name"] == "a_package.mine"
    assert tree["config"]["network"]["type"] == "a_package.parts.Narrow"
    forget()
    assert said(capsys, ["verify", "new", "--experiment", "a_package.mine"]) == (0, "")
    forget()
    assert said(capsys, ["sample", "new", "--num", "2", "--experiment", "a_package/mine.py"]) == (0, "")


SETTINGS = "from dataclasses import dataclass\nfrom jaxgen.runs import Settings\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must define Config, a frozen dataclass of jaxgen.runs.Settings; it has no Config"),
        ("Config = 3", "Config must be a frozen dataclass of jaxgen.runs.Settings, got 3"),
        ("class Config: pass", "Config must be a frozen dataclass of jaxgen.runs.Settings, got <class"),
        (f"{SETTINGS}class Config(Settings): pass", "got a class without @dataclass(frozen=True) before it"),
        (
            f"{SETTINGS}@dataclass\nclass Config(Settings): pass",
            "cannot inherit non-frozen dataclass from a frozen one",
        ),
        (f"{SETTINGS}@dataclass(frozen=True)\nclass Config(Settings): pass", "Config must have build(), got none"),
        (
            f"{SETTINGS}@dataclass(frozen=True, kw_only=True)\nclass Config(Settings):\n"
            "    size: int\n    def build(self): ...",
            "every field of Config must have a default, got size without",
        ),
        (
            f"{SETTINGS}@dataclass(frozen=True)\nclass Config(Settings):\n    run: int = 1\n    def build(self): ...",
            "no field of Config can be named run, which is a flag of jaxgen train",
        ),
        ("x = 1\n1 / 0", "own.py cannot be imported: ZeroDivisionError: division by zero (own.py, line 2)"),
        ("def f(:", "own.py cannot be imported: SyntaxError: invalid syntax"),
        ("import not_there", "cannot be imported: ModuleNotFoundError: No module named 'not_there' (own.py, line 1)"),
        ("import sys\nsys.exit(3)", "own.py cannot be imported: SystemExit: 3 (own.py, line 2)"),
        ("import broken", "cannot be imported: KeyError: 'key' (broken.py, line 1)"),
        ("raise RuntimeError", "own.py cannot be imported: RuntimeError (own.py, line 1)"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path, monkeypatch, capsys, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "broken.py").write_text("{}['key']")
    code, line = said(capsys, ["train", "own.py"])
    assert (code, line.count("\n")) == (2, 0) and message in line
    assert not Path("runs").exists()
    sys.modules.pop("broken", None)
    monkeypatch.setenv("JAXGEN_TRACEBACK", "1")
    cli.main(["train", "own.py"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("owm.py", "there is no file owm.py; did you mean own.py?"),
        ("nowhere/own.py", "there is no file nowhere/own.py"),
        ("./own", "the file of an experiment must end in .py, got 'own'"),
        ("digit_vae", "there is no experiment 'digit_vae'; did you mean 'digits_vae'"),
        ("a_package.owm", "there is no module 'a_package.owm'; did you mean 'a_package.own'?"),
        ("b_package.own", "there is no module 'b_package'; did you mean 'a_package'?"),
        ("jaxgen.experiments.digits_vae", "must lie outside jaxgen, got 'jaxgen.experiments.digits_vae'"),
        ("a..b", "must be a file that ends in .py or the name of a module, got 'a..b'"),
        ("os", "there is no experiment 'os'"),
    ],
)
def test_a_name_that_is_none(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("")
    (tmp_path / "a_package").mkdir()
    for file in ("__init__", "own"):
        (tmp_path / "a_package" / f"{file}.py").write_text("")
    code, line = said(capsys, ["train", name])
    assert code == 2 and message in line, line


def test_an_error_of_the_users_code_is_not_said_to_be_jaxgens(here, capsys):
    (here / "mine.py").write_text(EXPERIMENT.replace("dataset = data", "self.nothing\n        dataset = data"))
    code, line = said(capsys, ["train", "mine.py", "--run", "new"])
    number = 1 + (here / "mine.py").read_text().splitlines().index("        self.nothing")
    assert code == 2 and line.endswith(
        f"AttributeError: 'Config' object has no attribute 'nothing' (mine.py, line {number})"
    )


def test_two_files_are_two_modules(tmp_path):
    """Of one name in two folders, of two texts at one place; the same file is the same."""
    text = f"{SETTINGS}@dataclass(frozen=True)\nclass Config(Settings):\n    size: int = 1\n    def build(self): ..."
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(text)
    a, b = (outside.load(tmp_path / folder / "own.py") for folder in ("a", "b"))
    assert a is outside.load(tmp_path / "a" / "own.py") and a is not b
    (tmp_path / "a" / "own.py").write_text(text.replace("size: int = 1", "size: int = 2"))
    changed = outside.load(tmp_path / "a" / "own.py")
    assert (vars(a())["size"], vars(changed())["size"]) == (1, 2)
    assert (outside.entry_of(a) or {})["name"] == (outside.entry_of(changed) or {})["name"]
    assert outside.differ(outside.entry_of(a), outside.entry_of(changed))
    assert not outside.differ(outside.entry_of(a), outside.entry_of(b))
    path = list(sys.path)
    outside.load(tmp_path / "b" / "own.py")
    assert sys.path == path


def test_a_name_beside_a_file_that_is_taken_is_refused(trained, tmp_path):
    outside.load(trained / "mine.py")
    other = project(tmp_path / "other")
    with pytest.raises(ValueError, match=f"imports '(helper|later)' beside it, .* has that name from {trained}"):
        outside.load(other / "mine.py")


@dataclass(frozen=True)
class Config(digits_vae.Config):
    """Defined where it is used, as in a notebook or a script."""

    steps: int = 2
    batch_size: int = 8
    checkpoint_every: int = 1
    model: vae.Config = vae.Config(latent_dim=1, hidden=(2,), optimizer=Adam(1e-3))


def test_a_config_itself(tmp_path):
    outcome = runs.train(Config(), tmp_path, progress=False)
    assert manifest(tmp_path)["experiment"]["name"] == __name__
    again = runs.resume(tmp_path, experiment=Config, progress=False)
    assert train.digest(again.state) == train.digest(outcome.state)
    assert train.digest(runs.load_model(tmp_path, experiment=Path(__file__)).state) == train.digest(outcome.state)


def test_a_notebook_has_no_text(monkeypatch):
    monkeypatch.delattr(sys.modules[__name__], "__file__")
    assert loading.origin(sys.modules[__name__]) == (__name__, None)
    assert not outside.differ({"sha256": None}, outside.entry_of(Config))
    assert outside.chosen([], None) is None


@pytest.mark.slow
def test_killed_and_resumed(here):
    """In processes of their own, as a user's are."""
    command = [sys.executable, "-m", "jaxgen.cli"]
    environment = {**os.environ, "XLA_FLAGS": xla_flags(), "JAX_PLATFORMS": "cpu"}
    flags = ["--steps", "2000", "--checkpoint-every", "50", "--log-every", "50"]
    process = subprocess.Popen([*command, "train", "mine.py", "--run", "new", *flags], env=environment)
    deadline = time.perf_counter() + 60
    while time.perf_counter() < deadline and not list(here.glob("new/checkpoints/[0-9]*")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert list(here.glob("new/checkpoints/[0-9]*"))
    for verb in ("resume", "verify"):
        words = [*command, verb, "new", "--experiment", "mine.py"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# The template.


def test_new_writes_an_experiment_that_trains_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "my_vae"]) == 0
    assert "jaxgen train my_vae.py" in capsys.readouterr().out
    assert 35 <= len(Path("my_vae.py").read_text().splitlines()) <= 50
    small = ["--steps", "4", "--checkpoint-every", "2", "--log-every", "2", "--batch-size", "16", "--run", "run"]
    assert said(capsys, ["train", "my_vae.py", *small, "--model.hidden", "8"]) == (0, "")
    digest = manifest()["digests"]["4"]
    unfinished()
    own = ["--experiment", "my_vae.py"]
    assert said(capsys, ["resume", "run", *own]) == (0, "")
    assert manifest()["digests"]["4"] == digest
    assert said(capsys, ["sample", "run", "--num", "3", "--best", *own]) == (0, "")
    assert said(capsys, ["verify", "run", *own]) == (0, "")


@pytest.mark.parametrize("name", ["my-vae", "my.vae", "a/b", "class", "random", "jaxgen", "3", "my_vae.py"])
def test_new_refuses_what_is_no_name(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    code, line = said(capsys, ["new", name])
    assert (
        code == 2
        and f"name must be an identifier that is no word or module of Python's, as my_vae, got {name!r}" in line
    )
    assert not list(tmp_path.iterdir())


def test_new_overwrites_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("years of work")
    code, line = said(capsys, ["new", "mine"])
    assert code == 2 and "mine.py is there already" in line
    assert Path("mine.py").read_text() == "years of work"
    for words in (["new"], ["new", "a", "b"]):
        assert said(capsys, words)[0] == 2
    assert cli.main(["new", "--help"]) == 0


def test_the_template_is_what_the_guide_shows():
    text = (Path(experiments.__file__).parent / "_template.py").read_text()
    assert f"```python\n{text}```\n" in (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    assert not any("template" in name for name in experiments.names())
