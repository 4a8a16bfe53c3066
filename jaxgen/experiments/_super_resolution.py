"""Parts that super_resolution and super_resolution_mean share: the pictures, and the report on whole ones.

    picture = enlarged + residual,      residual ~ p(residual | enlarged, factor)

A model learns residuals of small patches; a whole picture of any size is restored in overlapping tiles that are blended
at every level of noise (`jaxgen.paths.tiles`), so that there are no seams.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from jaxgen import data, ddpm, evaluate, nn, plot, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, Split, Standardise, low_resolution
from jaxgen.data.low_resolution import Patches
from jaxgen.evaluate import distortion
from jaxgen.experiments import _restoration
from jaxgen.experiments._restoration import Restore
from jaxgen.optimizers import Adam, Cosine
from jaxgen.progress import counted
from jaxgen.rehearsal import rehearsing
from jaxgen.runs import Settings

Pictures: TypeAlias = Mapping[str, np.ndarray]
"""Luminance [h, w] uint8 by name."""

_FEW = 20  # pictures, of which none is held out whole
_EVERY = 20  # otherwise one of so many is held out
_HELD_OUT = 0.25  # share of the width that is held out of each of few pictures


@dataclass(frozen=True)
class Config(Settings):
    """Settings of the experiments with super-resolution.

    Args:
        data: Folder of pictures to learn from, PNG or JPEG, of any size; None for two photographs that scikit-learn
            carries.
        test: Folders of pictures to be restored at the end; none for a part of `data`, which is held out.
        factor: Factors by which pictures are enlarged; one network learns all of them.
        patches: Patches cut out of the pictures for training.
        size: Height and width of a patch, and of the tiles of which larger pictures are restored.
        overlap: Pixels that neighbouring tiles share.
        samples: Samples of each picture at the end; their mean is judged, too.
        sampler: Way from noise to a whole picture.
        model: Configuration of the diffusion model, whose network the regression shares.
    """

    at_hand = (*Settings.at_hand, "samples", "sampler", "overlap")
    paths: ClassVar[tuple[str, ...]] = ("data", "test")

    data: str | None = None
    test: tuple[str, ...] = ()
    factor: tuple[int, ...] = (2, 3, 4)
    patches: int = 40_000
    size: int = 48
    overlap: int = 12
    samples: int = 8
    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DPMSolver(10)
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(200),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=48, multipliers=(1, 2), attention=(), patch=2),
        condition={"low": nn.Concat(dropout=0.0), "factor": nn.Embed(dropout=0.0)},
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
    )
    steps: int = 6000
    batch_size: int = 16
    log_every: int = 50
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        self.require(patches=1, size=11, samples=1)
        require.sizes("factor", self.factor, 2, fewest=1)
        require.integer("overlap", self.overlap, 0, self.size - 1, "below size")
        if self.size % 4:
            raise ValueError(f"size must be a multiple of 4, for a network that halves it twice, got {self.size}")

    @abstractmethod
    def restore_for(self, model: GenerativeModel, spec: Spec) -> Restore:
        """The function that draws, or estimates, residuals of whole pictures.

        Args:
            model: The model.
            spec: Description of the patches that it has learned.
        """

    def enlarge(
        self,
        key: PRNGKey,
        model: GenerativeModel,
        spec: Spec,
        variables: Any,
        low: np.ndarray,
        factor: int,
        num: int = 1,
    ) -> np.ndarray:
        """Enlarge a small picture of any size.

        Args:
            key: Root of all draws.
            model: A model of this config.
            spec: Description of the patches that it has learned.
            variables: Its variables.
            low: The picture, luminance [l, m] uint8.
            factor: Factor of the enlargement, one of those that were learned.
            num: Number of samples, sample k the same for any number.

        Returns:
            Samples [num, factor l, factor m] in grey levels, 0 .. 255, float64.

        Raises:
            ValueError: Another factor, dtype or shape.
        """
        require.one_of("factor", factor, self.factor)
        if not isinstance(low, np.ndarray) or low.dtype != np.uint8 or low.ndim != 2:
            raise ValueError(f"low must be a uint8 array [l, m], got {getattr(low, 'dtype', type(low).__name__)}")
        restore = self.restore_for(model, spec)
        return _restoration.enlarged(
            restore, key, variables, low, factor, self.size, self.overlap, require.size("num", num)
        )[1]

    def pictures(self) -> tuple[dict[str, Pictures], Pictures, Pictures]:
        """Pictures to be restored by the name of their folder, those to learn from, and those to validate on."""
        train, valid, test = _parted(low_resolution.pictures(self.data), whole=bool(self.test))
        if not self.test:
            return {"held_out": test}, train, valid
        names = [Path(folder).name for folder in self.test]
        if len(set(names)) < len(names):
            raise ValueError(f"test must hold folders of different names, got {', '.join(names)}")
        return dict(zip(names, map(low_resolution.pictures, self.test), strict=True)), train, valid

    def dataset(self) -> Dataset:
        """Patches of the pictures: the residual is modelled, the enlarged picture and the factor are given."""
        tests, train, valid = self.pictures()
        test = {f"{folder}/{name}": y for folder, some in tests.items() for name, y in some.items()}

        def cut(of: Pictures, num: int, number: int, **options: Any) -> Patches:
            return low_resolution.patches(of, num, self.size, self.factor, seed=self.seed + number, **options)

        few = max(1, min(256, self.patches // 10))
        fixed: dict[str, Any] = {"shrinks": (1.0,), "turned": False}
        learned = cut(train, self.patches, 0)
        return data.from_arrays(
            learned.residual,
            fields={"low": learned.enlarged, "factor": learned.factor},
            num_values={"factor": max(self.factor) + 1},
            name="super_resolution",
            valid=_split(cut(valid, few, 1, **fixed)),
            test=_split(cut(test, few, 2, **fixed)),
            scale=Standardise(mean=0.0),
        )


def _parted(pictures: Pictures, whole: bool) -> tuple[Pictures, Pictures, Pictures]:
    """Pictures, or parts of them, to learn from, to validate on and to test on.

    Args:
        pictures: All of them.
        whole: Whether none is needed for testing.
    """
    names = list(pictures)
    if len(names) >= _FEW:
        valid = {name: pictures[name] for name in names[_EVERY // 4 :: _EVERY]}
        test = {} if whole else {name: pictures[name] for name in names[3 * _EVERY // 4 :: _EVERY]}
        return {name: y for name, y in pictures.items() if name not in valid and name not in test}, valid, test
    where = {name: round(y.shape[1] * (1 - _HELD_OUT)) for name, y in pictures.items()}
    left = {name: y[:, : where[name]] for name, y in pictures.items()}
    right = {name: y[:, where[name] :] for name, y in pictures.items()}
    if whole:
        return left, right, {}
    return (
        left,
        {name: y[: len(y) // 2] for name, y in right.items()},
        {name: y[len(y) // 2 :] for name, y in right.items()},
    )


def _split(of: Patches) -> Split:
    return Split(of.residual, fields={"low": of.enlarged, "factor": of.factor})


def report(
    config: Config, restore: Restore, key: PRNGKey, variables: Any, numbers: Mapping[str, int]
) -> dict[str, Estimate]:
    """Measures of all pictures of all test folders: mean and standard error over the pictures of a folder.

    Args:
        config: The experiment's config.
        restore: Function that draws residuals.
        key: Root of all draws.
        variables: Variables of the model.
        numbers: Numbers of samples whose mean is judged, by name.
    """
    found: dict[str, list[float]] = {}
    todo = [
        (folder, factor, y)
        for folder, some in config.pictures()[0].items()
        for factor in config.factor
        for y in some.values()
    ]
    if rehearsing():  # one picture shows what the others would
        todo = todo[:1]
    for folder, factor, y in counted(todo, "pictures", len(todo)):
        num = max(numbers.values())
        original, base, x = _restoration.restored(restore, key, variables, y, factor, config.size, config.overlap, num)
        estimates = {"bicubic": base.astype(np.float64), **{name: x[:k].mean(axis=0) for name, k in numbers.items()}}
        for name, estimate in estimates.items():
            # Between one sample and all of them, the two ends of the trade-off are enough.
            between = name not in ("bicubic", *list(numbers)[:1], *list(numbers)[-1:])
            for measure, value in _restoration.judged(estimate, original, factor).items():
                if between and measure not in ("psnr", "spectral_distance"):
                    continue
                found.setdefault(f"{folder}/x{factor}/{name}/{measure}", []).append(value)
    return {
        name: evaluate.estimate(np.array(values), _restoration.UNITS[name.rpartition("/")[2]])
        for name, values in found.items()
    }


def shown(config: Config) -> tuple[str, np.ndarray]:
    """The picture that is drawn: the smallest one of the first folder, whose middle is cut out if it is large."""
    some = next(iter(config.pictures()[0].values()))
    name = min(some, key=lambda name: some[name].size)
    y = some[name]
    most = 4 * config.size
    top, left = (max(0, (n - most) // 2) for n in y.shape)
    return Path(name).stem, y[top : top + most, left : left + most]


def compared(
    config: Config, restore: Restore, key: PRNGKey, state: Any, num: int, estimates: Callable[[np.ndarray], Any]
) -> Any:
    """A figure of one picture: bicubic, as a model restores it, and the original, with the PSNR of each.

    Args:
        config: The experiment's config.
        restore: Function that draws residuals.
        key: Root of all draws.
        state: State of the model.
        num: Number of samples.
        estimates: (samples [num, h, w]) -> estimates [h, w] by name.
    """
    name, y = shown(config)
    factor = config.factor[-1]
    original, base, x = _restoration.restored(
        restore, key, state.variables, y, factor, config.size, config.overlap, num
    )
    seen = {"bicubic": base.astype(np.float64), **estimates(x)}
    said = {f"{n}: {distortion.psnr(v, original, border=factor):.2f} dB": v for n, v in seen.items()}
    return plot.photographs(
        {n: v / 255 for n, v in {**said, "original": original}.items()},
        title=f"{name}, x {factor}, after {int(state.step)} steps (PSNR of the luminance)",
    )
