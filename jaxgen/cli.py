"""The command line: `jaxgen train | resume | sample | evaluate | compare | verify | list`.

Every field of an experiment's config is a flag. Whatever is done here can be done from Python with `jaxgen.runs`.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from jaxgen import experiments
from jaxgen.core import Estimate
from jaxgen.evaluate import FewSamplesWarning
from jaxgen.runs.config import nearest
from jaxgen.train.progress import activity


def _number(estimate: Estimate) -> str:
    return (
        f"{estimate.value:.4g}"
        if estimate.standard_error is None
        else (f"{estimate.value:.3f} ± {estimate.standard_error:.3f}")
    )


def _results(results: dict[str, dict[str, Estimate]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("", *results, "unit"):
        table.add_column(column, justify="left" if column in ("", "unit") else "right")
    # What takes long is measured on the test set alone.
    for name, unit in {name: e.unit for found in results.values() for name, e in found.items()}.items():
        table.add_row(name, *(_number(found[name]) if name in found else "" for found in results.values()), unit)
    return table


def _finish(outcome: Any, console: Console) -> int:
    folder, history = outcome.folder, outcome.history
    if history.interrupted:
        console.print(
            f"{history.interrupted}: saved at step {int(outcome.state.step)}; go on with: jaxgen resume {folder.path}",
            highlight=False,
            soft_wrap=True,
        )
        return 130 if history.interrupted == "SIGINT" else 143
    console.print(_results(outcome.results, f"{folder.path.name}: mean ± standard error over examples"))
    if history.num_steps:
        console.print(
            f"compiled in {history.compile_seconds:.1f} s, {history.num_steps} steps in {history.run_seconds:.1f} s "
            f"({history.steps_per_second:.0f} steps/s)",
            highlight=False,
        )
    console.print(f"look at {folder.pictures / 'final.png'}", highlight=False, soft_wrap=True)
    return 0


def train(arguments: Sequence[str]) -> int:
    """jaxgen train EXPERIMENT [--run DIR] [--seed N] [--steps N] [any field of its config]"""
    import tyro

    from jaxgen import runs

    if not arguments or arguments[0].startswith("-"):
        Console().print(f"usage: {train.__doc__}\n", highlight=False, markup=False)
        return list_experiments([]) or (0 if "--help" in arguments or "-h" in arguments else 2)
    name, rest = arguments[0], list(arguments[1:])
    module = experiments.find(name)

    def main(run: Path, config: Any) -> int:
        return _finish(runs.train(config, run), Console())

    # An empty name: the fields of the config are flags of their own, --steps and not --config.steps.
    main.__annotations__["config"] = Annotated[module.Config, tyro.conf.arg(name="")]
    main.__defaults__ = (Path("runs") / name, module.Config())
    main.__doc__ = f"""{experiments.describe(name)}

    Args:
        run: Folder of the run; if it holds this very run already, training goes on.
    """
    return tyro.cli(main, args=rest, prog=f"jaxgen train {name}")


def resume(run: Path, /) -> int:
    """Go on with a run from its last checkpoint.

    Args:
        run: Folder of the run.
    """
    from jaxgen import runs

    return _finish(runs.resume(run), Console())


def sample(run: Path, /, num: int = 64, seed: int = 1, first: int = 0, best: bool = False) -> int:
    """Draw samples and save their picture.

    Args:
        run: Folder of the run.
        num: How many.
        seed: Seed of the draws.
        first: Number of the first sample.
        best: Take the best checkpoint instead of the last.
    """
    from jaxgen import runs

    with activity(f"{num} samples"):
        _, path = runs.sample(run, num, seed=seed, first=first, best=best)
    Console().print(f"look at {path}", highlight=False, soft_wrap=True)
    return 0


def evaluate(
    run: Path, /, split: str = "test", best: bool = False, fidelity: bool = False, num: int | None = None, seed: int = 0
) -> int:
    """Evaluate on a whole split.

    Args:
        run: Folder of the run.
        split: "train", "valid" or "test".
        best: Take the best checkpoint instead of the last.
        fidelity: Compare samples with as many images of the split instead: Fréchet and kernel distance, precision,
            recall, density, coverage, classes, nearest training images, each beside that of real images.
        num: How many samples, with --fidelity; as many as there are to compare with unless given, 10,000 at most.
        seed: Of the samples, with --fidelity.
    """
    from jaxgen import runs

    if not fidelity:
        if num is not None or seed:
            raise ValueError(f"--num and --seed go with --fidelity, got num={num}, seed={seed}")
        with activity(f"report on the {split} split"):
            results = runs.evaluate(run, split=split, best=best)
        Console().print(_results({split: results}, f"{run.name}: mean ± standard error over examples"))
        return 0
    with warnings.catch_warnings(), activity(f"samples beside the {split} split"):
        warnings.simplefilter("ignore", FewSamplesWarning)  # printed below
        found = runs.fidelity(run, num, seed=seed, best=best, split=split)
    table = Table("", "samples", "real images", "expected bias", "better", title=run.name, title_justify="left")
    for name, score in found.scores.items():
        bias = "" if score.bias is None else f"{score.bias:.2g}"
        table.add_row(name.replace("_", " "), _number(score.value), _number(score.floor), bias, score.better)
    Console().print(table)
    conditions = next(iter(found.scores.values())).conditions
    for line in (str(conditions), *found.notes):
        Console().print(line, highlight=False, soft_wrap=True, markup=False)
    return 0


def compare(
    runs: tuple[Path, ...],
    /,
    num: int | None = None,
    seed: int = 0,
    best: bool = False,
    split: str = "test",
    out: Path = Path("comparison"),
) -> int:
    """Compare the samples of runs on the same data: a table, a picture and a page.

    Args:
        runs: Folders of the runs.
        num: How many samples of each; as many as there are to compare with unless given, 10,000 at most.
        seed: Of the samples.
        best: Take the best checkpoints instead of the last.
        split: What to compare with: "test", "valid" or "train".
        out: Folder of comparison.txt, comparison.png and comparison.html.
    """
    from jaxgen import runs as module

    found = module.compare(runs, num, seed=seed, best=best, split=split, out=out)
    Console().print(found.text, highlight=False, soft_wrap=True, markup=False)
    Console().print(f"look at {found.files[-1]}", highlight=False, soft_wrap=True)
    return 0


def verify(run: Path, /) -> int:
    """Train again from the manifest and compare the state, bit by bit.

    Args:
        run: Folder of the run.
    """
    from jaxgen import runs

    report = runs.verify(run)
    Console().print(str(report), highlight=False, soft_wrap=True)
    return 0 if report.passed else 1


def list_experiments(arguments: Sequence[str]) -> int:
    """List the experiments."""
    table = Table("experiment", "what it does", box=None)
    for name in experiments.names():
        table.add_row(name, experiments.describe(name))
    Console().print(table)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; errors that the user can mend are told in one line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verbs = ["train", "resume", "sample", "evaluate", "compare", "verify", "list"]
    console = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        Console().print(__doc__, highlight=False, markup=False)
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    try:
        if verb == "train":
            return train(rest)
        if verb == "list":
            return list_experiments(rest)
        if verb in verbs:
            import tyro

            return tyro.cli(globals()[verb], args=rest, prog=f"jaxgen {verb}")
        raise ValueError(f"there is no command {verb!r}; {nearest(verb, verbs)}")
    except (ValueError, OSError, FloatingPointError) as error:
        console.print(f"jaxgen: {error}", highlight=False, markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:  # elsewhere than in the training loop, which saves first
        rest = "; the same command goes on from what is saved" if verb in ("train", "resume") else ""
        console.print(f"jaxgen: interrupted{rest}", highlight=False)
        return 130


if __name__ == "__main__":
    sys.exit(main())
