"""The commands whose flags are the same for every run: their arguments are the flags, their docstrings the help."""

import warnings
from pathlib import Path
from typing import Annotated

import tyro

from jaxgen.cli.hosts import Hosts, by_first, joined

Several = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
"""A flag that may be given more than once."""

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
"""The place of a result, --out or -o."""


def resume(
    run: Path,
    /,
    steps: int | None = None,
    devices: int | None = None,
    shard_state: bool | None = None,
    data: str | None = None,
    experiment: str | None = None,
    accept_changed: bool = False,
    hosts: Hosts = Hosts(),  # noqa: B008 (frozen)
) -> int:
    """Go on with a run from its last checkpoint.

    Args:
        run: Folder of the run.
        steps: Steps of the whole run, if it is to last longer than it was meant to.
        devices: Number of devices from now on.
        shard_state: Whether the devices share parameters and optimizer from now on.
        data: Place of the data, if they have moved.
        experiment: File or module of the run's experiment, where it is outside jaxgen.
        accept_changed: Go on though the text of the experiment has changed; the manifest keeps which steps had which.
        hosts: Processes that train together from now on, as many as you like.
    """
    from jaxgen import runs
    from jaxgen.cli import show

    given = {"steps": steps, "devices": devices, "shard_state": shard_state, "data": data, "experiment": experiment}
    given |= {"accept_changed": accept_changed or None}
    with joined(hosts):
        return show.outcome(runs.resume(run, **{name: value for name, value in given.items() if value is not None}))


def evaluate(
    run: Path,
    /,
    split: str = "test",
    best: bool = False,
    fidelity: bool = False,
    num: int | None = None,
    seed: int = 0,
    experiment: str | None = None,
    hosts: Hosts = Hosts(),  # noqa: B008 (frozen)
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
        experiment: File or module of the run's experiment, where it is outside jaxgen.
        hosts: Processes of which the first one evaluates, while the others wait for it.
    """
    from rich.console import Console

    from jaxgen import runs
    from jaxgen.cli import show
    from jaxgen.evaluate import FewSamplesWarning

    if not fidelity and (num is not None or seed):
        raise ValueError(f"--num and --seed go with --fidelity, got num={num}, seed={seed}")

    def evaluated() -> int:
        if not fidelity:
            results = runs.evaluate(run, split=split, best=best, experiment=experiment, progress=True)
            Console().print(show.results({split: results}, f"{run.name}: mean ± standard error over examples"))
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewSamplesWarning)  # printed below
            found = runs.fidelity(run, num, seed=seed, best=best, split=split, experiment=experiment, progress=True)
        show.fidelity(found, run.name)
        return 0

    return by_first(hosts, evaluated)


def compare(
    runs: tuple[Path, ...],
    /,
    num: int | None = None,
    seed: int = 0,
    best: bool = False,
    split: str = "test",
    seeds: bool = False,
    experiment: Several = (),
    out: Path = Path("comparison"),
) -> int:
    """Compare the samples of runs on the same data: a table, a picture and a page.

    Args:
        runs: Folders of the runs.
        num: How many samples of each; as many as there are to compare with unless given, 10,000 at most. With
            --seeds, 0 compares what the runs reported alone.
        seed: Seed of the samples.
        best: Take the best checkpoints instead of the last.
        split: Images to compare with: "test", "valid" or "train".
        seeds: Take runs together that differ in nothing but the seed: mean, standard error and standard deviation of
            what is measured and of what the runs reported at their end.
        experiment: File or module of an experiment outside jaxgen that runs are of; once for each.
        out: Folder of comparison.txt, comparison.png and comparison.html.
    """
    from jaxgen import runs as module
    from jaxgen.cli import show

    found = module.compare(runs, num, seed=seed, best=best, split=split, seeds=seeds, experiment=experiment, out=out)
    show.line(found.text)
    show.line(f"look at {found.files[-1]}")
    return 0


def gallery(runs: tuple[Path, ...], /, out: Path = Path("gallery.html"), title: str | None = None) -> int:
    """Write a page with the pictures, figures and settings of runs.

    Args:
        runs: Folders of the runs, in the order of the page.
        out: The page, an HTML file that holds its pictures.
        title: Title of the page; the names of the runs unless given.
    """
    from jaxgen import runs as module
    from jaxgen.cli import show

    show.line(f"look at {module.gallery(runs, out=out, title=title)}")
    return 0


def verify(
    run: Path,
    /,
    experiment: str | None = None,
    accept_changed: bool = False,
    hosts: Hosts = Hosts(),  # noqa: B008 (frozen)
) -> int:
    """Train again from the manifest and compare the state, bit by bit.

    Args:
        run: Folder of the run.
        experiment: File or module of the run's experiment, where it is outside jaxgen.
        accept_changed: Train with the text that the experiment has by now; the report says that it is another.
        hosts: Processes that train together: as many as the run had, to compare to the bit.
    """
    from jaxgen import runs
    from jaxgen.cli import show

    with joined(hosts):
        report = runs.verify(run, experiment=experiment, accept_changed=accept_changed)
        show.report(report)
        return report.code


def compress(
    run: Path,
    images: tuple[Path, ...] = (),
    /,
    *,
    out: Out,
    split: str | None = None,
    levels: int | None = None,
    best: bool = False,
    experiment: str | None = None,
) -> int:
    """Compress images without loss with the model of a run: a VAE, or a diffusion model.

    Args:
        run: Folder of the run.
        images: Pictures (PNG, JPEG), arrays (.npy, .npz with x) or folders of pictures, like the run's data.
        out: The compressed file.
        split: Split of the run's data, "test" say, in the place of images.
        levels: Levels of a diffusion model's chain, at even distances; all of them unless given.
        best: Take the best checkpoint instead of the last.
        experiment: File or module of the run's experiment, where it is outside jaxgen.
    """
    from jaxgen import runs
    from jaxgen.cli import show

    found = runs.compress(
        run, images, out=out, split=split, num_levels=levels, best=best, experiment=experiment, progress=True
    )
    show.line(
        f"{found.num} images in {out}: {found.size:,} bytes, {found.bits_per_dim:.4f} bits/dim; of these "
        f"{found.header:,} bytes for header and checksums and {found.initial:,} to begin with: "
        f"{found.net_bits_per_dim:.4f} bits/dim without them"
    )
    return 0


def decompress(file: Path, run: Path, /, *, out: Out, best: bool = False, experiment: str | None = None) -> int:
    """Decompress what a run's model compressed; another model or a damaged file is refused.

    Args:
        file: The compressed file.
        run: Folder of the run that it was compressed with.
        out: Folder for the images as PNG, or a file of all (.npy).
        best: Take the best checkpoint instead of the last.
        experiment: File or module of the run's experiment, where it is outside jaxgen.
    """
    from jaxgen import runs
    from jaxgen.cli import show

    num = runs.decompress(file, run, out=out, best=best, experiment=experiment, progress=True)
    show.line(f"{num} images in {out}")
    return 0
