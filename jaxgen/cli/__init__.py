"""The command line: `jaxgen train | resume | sample | evaluate | compare | gallery | verify | compress | decompress |
list | new`.

    jaxgen train EXPERIMENT [--run DIR] [--from RUN] [--profile] [--seed N] [any field of its config]
    jaxgen resume RUN [--steps N]           go on after Ctrl-C, a kill, a power cut
    jaxgen sample RUN [--num N] [--out samples.npz] [any option of the model's own]
    jaxgen evaluate RUN [--split test] [--fidelity]
    jaxgen compare RUN RUN ... [--seeds]    a table, a picture and a page; mean and spread over seeds
    jaxgen gallery RUN RUN ...              a page with the pictures, figures and settings of runs
    jaxgen verify RUN                       train again and compare, bit by bit
    jaxgen compress RUN IMAGES -o FILE      images in as few bits as a VAE or a diffusion model can, without loss
    jaxgen decompress FILE RUN -o FOLDER    and back
    jaxgen list                             the experiments
    jaxgen new NAME                         write NAME.py, an experiment of your own
    jaxgen COMMAND --help, jaxgen --version

EXPERIMENT is one of `jaxgen list`, a file that ends in .py, or a module, my_package.my_module. A run of these two is
used with --experiment FILE_OR_MODULE: no code is imported because something in a run's folder names it.
With JAXGEN_COMPILATION_CACHE=1 in the environment, compiled programs are kept for the next command.
Errors are told in one line; with JAXGEN_TRACEBACK=1 in the environment a traceback stands before it.
Every field of an experiment's config is a flag. Whatever is done here can be done from Python with `jaxgen.runs`.
"""

# All imports happen inside `main`, where an interruption is caught.
import sys

VERBS = (
    *("train", "resume", "sample", "evaluate", "compare", "gallery", "verify"),
    *("compress", "decompress", "list", "new"),
)


def train(arguments: list[str]) -> int:
    """jaxgen train EXPERIMENT [--run DIR] [--from RUN] [--profile] [--seed N] [any field of its config]"""
    from pathlib import Path
    from typing import Annotated

    import tyro

    from jaxgen import experiments, runs
    from jaxgen.cli import show
    from jaxgen.cli.hosts import Hosts, joined
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
    if name not in experiments.names() and runs.outside.is_meant(name):
        kind = runs.outside.load(name)
        for flag in ("run", "profile", "hosts"):
            if flag in kind.__dataclass_fields__:
                raise ValueError(f"{name}: no field of Config can be named {flag}, which is a flag of jaxgen train")
        text, folder = runs.outside.describe(kind), Path(name).stem if name.endswith(".py") else name.rpartition(".")[2]
    else:
        kind, text, folder = experiments.find(name).Config, experiments.describe(name), name

    # An empty name: the fields of the config are flags of their own, --steps and not --config.steps.
    fields, default = Annotated[kind, tyro.conf.arg(name="")], kind()

    other_run = Annotated[Path | None, tyro.conf.arg(name="from")]

    def main(
        run: Path = Path("runs") / folder,
        start: other_run = None,  # pyright: ignore[reportInvalidTypeForm]
        profile: bool = False,
        hosts: Hosts = Hosts(),  # noqa: B008 (frozen)
        config: fields = default,  # pyright: ignore[reportInvalidTypeForm]
    ) -> int:
        with joined(hosts):
            code = show.outcome(runs.train(config, run, start=start, profile=profile))
            if profile and code == 0:
                show.line(f"trace in {run / 'profile'}: tensorboard --logdir {run / 'profile'}, or ui.perfetto.dev")
            return code

    main.__doc__ = f"""{text}

    Fields of choices that are not the default: --help-all.

    Args:
        run: Folder of the run; if it holds this very run already, training goes on.
        start: Folder of another run, from whose last state a new one starts.
        profile: Write a trace of some steps, for TensorBoard's profiler and Perfetto, into profile/ of the run.
        hosts: Processes that train together.
    """
    call = call_of(main, rest, f"jaxgen train {name}")
    return 0 if call is None else call()


def list_experiments(arguments: list[str]) -> int:
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
    print("\nand your own: jaxgen new NAME writes NAME.py, jaxgen train NAME.py trains it")
    return 0


def new(arguments: list[str]) -> int:
    """jaxgen new NAME: write NAME.py, a commented experiment of your own that trains at once."""
    from jaxgen import experiments
    from jaxgen.cli import show

    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        if arguments in (["-h"], ["--help"]):
            print(f"usage: {new.__doc__}")
            return 0
        raise ValueError(f"new needs one name, got {' '.join(arguments) or 'nothing'}")
    file = experiments.write_template(arguments[0])
    show.line(f"{file} is written; train it with: jaxgen train {file}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what goes wrong is told in one line.

    Args:
        arguments: The command and its flags. None for those of this process, which is then left at once where a signal
            ended the command: threads of XLA that still compile would crash it on the usual way out.

    Returns:
        The exit code: 0; 1 for a fault of jaxgen's own, or a run that is not verified; 2 for what the user can mend;
        128 and the number of the signal that ended the command.
    """
    code = _told(sys.argv[1:] if arguments is None else list(arguments), alone=arguments is None)
    if arguments is None:
        from jaxgen.cli import process

        process.leave(code)
    return code


def _told(arguments: list[str], alone: bool) -> int:
    """The exit code of a command; what it raises becomes a line on stderr."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    try:
        import jaxgen
        from jaxgen.cli import process

        if alone:
            process.speak_plainly()
            process.insist()
        if verb in ("-h", "--help"):
            print(__doc__)
            return 0 if arguments else 2
        if verb == "--version":
            print(f"jaxgen {jaxgen.__version__}")
            return 0
        if alone:
            process.import_all()
            process.keep_programs()
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
    from jaxgen.cli import verbs
    from jaxgen.cli.drawing import sample
    from jaxgen.cli.parse import call_of
    from jaxgen.spelling import nearest

    if verb not in VERBS:
        raise ValueError(f"there is no command {verb!r}; {nearest(verb, list(VERBS))}")
    own = {"train": train, "sample": sample, "list": list_experiments, "new": new}  # they read their words themselves
    if verb in own:
        return own[verb](rest)
    call = call_of(getattr(verbs, verb), rest, f"jaxgen {verb}")
    return 0 if call is None else call()
