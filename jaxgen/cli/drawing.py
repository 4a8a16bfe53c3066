"""The command that draws samples: some of its flags are those of the run's own model."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxgen import runs
from jaxgen.cli import show
from jaxgen.cli.hosts import Hosts, among, by_first
from jaxgen.cli.parse import call_of, options_of, value_of
from jaxgen.core import sample_arguments


def sample(arguments: list[str]) -> int:
    """jaxgen sample RUN [--num N] [--seed N] [--first N] [--best] [--out FILE] [any option of the model's own]

    A run of an experiment outside jaxgen: jaxgen sample RUN --experiment FILE_OR_MODULE ...
    """
    if {"-h", "--help", "--help-all"} & {*arguments}:
        return _sample(arguments)
    # Known before the run's model is asked for its flags: processes must meet before anything of JAX.
    return by_first(among(arguments), lambda: _sample(arguments))


def _sample(arguments: list[str]) -> int:
    # The flags depend on the run: it is the word that names one.
    named = next((word for word in arguments if (Path(word) / "manifest.json").is_file()), None)
    given = value_of("--experiment", arguments)
    trained = None if named is None else runs.load_model(named, best="--best" in arguments, experiment=given)
    own = options_of({} if trained is None else sample_arguments(trained.model))
    fields, default = Annotated[own, tyro.conf.arg(name="")], own()

    def main(
        run: Path,
        /,
        num: int = 64,
        seed: int = 1,
        first: int = 0,
        best: bool = False,
        experiment: str | None = None,
        out: Path | None = None,
        hosts: Hosts = Hosts(),  # noqa: B008 (frozen)
        options: fields = default,  # pyright: ignore[reportInvalidTypeForm]
    ) -> int:
        """Draw samples and save them, or their picture.

        Args:
            run: Folder of the run.
            num: Number of samples.
            seed: Seed of the draws.
            first: Number of the first sample.
            best: Take the best checkpoint instead of the last.
            experiment: File or module of the run's experiment, where it is outside jaxgen.
            out: File of the samples (.npy, .npz, or .csv of a table) or of their picture (.png). None for a picture in
                the run's folder, and beside it a file with all: .npy if there are more than it shows, .csv of a table.
            hosts: Processes of which the first one draws, while the others wait for it.
        """
        del hosts  # they have met
        chosen = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
        drawn = runs.draw(
            run,
            num,
            seed=seed,
            first=first,
            best=best,
            experiment=experiment,
            out=out,
            trained=trained,
            progress=True,
            **chosen,
        )
        if drawn.file is not None:
            show.line(f"{num} samples in {drawn.file}")
        if drawn.picture is not None:
            show.line(f"look at {drawn.picture}")
        return 0

    if named is None:
        call = call_of(main, arguments, "jaxgen sample")
    else:
        call = call_of(main, arguments, f"jaxgen sample {named}", f"the model of {named} takes no")
    return 0 if call is None else call()
