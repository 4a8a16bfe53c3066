"""A model in continuous time of points in the plane: the ways from noise to data, and what each step costs."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from jaxgen import data, evaluate, flow, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset
from jaxgen.experiments import _flow
from jaxgen.optimizers import Adam, Cosine
from jaxgen.paths.straight import straightness
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of toy_flow.

    Args:
        data: "swiss_roll", "two_moons", "ring" or "grid".
        num: Points drawn for training; 2,000 for validation and 5,000 for testing besides.
        model: Configuration of the model.
    """

    data: str = "two_moons"
    num: int = 50_000
    model: flow.Config = flow.Config(
        network=flow.MLP((128, 128, 128)),
        optimizer=Adam(2e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
        num_draws=16,
        log_snr=(-10.0, 8.0),  # points have no grey levels that would ask for more
    )
    steps: int = 10_000
    batch_size: int = 256
    log_every: int = 200
    checkpoint_every: int = 2500

    def __post_init__(self):
        super().__post_init__()
        self.require(num=1)

    def dataset(self) -> Dataset:
        """The points, drawn from the seed."""
        return data.load(self.data, seed=self.seed, num=(self.num, 2_000, 5_000))

    def model_for(self, spec: Spec) -> GenerativeModel:
        return flow.model(self.model.lasting(self.steps), spec)

    def samples_figure(self, spec: Spec, x: Any, title: str) -> Any:
        return plot.scatter({"data": self.dataset().test.x[: min(len(x), 2000)], "samples": x}, title=title)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        shown = np.asarray(dataset.test.x[:2000])
        estimates = _flow.estimates(model, dataset)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            """The bound, how straight the ways are, and the log-density by the flow."""
            found = estimates(key, variables, split)
            sampler = flow.Euler(100)
            states = model.parts.chain(key, variables, 1000, sampler=sampler)
            dynamics = model.parts.bind(variables)
            bend = straightness(states, sampler.times(dynamics))
            found["straightness"] = Estimate(float(bend), None, "mean square of dx/dt less the whole way")
            rows = split.rows(np.arange(min(1000, len(split)))).arrays
            log_p = model.parts.log_likelihood(key, variables, rows)
            found["flow_log_density"] = evaluate.estimate(host(log_p), f"nats, {model.parts.measure}")
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            few = flow.DPMSolver(8)
            groups = {
                "data": shown,
                _flow.named(model.parts.sampler): model.sample(key, state.variables, 2000),
                _flow.named(few): model.sample(key, state.variables, 2000, sampler=few),
            }
            return plot.scatter(groups, title=f"{dataset.name} after {int(state.step)} steps, seed {self.seed}")

        def ways(key: PRNGKey, state: Any) -> Any:
            sampler = flow.Euler(60)
            chain = host(model.parts.chain(key, state.variables, 60, sampler=sampler))
            title = f"{dataset.name}: 60 ways from noise (grey) to data, {type(self.model.path).__name__} path"
            return plot.flow_lines({"": np.swapaxes(chain, 0, 1)}, title=title, points=shown)

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=estimates,
            picture=picture,
            report=report,
            samples=partial(self.samples_figure, dataset.spec),
            pictures={
                "ways": ways,
                "chain": _flow.film_strip(model, dataset, flow.Heun(25)),
                "steps": _flow.steps_against_error(model, dataset),
            },
        )
