"""A diffusion model that plans: trajectories given start, goal and cost of effort, beside the exact posterior."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, ddpm, evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, LinearQuadratic, Split, Standardise
from jaxgen.experiments import _ddpm, _exact
from jaxgen.experiments._gated import Gated
from jaxgen.experiments._modulated import Modulated
from jaxgen.nn import Concat, Embed
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, Settings

GIVEN = ("start", "goal", "log_cost")
"""Fields that a plan is made for."""


@dataclass(frozen=True)
class Config(Settings):
    """Settings of planning_ddpm.

    Args:
        problem: The linear-quadratic problem.
        num: Trajectories drawn for training; 200 for validation and 500 for testing besides.
        cases: Held-out problems for which samples are compared with the exact posterior.
        samples: Plans drawn for each of them.
        flow_examples: Test trajectories whose log-density the probability flow is asked for.
        model: Configuration of the diffusion model; `network` stands in the place of its network.
        network: Sizes of the network, which takes `patch` times of a trajectory as one.
    """

    at_hand = (*Settings.at_hand, "cases", "samples", "flow_examples")

    problem: LinearQuadratic = LinearQuadratic()
    num: int = 200_000
    cases: int = 32
    samples: int = 256
    flow_examples: int = 200
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(400),
        prediction=ddpm.V(),
        variance=ddpm.LearnedVariance(),
        condition={"start": Concat(dropout=0.0), "goal": Concat(dropout=0.0), "log_cost": Embed(dropout=0.0)},
        optimizer=Adam(4e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
        num_draws=400,
    )
    network: Gated | Modulated = Gated(features=256, context=64, num_blocks=2, patch=16)
    steps: int = 16_000
    batch_size: int = 256
    log_every: int = 200
    checkpoint_every: int = 8000

    def __post_init__(self):
        super().__post_init__()
        self.require(num=1, cases=2, samples=2, flow_examples=2)

    def dataset(self) -> Dataset:
        """Problems and one trajectory for each, drawn from the seed."""
        root = jax.random.key(self.seed, impl="threefry2x32")

        def drawn(i: int, num: int) -> Split:
            key_problems, key_trajectories = jax.random.split(jax.random.fold_in(root, i))
            problems = self.problem.problems(key_problems, num)
            fields = {name: np.asarray(column) for name, column in problems._asdict().items()}
            return Split(np.asarray(self.problem.sample(key_trajectories, problems)), fields=fields)

        train, valid, test = (drawn(i, num) for i, num in enumerate((self.num, 200, 500)))
        options: dict[str, Any] = {"valid": valid, "test": test, "name": "linear_quadratic"}
        return data.from_arrays(train.x, fields=train.fields, scale=Standardise(per_channel=True), **options)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _exact.model(self.model, self.network, spec, self.steps)

    def log_prob(self, split: Any) -> np.ndarray:
        """Exact log p(trajectory | start, goal, cost) of every example, nats."""
        flat = np.asarray(split.x, np.float64).reshape(len(split), -1)
        problems = zip(*(split.fields[name] for name in GIVEN), strict=True)
        exact = (self.problem.posterior(*problem) for problem in problems)
        return np.array([p.log_prob(x[None])[0] for p, x in zip(exact, flat, strict=True)])

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        solver = ddpm.DPMSolver(None)
        held_out = dataset.test.fields
        first = {name: held_out[name][0] for name in GIVEN}

        def plans(key: PRNGKey, variables: Any, case: int, num: int) -> np.ndarray:
            given = {name: held_out[name][case] for name in GIVEN}
            return host(model.sample(key, variables, num, first=case * num, condition=given, sampler=solver))

        def exact(case: int) -> data.Gaussian:
            return self.problem.posterior(*(held_out[name][case] for name in GIVEN))

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _exact.estimates(model, self.log_prob)(key, variables, split)
            if split is dataset.test:
                found |= _exact.flow(model, self.log_prob, self.flow_examples)(key, variables, split)
                found |= evaluate.agreements(
                    evaluate.gaussian_agreement(
                        plans(key, variables, case, self.samples).reshape(self.samples, -1), *exact(case)
                    )
                    for case in range(self.cases)
                )
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            size, ways = self.problem.steps, {}
            for case in range(6):
                goal, cost = held_out["goal"][case, 0], float(np.exp(held_out["log_cost"][case, 0]))
                start = held_out["start"][case, 0, :2]
                mean, covariance = exact(case)
                blocks = covariance.reshape(size, 6, size, 6)[np.arange(size), :2, np.arange(size), :2]
                drawn = plans(key, state.variables, case, 12)[..., :2]
                marks = {"start": start, "goal": goal}
                ways[f"problem {case}, c = {cost:.2f}"] = plot.Ways(drawn, mean.reshape(size, 6)[:, :2], blocks, marks)
            title = f"plans after {int(state.step)} steps, seed {self.seed}: held-out problems, as they come"
            return plot.trajectories(ways, title=title)

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_exact.estimates(model, self.log_prob),
            picture=picture,
            samples=lambda x, title: self.samples_figure(dataset.spec, x, title),
            report=report,
            sampling={"sampler": solver, "condition": first},
            pictures={"terms": _ddpm.terms(model, dataset)},
        )
