"""The command line: `jaxgen train | resume | sample | evaluate | compare | verify | list`.

    jaxgen train EXPERIMENT [--run DIR] [--seed N] [--steps N] [any field of its config]
    jaxgen resume RUN                       go on after Ctrl-C, a kill, a power cut
    jaxgen sample RUN [--num N] [--out samples.npz] [any option of the model's own]
    jaxgen evaluate RUN [--split test] [--fidelity]
    jaxgen compare RUN RUN ...              a table, a picture and a page
    jaxgen verify RUN                       train again and compare, bit by bit
    jaxgen list                             the experiments
    jaxgen COMMAND --help, jaxgen --version

Every field of an experiment's config is a flag. Whatever is done here can be done from Python with `jaxgen.runs`.
"""

# Nothing heavy here: the command's own imports happen where an interruption is caught.
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import jaxgen
from jaxgen.cli import process

VERBS = ("train", "resume", "sample", "evaluate", "compare", "verify", "list")


def train(arguments: Sequence[str]) -> int:
    """jaxgen train EXPERIMENT [--run DIR] [--seed N] [--steps N] [any field of its config]"""
    import tyro

    from jaxgen import experiments, runs
    from jaxgen.cli import show
    from jaxgen.cli.parse import call_of

    if arguments and arguments[0] in ("-h", "--help", "--help-all"):
        print(f"usage: {train.__doc__}\n")
        return list_experiments([])
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(
            f"train needs the name of an experiment before its flags, got {' '.join(arguments) or 'nothing'}; "
            f"there are {', '.join(experiments.names())}"
        )
    name, rest = arguments[0], list(arguments[1:])
    module = experiments.find(name)

    # An empty name: the fields of the config are flags of their own, --steps and not --config.steps.
    fields, default = Annotated[module.Config, tyro.conf.arg(name="")], module.Config()

    def main(run: Path = Path("runs") / name, config: fields = default) -> int:  # pyright: ignore
        return show.outcome(runs.train(config, run))

    main.__doc__ = f"""{experiments.describe(name)}

    Fields of choices that are not the default: --help-all.

    Args:
        run: Folder of the run; if it holds this very run already, training goes on.
    """
    call = call_of(main, rest, f"jaxgen train {name}")
    return 0 if call is None else call()


def resume(run: Path, /) -> int:
    """Go on with a run from its last checkpoint.

    Args:
        run: Folder of the run.
    """
    from jaxgen import runs
    from jaxgen.cli import show

    return show.outcome(runs.resume(run))


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
    from jaxgen.cli import show
    from jaxgen.train.progress import activity

    runs.RunFolder(run)  # is there one, before anything is said to be done
    with activity(f"{num} samples"):
        _, path = runs.sample(run, num, seed=seed, first=first, best=best)
    show.line(f"look at {path}")
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
        seed: Seed of the samples, with --fidelity.
    """
    from rich.console import Console

    from jaxgen import runs
    from jaxgen.cli import show
    from jaxgen.evaluate import FewSamplesWarning
    from jaxgen.train.progress import activity

    runs.RunFolder(run)  # is there one, before anything is said to be done
    if not fidelity:
        if num is not None or seed:
            raise ValueError(f"--num and --seed go with --fidelity, got num={num}, seed={seed}")
        with activity(f"report on the {split} split"):
            results = runs.evaluate(run, split=split, best=best)
        Console().print(show.results({split: results}, f"{run.name}: mean ± standard error over examples"))
        return 0
    with warnings.catch_warnings(), activity(f"samples beside the {split} split"):
        warnings.simplefilter("ignore", FewSamplesWarning)  # printed below
        found = runs.fidelity(run, num, seed=seed, best=best, split=split)
    show.fidelity(found, run.name)
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
        seed: Seed of the samples.
        best: Take the best checkpoints instead of the last.
        split: What to compare with: "test", "valid" or "train".
        out: Folder of comparison.txt, comparison.png and comparison.html.
    """
    from jaxgen import runs as module
    from jaxgen.cli import show

    found = module.compare(runs, num, seed=seed, best=best, split=split, out=out)
    show.line(found.text)
    show.line(f"look at {found.files[-1]}")
    return 0


def verify(run: Path, /) -> int:
    """Train again from the manifest and compare the state, bit by bit.

    Args:
        run: Folder of the run.
    """
    from jaxgen import runs
    from jaxgen.cli import show

    report = runs.verify(run)
    show.line(str(report))
    return 0 if report.passed else 1


def list_experiments(arguments: Sequence[str]) -> int:
    """List the experiments."""
    from rich.console import Console
    from rich.table import Table

    from jaxgen import experiments

    if arguments and arguments[0] not in ("-h", "--help"):
        raise ValueError(f"list takes no arguments, got {' '.join(arguments)}")
    table = Table("experiment", "what it does", box=None)
    for name in experiments.names():
        table.add_row(name, experiments.describe(name))
    Console().print(table)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what goes wrong is told in one line.

    Args:
        arguments: The command and its flags. None for those of this process, which is then left at once where a signal
            ended the command: threads of XLA that still compile would crash it on the usual way out.

    Returns:
        The exit code: 0; 1 for a fault of jaxgen's own, or a run that is not verified; 2 for what the user can mend;
        128 and the number of the signal that ended the command.
    """
    if arguments is not None:
        return _told(list(arguments), lambda: None)
    process.speak_plainly()
    return process.leave(_told(sys.argv[1:], process.import_all))


def _told(arguments: list[str], prepare: Callable[[], None]) -> int:
    """The exit code of a command; what it raises becomes a line on stderr."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    try:
        if verb in ("-h", "--help"):
            print(__doc__)
            return 0 if arguments else 2
        if verb == "--version":
            print(f"jaxgen {jaxgen.__version__}")
            return 0
        prepare()
        return _command(verb, rest)
    except SystemExit as end:  # of rich, where nobody reads any more
        return end.code if isinstance(end.code, int) else 2
    except BrokenPipeError:
        return 141
    except KeyboardInterrupt:  # elsewhere than in the training loop, which saves first
        goes_on = "; the same command goes on from what is saved" if verb in ("train", "resume") else ""
        print(f"jaxgen: interrupted{goes_on}", file=sys.stderr)
        return 130
    except Exception as error:
        from jaxgen.cli.failures import explained

        code, line = explained(error)
        print(f"jaxgen: {line}", file=sys.stderr)
        return code


def _command(verb: str, rest: list[str]) -> int:
    from jaxgen.cli.parse import call_of
    from jaxgen.runs.config import nearest

    if verb not in VERBS:
        raise ValueError(f"there is no command {verb!r}; {nearest(verb, list(VERBS))}")
    if verb in ("train", "list"):
        return train(rest) if verb == "train" else list_experiments(rest)
    call = call_of(globals()[verb], rest, f"jaxgen {verb}")
    return 0 if call is None else call()
