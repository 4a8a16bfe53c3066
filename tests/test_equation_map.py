"""The map from equations to functions: every name exists, every equation is on it, its renderings agree with it."""

import ast
import importlib.util
import pkgutil
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("objective", "penalties", "prediction")
EQUATIONS = [ROOT / "jaxgen" / "distributions.py"]
EQUATIONS += [path for page in PAGES for path in sorted((ROOT / "jaxgen").glob(f"*/{page}.py"))]


def loaded():
    spec = importlib.util.spec_from_file_location("equation_map", ROOT / "notebooks" / "equation_map.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made = loaded()
ENTRIES = made.entries()


def names_on_the_map():
    for entry in ENTRIES:
        yield from made.names(made.where(entry))


def public_functions(path):
    return [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]


@pytest.mark.parametrize("name", sorted(set(names_on_the_map())))
def test_every_name_on_the_map_exists(name):
    pkgutil.resolve_name(f"jaxgen.{name}")


@pytest.mark.parametrize("path", EQUATIONS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_equation_is_on_the_map_and_has_a_source(path):
    on_the_map = {name.rpartition(".")[2] for name in names_on_the_map()}
    for function in public_functions(path):
        assert function.name in on_the_map, f"{function.name} is missing in docs/equations.toml"
        assert "Source:" in (ast.get_docstring(function) or ""), f"{function.name} names no source"


def test_every_family_has_entries():
    families = {path.parent.name for path in (ROOT / "jaxgen").glob("*/objective.py")}
    assert families <= {entry["family"] for entry in ENTRIES}


def test_tables_and_docstrings_say_what_the_entries_say():
    old = [str(path.relative_to(ROOT)) for path in made.outdated(ENTRIES)]
    assert not old, f"run `make equations` (or python notebooks/equation_map.py) to write {', '.join(old)} anew"


ENTRY = """
[[equation]]
chapter = "One"
family = "vae"
says = "a density, in words"
text = "p(x|z)"
here = '''
`vae.objective.first`, `second` (its
negative); `distributions.third`'''
also = "as a choice `vae.Normal`, `Bernoulli`"
"""


def test_an_entry_in_its_renderings():
    (entry,) = made.entries(ENTRY)
    assert entry["functions"] == ["vae.objective.first", "vae.objective.second", "distributions.third"]
    assert made.tables([entry]) == (
        "### One\n\n| equation | as text | function |\n|---|---|---|\n"
        r"| a density, in words | `p(x\|z)` | `vae.objective.first`, `second` (its negative); `distributions.third`; "
        "as a choice `vae.Normal`, `Bernoulli` |"
    )
    assert made.docstring([entry], "vae") == (
        "    equation  here\n"
        "    p(x|z)    objective.first, .second (its negative); distributions.third; as a choice Normal, Bernoulli"
    )
    assert made.on_the_page([entry]) == []


def test_long_entries_are_wrapped_at_the_width_of_code():
    says, here = "word " * 30, ", ".join(f"`vae.objective.function_{k}`" for k in range(20))
    lines = made.docstring([{"family": "vae", "says": says, "here": here}], "vae").splitlines()
    assert max(map(len, lines)) <= 120
    assert " ".join(" ".join(lines).split()).count("word") == 30 and "objective.function_19" in lines[-1]


def test_incomplete_and_misspelt_entries_are_refused():
    with pytest.raises(ValueError, match=r"'a density, in words' must have \['picture', 'tests'\]"):
        made.entries(ENTRY + "math = 'p(x)'\n")
    with pytest.raises(ValueError, match=r"no field but .*, got \['alsoo'\]"):
        made.entries(ENTRY.replace("also", "alsoo"))


def test_one_command_writes_what_is_outdated(tmp_path, monkeypatch, capsys):
    for path in made.renderings(ENTRIES):
        there = tmp_path / path.relative_to(ROOT)
        there.parent.mkdir(parents=True)
        shutil.copy(path, there)
    monkeypatch.setattr(made, "ROOT", tmp_path)
    monkeypatch.setattr(made, "TABLES", tmp_path / "docs" / "equations.md")
    changed = [
        {**e, "says": "the lecture's first estimate"} if e.get("text", "").startswith("P(X) ~") else e for e in ENTRIES
    ]
    assert [path.name for path in made.outdated(changed)] == ["equations.md"]
    package = tmp_path / "jaxgen" / "vae" / "__init__.py"
    whole = package.read_text()
    package.write_text(whole.replace("z = mu + Sigma^(1/2) eps", "z = eps"))
    made.main()
    assert capsys.readouterr().out == "jaxgen/vae/__init__.py\n" and package.read_text() == whole
    made.main()
    assert capsys.readouterr().out == ""
    package.write_text('"""No map."""\n')
    with pytest.raises(ValueError, match=r"vae/__init__\.py must have the line '    equation   here'"):
        made.main()
