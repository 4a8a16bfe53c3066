"""What every experiment lets its user set, and what an experiment is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxgen.core import Estimate, GenerativeModel, PRNGKey


class Experiment(NamedTuple):
    """A model and its data, ready to be trained.

    Attributes:
        model: The model.
        dataset: The data, see `jaxgen.data.Dataset`.
        evaluate: (key, state, split) -> estimates by name, for a `jaxgen.data.Split`; quick, for every checkpoint.
        picture: (key, state) -> a figure of what the model does.
        samples: (samples, title) -> a figure of samples.
        report: The same for the end of the run and `jaxgen evaluate`, where it may take its time; None for
            `evaluate`.
        best: Name of the estimate on the validation split whose smallest value marks the best checkpoint.
        sampling: Options of the model's `sample` where thousands are drawn to be measured, a faster sampler say.
        film: (samples by moment, title) -> a figure of how the samples of one key changed over the run; drawn at the
            end from the moments at which pictures were taken. None for no film.
        film_samples: Samples per moment.
        levels: By metric, the name and height of a line that its curve is held against.
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
    pictures: Mapping[str, Callable[[PRNGKey, Any], Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Settings(ABC):
    """Settings that every experiment shares; an experiment's Config adds its own and builds it.

    Args:
        seed: Seed of everything random: initial parameters, order of the data, noise.
        steps: Training steps.
        batch_size: Examples per step, over all devices.
        devices: Number of devices to train on.
        log_every: Steps per record of the metrics.
        checkpoint_every: Steps between checkpoints, each with an evaluation on the validation split.
        picture_every: Steps between pictures; 0 for one at the end only.
        keep: How many of the latest checkpoints to keep, the best besides.

    Raises:
        ValueError: A number that is no integer, or below what makes sense.
    """

    seed: int = 0
    steps: int = 1000
    batch_size: int = 128
    devices: int = 1
    log_every: int = 50
    checkpoint_every: int = 500
    picture_every: int = 0
    keep: int = 3

    def __post_init__(self):
        self.require(seed=0, steps=1, batch_size=1, devices=1, log_every=1, checkpoint_every=1, picture_every=0, keep=1)

    def require(self, **least: int) -> None:
        """Raise ValueError unless these fields are integers of at least so much."""
        for name, lowest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise ValueError(f"{name} must be an integer of at least {lowest}, got {value!r}")

    @abstractmethod
    def build(self) -> Experiment:
        """The experiment that this config describes."""
