"""Missing pixels of Gaussian random fields: a diffusion model that is given the mask, beside the exact conditional."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, ddpm, evaluate, plot, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, PowerLaw, RandomField, Split, Standardise, masks
from jaxgen.experiments import _ddpm, _exact, _missing
from jaxgen.experiments._gated import Gated
from jaxgen.experiments._modulated import Modulated
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import rehearsing
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of missing_pixels.

    Args:
        field: The random field that pictures are drawn from.
        num: Pictures drawn for training; 200 for validation and as many for testing besides.
        cases: Test pictures for which samples are compared with the exact conditional.
        samples: Draws for each of them.
        levels: Levels that inpainting without a mask visits.
        repeats: How often it goes down each stretch.
        jump: Levels of a stretch.
        model: Configuration of the diffusion model; `network` stands in the place of its network.
        network: Sizes of the network.
    """

    at_hand = (*Settings.at_hand, "cases", "samples", "levels", "repeats", "jump")

    field: RandomField = RandomField((8, 8), spectrum=PowerLaw(0.4, 0.1, 3.0))
    num: int = 40_000
    cases: int = 24
    samples: int = 64
    levels: int = 100
    repeats: int = 5
    jump: int = 1
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(100),
        prediction=ddpm.V(),
        condition=_missing.CONDITION,
        optimizer=Adam(4e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.995,
    )
    network: Gated | Modulated = Gated()
    steps: int = 2000
    batch_size: int = 128
    log_every: int = 100
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        self.require(num=1, cases=4, samples=2, levels=1, repeats=1, jump=1)
        require.fields(self)
        if len(self.field.shape) != 2:
            raise ValueError(f"field.shape must have two axes, those of a picture, got {self.field.shape}")

    def dataset(self) -> Dataset:
        """Pictures with a mask for each, of every kind in turn, drawn from the seed."""
        root = jax.random.key(self.seed, impl="threefry2x32")

        def drawn(i: int, num: int) -> Split:
            key_x, key_masks = jax.random.split(jax.random.fold_in(root, i))
            x = np.asarray(self.field.sample(key_x, num))
            return Split(x, fields=_missing.fields(key_masks, x))

        train, valid, test = (drawn(i, num) for i, num in enumerate((self.num, 200, 200)))
        options: dict[str, Any] = {"valid": valid, "test": test, "name": "field_in_part"}
        return data.from_arrays(train.x, fields=train.fields, scale=Standardise(), **options)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _exact.model(self.model, self.network, spec, self.steps)

    def exact(self, x: np.ndarray, seen: np.ndarray) -> data.Gaussian:
        """The distribution of the missing pixels of one picture, in the order of `x.reshape(-1)`."""
        prior = data.Gaussian(np.zeros(x.size), self.field.covariance())
        known = np.flatnonzero(seen)
        return data.conditioned(prior, known, x.reshape(-1)[known])

    def build(self) -> Experiment:
        dataset = self.dataset()
        model, spec, test = self.model_for(dataset.spec), dataset.spec, dataset.test
        ways = {
            "given_mask": _missing.conditional(model, spec, ddpm.DPMSolver(None)),
            "replacement": _missing.replaced(model, spec, self.levels, 1, 1),
            f"repeated_{self.repeats}": _missing.replaced(model, spec, self.levels, self.repeats, self.jump),
        }

        def cases(num: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
            """Test pictures of which something is missing, with their masks."""
            for case in range(min(num, len(test))):
                if not test.fields["seen"][case].all():
                    yield case, test.x[case], test.fields["seen"][case]

        def drawn(
            complete: Callable, key: PRNGKey, variables: Any, case: int, x: np.ndarray, seen: np.ndarray
        ) -> np.ndarray:
            some = (np.repeat(each[None], self.samples, axis=0) for each in (x, seen))
            return complete(jax.random.fold_in(key, case), variables, *some)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _ddpm.estimates(model, dataset)(key, variables, split)
            return found | compared(key, variables) if split is test else found

        def compared(key: PRNGKey, variables: Any) -> dict[str, Estimate]:
            """Samples of each way beside the exact conditional, over all masks and by their kind."""
            found = {}
            for name, complete in ways.items():
                agreed: dict[int, list[Any]] = {i: [] for i in range(len(masks.KINDS))}
                for case, x, seen in cases(self.cases):
                    flat = drawn(complete, key, variables, case, x, seen).reshape(self.samples, -1)
                    if not rehearsing():
                        exact = self.exact(x, seen)
                        missing = flat[:, ~seen.reshape(-1)]
                        agreed[case % len(masks.KINDS)].append(evaluate.gaussian_agreement(missing, *exact))
                    elif case:
                        break  # one case shows what the others would
                if rehearsing():
                    continue
                # Where nothing is seen, there is nothing that could be replaced.
                kinds = {kind.__name__: agreed[i] for i, kind in enumerate(masks.KINDS) if agreed[i]}
                masked = {kind: some for kind, some in kinds.items() if kind != masks.nothing.__name__}
                groups = {"": [each for some in masked.values() for each in some]}
                groups |= {f"{kind}/": some for kind, some in kinds.items() if name == "given_mask"}
                for group, some in groups.items():
                    rows = evaluate.agreements(some)
                    found |= {f"{name}/{group}{row}": estimate for row, estimate in rows.items()}
            return found

        def figure(key: PRNGKey, state: Any, kind: str, low: float, high: float, columns: Callable) -> Any:
            """A column for each of some test pictures, and a row for each image that `columns` makes of one."""
            rows: dict[str, list[np.ndarray]] = {}
            for case, x, seen in cases(8):
                ways_drawn = {
                    name.replace("_", " "): drawn(complete, key, state.variables, case, x, seen)
                    for name, complete in ways.items()
                }
                for name, image in columns(x, seen, self.exact(x, seen), ways_drawn).items():
                    rows.setdefault(name, []).append(np.asarray(image, np.float32).reshape(spec.event_shape))
            groups = {name: np.stack(images) for name, images in rows.items()}
            title = f"{dataset.name} after {int(state.step)} steps, seed {self.seed}: {kind}"
            return plot.examples(groups, title=title, columns=8, vmin=low, vmax=high, cmap="viridis")

        def filled(values: np.ndarray, rest: np.ndarray, seen: np.ndarray) -> np.ndarray:
            whole = np.array(rest, np.float32)
            whole[~seen] = values
            return whole

        def means(x: np.ndarray, seen: np.ndarray, exact: data.Gaussian, samples: dict) -> dict[str, np.ndarray]:
            mean = {f"{name}: mean of {self.samples}": some.mean(axis=0) for name, some in samples.items()}
            one = {f"{name}: sample 0": some[0] for name, some in samples.items()}
            known = {"true": x, "what is seen": np.where(seen, x, np.nan), "exact mean": filled(exact.mean, x, seen)}
            return known | mean | one

        def deviations(x: np.ndarray, seen: np.ndarray, exact: data.Gaussian, samples: dict) -> dict[str, np.ndarray]:
            found = {f"{name}: of {self.samples} samples": some.std(axis=0) for name, some in samples.items()}
            return {"exact": filled(exact.std, np.zeros_like(x), seen), **found}

        std = self.field.variance**0.5

        def picture(key: PRNGKey, state: Any) -> Any:
            return figure(key, state, "test pictures, as they come", -2.5 * std, 2.5 * std, means)

        def scatter(key: PRNGKey, state: Any) -> Any:
            return figure(key, state, "standard deviation of every pixel", 0.0, 1.2 * std, deviations)

        first = next(cases(len(test)))[0]
        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_ddpm.estimates(model, dataset),
            picture=picture,
            samples=lambda x, title: self.samples_figure(spec, x, f"{title}; all given the seen part of one"),
            report=report,
            sampling={
                "sampler": ddpm.DPMSolver(None),
                "condition": {name: test.fields[name][first] for name in _missing.GIVEN},
            },
            pictures={"deviations": scatter},
        )
