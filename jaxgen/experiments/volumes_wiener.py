"""A diffusion model of volumes given noisy values of a part of their cells, beside the exact Wiener filter."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, ddpm, evaluate, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, RandomField, Split, Standardise
from jaxgen.experiments import _ddpm, _exact
from jaxgen.experiments._gated import Gated
from jaxgen.experiments._modulated import Modulated
from jaxgen.nn import Concat
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, Settings, pictures

GIVEN = ("observed", "seen")
"""Noisy values (0 where there are none), and whether a cell was seen."""


@dataclass(frozen=True)
class Config(Settings):
    """Settings of volumes_wiener.

    Args:
        field: The random field that volumes are drawn from.
        share: Probability that a cell is seen.
        noise: Standard deviation of the noise of a cell that is seen.
        num: Volumes drawn for training; 200 for validation and 200 for testing besides.
        cases: Test volumes for which samples are compared with the Wiener filter.
        samples: Volumes drawn from the model for each of them.
        model: Configuration of the diffusion model; `network` stands in the place of its network.
        network: Sizes of the network; `Modulated` is not linear in what was observed, and learns the filter less well.
    """

    at_hand = (*Settings.at_hand, "cases", "samples")

    field: RandomField = RandomField()
    share: float = 0.3
    noise: float = 0.5
    num: int = 40_000
    cases: int = 24
    samples: int = 50
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(100),
        prediction=ddpm.V(),
        variance=ddpm.LearnedVariance(),
        condition={name: Concat(dropout=0.0) for name in GIVEN},
        optimizer=Adam(4e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.995,
        num_draws=100,
    )
    network: Gated | Modulated = Gated()
    steps: int = 3000
    batch_size: int = 64
    log_every: int = 100
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        require.number("share", self.share, 0, 1)
        require.number("noise", self.noise, above=0)
        self.require(num=1, cases=2, samples=2)

    def dataset(self) -> Dataset:
        """Volumes and what was observed of each, drawn from the seed."""
        root = jax.random.key(self.seed, impl="threefry2x32")

        def drawn(i: int, num: int) -> Split:
            key_x, key_observed = jax.random.split(jax.random.fold_in(root, i))
            x = self.field.sample(key_x, num)
            observed = data.observe(key_observed, x, self.share, self.noise)
            return Split(np.asarray(x), fields=dict(zip(GIVEN, map(np.asarray, observed), strict=True)))

        train, valid, test = (drawn(i, num) for i, num in enumerate((self.num, 200, 200)))
        options: dict[str, Any] = {"valid": valid, "test": test, "name": "observed_field"}
        return data.from_arrays(train.x, fields=train.fields, scale=Standardise(), **options)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _exact.model(self.model, self.network, spec, self.steps)

    def posteriors(self, split: Any, num: int) -> list[data.Gaussian]:
        """Exact distributions of the first `num` volumes given what was observed of them."""
        fields = (split.fields[name][:num] for name in GIVEN)
        return [self.field.posterior(observed, seen, self.noise) for observed, seen in zip(*fields, strict=True)]

    def log_prob(self, split: Any) -> np.ndarray:
        """Exact log p(x | observed, seen) of every example, nats."""
        flat = np.asarray(split.x, np.float64).reshape(len(split), -1)
        exact = self.posteriors(split, len(split))
        return np.array([p.log_prob(x[None])[0] for p, x in zip(exact, flat, strict=True)])

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        solver, test = ddpm.DPMSolver(None), dataset.test

        def given(case: int) -> dict[str, np.ndarray]:
            return {name: test.fields[name][case] for name in GIVEN}

        def sampled(key: PRNGKey, variables: Any, case: int, num: int) -> np.ndarray:
            x = model.sample(key, variables, num, first=case * num, condition=given(case), sampler=solver)
            return host(x).reshape(num, -1)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _exact.estimates(model, self.log_prob)(key, variables, split)
            if split is test:
                cases = min(self.cases, len(test))
                found |= evaluate.agreements(
                    evaluate.gaussian_agreement(sampled(key, variables, case, self.samples), *exact)
                    for case, exact in enumerate(self.posteriors(test, cases))
                )
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            """A column for each test volume: the middle slice of what is known of it."""
            shown = min(8, len(test))
            drawn = np.stack([sampled(key, state.variables, case, self.samples) for case in range(shown)])
            exact = self.posteriors(test, shown)
            observed = np.where(test.fields["seen"][:shown], test.fields["observed"][:shown], np.nan)
            rows = {
                "true": test.x[:shown],
                "observed, with noise": observed,
                "mean of the Wiener filter": np.stack([p.mean for p in exact]),
                f"mean of {self.samples} samples": drawn.mean(axis=1),
                "deviation of the Wiener filter": np.stack([p.std for p in exact]),
                f"deviation of {self.samples} samples": drawn.std(axis=1),
                "sample 0": drawn[:, 0],
                "sample 1": drawn[:, 1],
            }
            shaped = {
                name: np.asarray(x, np.float32).reshape(shown, *dataset.spec.event_shape) for name, x in rows.items()
            }
            title = (
                f"DDPM on {dataset.name} after {int(state.step)} steps, seed {self.seed}: test volumes, as they come"
            )
            return pictures.examples(shaped, dataset.spec, title=title, columns=shown)

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_exact.estimates(model, self.log_prob),
            picture=picture,
            samples=lambda x, title: self.samples_figure(dataset.spec, x, f"{title}; all given what is known of one"),
            report=report,
            sampling={"sampler": solver, "condition": given(0)},
            pictures={"terms": _ddpm.terms(model, dataset)},
        )
