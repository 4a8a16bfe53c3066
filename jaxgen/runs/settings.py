"""Settings that every experiment has, and the parts of an experiment."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from jaxgen import data, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.runs import pictures
from jaxgen.runs.config import to_json
from jaxgen.runs.names import home_of
from jaxgen.train.fit import INIT

# Folded into the root key for what is not a step; like INIT, out of the reach of step numbers.
EVALUATE, PICTURE = INIT - 1, INIT - 2


class Experiment(NamedTuple):
    """A model and its data, ready to be trained.

    Attributes:
        model: The model.
        dataset: The data, see `jaxgen.data.Dataset`.
        evaluate: (key, variables, split) -> estimates by name, for a `jaxgen.data.Split`; quick, for every checkpoint.
        picture: (key, state) -> a figure of what the model does.
        samples: (samples, title) -> a figure of samples.
        report: The same for the end of the run and `jaxgen evaluate`, where it may take its time; None for
            `evaluate`.
        best: Name of the estimate on the validation split whose smallest value marks the best checkpoint.
        sampling: Options of the model's `sample` where thousands are drawn to be measured, such as a faster sampler.
        film: (samples by moment, title) -> a figure of how the samples of one key changed over the run; drawn at the
            end from the moments at which pictures were taken. None for no film.
        film_samples: Samples per moment.
        levels: By metric, the name and height of a line that its curve is held against.
        beside: By estimate, the training metric whose panel of the curves it shares where the names differ.
        pictures: Further pictures at the end, by file name: (key, state) -> a figure.
    """

    model: GenerativeModel
    dataset: Any
    evaluate: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]]
    picture: Callable[[PRNGKey, Any], Any]
    samples: Callable[[Any, str], Any]
    report: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]] | None = None
    best: str | None = None
    sampling: Mapping[str, Any] = MappingProxyType({})
    film: Callable[[Mapping[str, Any], str], Any] | None = None
    film_samples: int = 10
    levels: Mapping[str, tuple[str, float]] = MappingProxyType({})
    beside: Mapping[str, str] = MappingProxyType({})
    pictures: Mapping[str, Callable[[PRNGKey, Any], Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Settings(ABC):
    """Settings that every experiment shares; an experiment's Config adds its own and builds it.

    Args:
        seed: Seed of everything random: initial parameters, order of the data, noise; 0 .. 2^32 - 1.
        steps: Training steps.
        batch_size: Examples per step, over all devices. The experiment's own number becomes smaller where there are
            fewer examples; another number is then refused.
        devices: Number of devices to train on.
        shard_state: Whether parameters, their average and the optimizer's memory are divided among the devices, so that
            each holds a part of them.
        log_every: Steps per record of the metrics.
        checkpoint_every: Steps between checkpoints; where the experiment names what is best, each evaluates
            the validation split.
        picture_every: Steps between pictures; 0 for one at the end only.
        keep: How many of the latest checkpoints to keep, the best besides.

    Raises:
        ValueError: A number that is no integer or out of its range, or a field of another kind.
    """

    at_hand: ClassVar[tuple[str, ...]] = (
        "devices",
        "shard_state",
        "log_every",
        "checkpoint_every",
        "picture_every",
        "keep",
    )
    """Fields that change no bit of what is learned, but for the order of sums on another number of devices. They belong
    to the machine at hand and may change in a run; an experiment adds those that only its report needs."""

    paths: ClassVar[tuple[str, ...]] = ("data",)
    """Fields that may hold the path of data, or a tuple of them."""

    seed: int = 0
    steps: int = 1000
    batch_size: int = 128
    devices: int = 1
    shard_state: bool = False
    log_every: int = 50
    checkpoint_every: int = 500
    picture_every: int = 0
    keep: int = 3

    def __post_init__(self):
        require.seed("seed", self.seed)
        self.require(steps=1, batch_size=1, devices=1, log_every=1, checkpoint_every=1, picture_every=0, keep=1)
        require.fields(self)  # of every experiment's own fields the kind

    def require(self, **least: int) -> None:
        """Raise ValueError unless these fields are integers of at least so much (and at most what int32 holds)."""
        for name, lowest in least.items():
            require.size(name, getattr(self, name), lowest)

    def fitted(self, name: str, most: int, of: str) -> int:
        """The number in a field, at most `most` where it is the experiment's own: a default suits any data.

        Args:
            name: Name of the field.
            most: The largest number that the data allow.
            of: Noun for the things that are counted.

        Raises:
            ValueError: Another number than the experiment's own, and more than the data allow.
        """
        value = getattr(self, name)
        if value > most and value != getattr(type(self), name):
            raise ValueError(f"{name} must be at most {most}, {of}, got {value}")
        return min(value, most)

    @property
    def batch_unit(self) -> int:
        """A divisor of every batch: the number of parts that are trained on apart, say."""
        return 1

    def batch_size_for(self, num: int) -> int:
        """Examples per step of `num`: `batch_size`, which the batches refuse if it is more.

        The experiment's own number, where it does not fit, becomes the largest `batch_unit` times a power of two that
        does. It does not depend on the devices, so that a run stays the same on any number of them.

        Args:
            num: Examples to train on.
        """
        own = self.batch_size == type(self).batch_size
        if not own or (self.batch_size <= num and self.batch_size % self.batch_unit == 0):
            return self.batch_size
        times = min(num, self.batch_size) // self.batch_unit
        return self.batch_unit * 2 ** (times.bit_length() - 1) if times else self.batch_size

    def located(self) -> "Settings":
        """The same config with absolute paths, so that it means the same data in every folder."""

        def found(path: Any) -> Any:
            if isinstance(path, tuple):
                return tuple(found(each) for each in path)
            return data.located(path) if isinstance(path, str) else path

        return replace(self, **{name: found(getattr(self, name)) for name in self.paths if hasattr(self, name)})

    def described(self) -> dict[str, Any]:
        """The config as JSON, as it stands in a manifest."""
        return to_json(self.located(), home_of(type(self)))

    @abstractmethod
    def build(self) -> Experiment:
        """The experiment that this config describes."""

    def model_for(self, spec: Spec) -> GenerativeModel | None:
        """The model for data of this kind: all that sampling needs. `init` may lack what the data alone can tell.

        Args:
            spec: Description of the data.

        Returns:
            The model. None, where an experiment does not say it: samples are then drawn through `build`, which needs
            the data.
        """
        return None

    def samples_figure(self, spec: Spec, x: Any, title: str) -> Any:
        """A figure of samples where the data are not at hand; `Experiment.samples` where they are.

        Args:
            spec: Description of the data.
            x: Samples [num, *event].
            title: Title of the figure.
        """
        return pictures.examples({"samples" if spec.event_shape == (2,) else "": x}, spec, title=title)
