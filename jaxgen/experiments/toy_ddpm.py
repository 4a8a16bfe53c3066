"""A diffusion model of points in the plane: samples, and the score field that leads to them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgen import data, ddpm, plot
from jaxgen.core import GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset
from jaxgen.experiments import _ddpm
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of toy_ddpm.

    Args:
        data: "swiss_roll", "two_moons", "ring" or "grid".
        num: Points drawn for training; 2,000 for validation and 5,000 for testing besides.
        model: Configuration of the diffusion model.
    """

    data: str = "swiss_roll"
    num: int = 50_000
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(100),
        prediction=ddpm.V(),
        network=ddpm.MLP((128, 128, 128)),
        optimizer=Adam(2e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
        num_draws=16,
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
        return ddpm.model(self.model.lasting(self.steps), spec)

    def samples_figure(self, spec: Spec, x: Any, title: str) -> Any:
        return plot.scatter({"data": self.dataset().test.x[: min(len(x), 2000)], "samples": x}, title=title)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        shown = np.asarray(dataset.test.x[:2000])
        solver = _ddpm.at_most(model, ddpm.DPMSolver(20))
        reach = 1.15 * float(np.abs(shown).max())

        def picture(key: PRNGKey, state: Any) -> Any:
            return plot.scatter(
                {
                    "data": shown,
                    "samples": model.sample(key, state.variables, 2000),
                    f"DPM-Solver++, {solver.num_steps} steps": model.sample(key, state.variables, 2000, sampler=solver),
                },
                title=f"DDPM on {dataset.name} after {int(state.step)} steps, seed {self.seed}",
            )

        def score(key: PRNGKey, state: Any) -> Any:
            """The field at several levels, over the data at that level."""
            schedule = model.parts.schedule
            ticks = np.linspace(-reach, reach, 25, dtype=np.float32)
            grid = jnp.asarray(np.stack(np.meshgrid(ticks, ticks), axis=-1))
            x_t = grid.reshape(-1, 2)
            levels = {
                f"t = {t} of {schedule.num_timesteps}": t
                for t in (max(1, round(schedule.num_timesteps * part)) for part in (0.1, 0.3, 0.6))
            }
            fields, points = {}, {}
            for name, t in levels.items():
                eps, _ = ddpm.process.eps_and_fraction(
                    model.parts.denoise(state.variables, x_t, jnp.full(len(x_t), t, jnp.int32)), x_t
                )
                fields[name] = ddpm.prediction.score_from_eps(schedule, t, eps).reshape(grid.shape)
                points[name] = model.parts.diffuse(key, jnp.asarray(shown), t)
            box = (-reach, reach, -reach, reach)
            title = f"score of q(x_t) as learnt from {dataset.name}, {int(state.step)} steps; dots: x_t"
            return plot.arrows(fields, box, title=title, points=points)

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_ddpm.estimates(model, dataset),
            picture=picture,
            samples=partial(self.samples_figure, dataset.spec),
            pictures={"score": score},
        )
