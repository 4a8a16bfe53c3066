"""Runs beside each other, on networks that have learnt next to nothing."""

import dataclasses
import functools
import importlib
import json
import shutil
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from jaxgen import cli, data, evaluate, runs, vae
from jaxgen.core import Estimate
from jaxgen.experiments import digits_vae
from jaxgen.optimizers import Adam

compare = importlib.import_module("jaxgen.runs.compare")  # the package has a function of that name
TINY = digits_vae.Config(
    steps=5, batch_size=16, log_every=5, checkpoint_every=5,
    model=vae.Config(latent_dim=2, hidden=(8,), optimizer=Adam(1e-2)),
)  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", 0), ("other", 1)):
        runs.train(dataclasses.replace(TINY, seed=seed), folder / name, progress=False)
    return folder / "one", folder / "other"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def quick_judge(monkeypatch, cache):
    """The same classifier for all tests of the file, small and hardly trained."""
    monkeypatch.setenv("JAXGEN_CACHE_DIR", str(cache))
    small = evaluate.ImageClassifier(10, channels=(8,), num_features=8)
    quick = functools.partial(evaluate.trained_judge, num_steps=20, network=small)
    monkeypatch.setattr(evaluate, "trained_judge", quick)


class Page(HTMLParser):
    """What a page would fetch, and whether its tags close."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str):
        assert self.open.pop() == tag


def test_two_runs_beside_each_other(two, tmp_path):
    found = runs.compare(two, 40, out=tmp_path / "out")
    assert list(found.results) == ["one", "other"]
    text, picture, page = found.files
    assert [path.name for path in found.files] == ["comparison.txt", "comparison.png", "comparison.html"]
    assert text.read_text() == found.text
    for part in ("Fréchet distance", "one", "other", "real images", "digits test[40]", "seed 0", "fewer than 10,000"):
        assert part in found.text
    row = next(line for line in found.text.splitlines() if line.startswith("recall"))
    scores = [found.results[name].scores["recall"] for name in ("one", "other")]
    for number in (*(score.value.value for score in scores), scores[0].floor.value):
        assert f"{number:.3g}" in row
    assert picture.stat().st_size > 10_000
    html = Page(page.read_text())
    assert not html.open
    assert len(html.sources) == 1 and html.sources[0].startswith("data:image/png;base64,")  # no network
    assert "comparison.png.partial" not in {path.name for path in (tmp_path / "out").iterdir()}


def test_seeds_together(two, tmp_path):
    """Mean and spread of the two in one column, and what they reported below."""
    found = runs.compare(two, 40, seeds=True, out=tmp_path / "out")
    values = [found.results[name].scores["recall"].value.value for name in ("one", "other")]
    row = next(line for line in found.text.splitlines() if line.startswith("recall"))
    assert f"{np.mean(values):.2f}" in row and "(sd " in row and "*" not in row
    for part in ("digits_vae, 2 seeds", "negative_elbo", "digits_vae: seeds 0, 1", "the spread of the seeds"):
        assert part in found.text
    assert [path.name for path in found.files] == ["comparison.txt", "comparison.png", "comparison.html"]
    assert not Page(found.files[2].read_text()).open
    assert runs.compare(two, 0, seeds=True, out=tmp_path / "alone").results == {}


def test_what_the_experiment_asks_of_the_sampler_is_asked_and_said(two, tmp_path, monkeypatch):
    asked = []
    module = importlib.import_module("jaxgen.runs.fidelity")  # the package has a function of that name
    original = module.load

    def load(path, **options):
        experiment, config, state = original(path, **options)

        def sample(key, variables, num, flavour=None, **rest):
            asked.append(flavour)
            return experiment.model.sample(key, variables, num, **rest)

        model = experiment.model._replace(sample=sample)
        return experiment._replace(model=model, sampling={"flavour": "lemon"}), config, state

    monkeypatch.setattr(module, "load", load)
    found = runs.compare(two[:1], 40, out=tmp_path / "out")
    assert "one: drawn with flavour = lemon" in found.text
    assert "lemon" in asked


def test_the_same_seed_gives_the_same_numbers(two, tmp_path):
    def numbers(seed):
        found = runs.compare(two[:1], 40, seed=seed, out=tmp_path / str(seed)).results["one"]
        return {name: score.value.value for name, score in found.scores.items()}

    assert numbers(0) == numbers(0) != numbers(1)


def test_features_of_ones_own(two, tmp_path):
    features = evaluate.Features(lambda x: x.mean(axis=2).reshape(len(x), -1), "means", "1")
    with pytest.warns(evaluate.FewSamplesWarning):
        found = runs.fidelity(two[0], 40, features=features)
    assert found.scores["recall"].conditions.features == "means"
    with pytest.raises(ValueError, match="do not compare: features 'means' against 'classifier'"):
        other = runs.compare(two[1:], 40, out=tmp_path).results["other"]
        evaluate.ranking({"a": found.scores["recall"], "b": other.scores["recall"]})


def test_runs_on_other_data_do_not_compare(two, tmp_path):
    other = tmp_path / "elsewhere"
    shutil.copytree(two[1], other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["data"] = {"name": "mnist", "fingerprint": "0" * 64}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"only on the same data: .*one is on digits \(.*, .*elsewhere on mnist \(0"):
        runs.compare([two[0], other], 40, out=tmp_path / "out")
    with pytest.raises(ValueError, match="the data have changed since the run"):
        runs.fidelity(other, 40)
    for paths, message in (([], "needs runs, each once, got none"), ([two[0], two[0]], "each once")):
        with pytest.raises(ValueError, match=message):
            runs.compare(paths, out=tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no run in"):
        runs.compare([two[0], tmp_path / "none"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_labels_the_features_are_the_pixels_and_it_is_said(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(200, 4, 4, 1)).astype(np.float32))
    config = dataclasses.replace(TINY, data=str(tmp_path / "x.npy"), model=vae.Config(latent_dim=2, hidden=(8,)))
    runs.train(config, tmp_path / "run", progress=False)
    found = runs.compare([tmp_path / "run"], 20, out=tmp_path / "out")
    assert "features: pixels" in found.text and "no labels" in found.text
    assert "class KL" not in found.text


def test_points_have_no_fidelity(two, monkeypatch):
    points = data.from_arrays(np.zeros((20, 2), np.float32))
    monkeypatch.setattr(points.__class__, "fingerprint", runs.RunFolder(two[0]).manifest["data"]["fingerprint"])
    experiment = runs.RunFolder(two[0]).config.build()._replace(dataset=points)
    monkeypatch.setattr(digits_vae.Config, "build", lambda self: experiment)
    with pytest.raises(ValueError, match=r"fidelity is of images \[height, width, channels\], arrays has \(2,\)"):
        runs.fidelity(two[0], 40)


def test_from_the_command_line(two, tmp_path, capsys):
    paths = [str(path) for path in two]
    assert cli.main(["compare", *paths, "--num", "40", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "Fréchet distance" in printed and "comparison.html" in printed
    assert cli.main(["evaluate", paths[0], "--fidelity", "--num", "40"]) == 0
    printed = capsys.readouterr().out
    assert "expected bias" in printed and "40 samples are fewer than 10,000" in printed
    assert cli.main(["evaluate", paths[0], "--num", "40"]) == 2
    assert "go with --fidelity" in capsys.readouterr().err
    assert cli.main(["compare", *paths, "--num", "400", "--out", str(tmp_path / "out")]) == 2
    assert "num must lie in 4..300" in capsys.readouterr().err


@pytest.mark.parametrize("num", [0, -1, 3, True])
def test_a_bad_number_is_refused_before_the_classifier_is_trained(two, monkeypatch, num):
    monkeypatch.setattr(evaluate, "trained_judge", lambda dataset: pytest.fail("the classifier was trained"))
    with pytest.raises(ValueError, match=r"num must (lie in 4..300|be an integer)"):
        runs.fidelity(two[0], num)
    with pytest.raises(ValueError, match="split must be one of train, valid, test, got 'tes'"):
        runs.fidelity(two[0], 40, split="tes")


def test_no_star_within_the_errors(two):
    """Numbers have the digits that their errors leave them, and no model is best by less than these."""
    conditions = evaluate.Conditions(40, "digits test", "digits valid", "f", "pixels", "1", 0)

    def results(**recalls):
        floor = Estimate(0.9, 0.05)
        return {
            name: evaluate.Fidelity(
                {"recall": evaluate.Score(Estimate(value, 0.0534), floor, "higher", None, conditions)}, None, None, ()
            )
            for name, value in recalls.items()
        }

    _, ((*_, first, second, real),) = compare.rows(results(a=0.5123, b=0.5511))
    assert (first, second, real) == ("0.512 ± 0.053", "0.551 ± 0.053", "0.900 ± 0.050")
    _, ((*_, first, second, _),) = compare.rows(results(a=0.5123, b=0.7))
    assert (first, second) == ("0.512 ± 0.053", "0.700 ± 0.053 *")
