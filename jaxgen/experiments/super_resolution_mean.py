"""Super-resolution by regression: the same network as super_resolution's estimates the mean of all possible detail."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen import evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.experiments import _mean
from jaxgen.experiments import _super_resolution as shared
from jaxgen.experiments._restoration import Restore
from jaxgen.paths.tiles import tiled
from jaxgen.runs import Experiment, pictures


@dataclass(frozen=True)
class Config(shared.Config):
    """Settings of super_resolution_mean; those that only sampling needs do not matter here."""

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _mean.model(self.model.lasting(self.steps), spec)

    def restore_for(self, model: GenerativeModel, spec: Spec) -> Restore:
        @partial(jax.jit, static_argnames="num")
        def restore(key: PRNGKey, variables: Any, enlarged: Array, factor: Any, first: Any, num: int) -> Array:
            del key, first

            def mean(x_t: Array, t: Array, condition: Mapping[str, Array]) -> Array:
                return model.parts.mean(variables, len(x_t), condition)

            given = {"low": enlarged[None, ..., None], "factor": jnp.full(1, factor, jnp.int32)}
            nothing = jnp.zeros((1, *enlarged.shape, 1), jnp.float32)
            found = tiled(mean, spec.event_shape[:-1], self.overlap, given)(nothing, jnp.zeros(1, jnp.int32))[..., 0]
            return jnp.broadcast_to(found, (num, *enlarged.shape))

        return restore

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        restore = self.restore_for(model, dataset.spec)
        low, factor = (dataset.test.fields[name] for name in ("low", "factor"))
        given = {"low": low[:16], "factor": factor[:16]}

        def estimates(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            return evaluate.estimates(evaluate.per_example(model, key, variables, split), "squared grey levels")

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            if split is dataset.test:
                found |= shared.report(self, restore, key, variables, {"regression": 1})
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            del key
            num = len(given["low"])
            groups = {
                "residual (in grey levels)": dataset.test.x[:num],
                "its mean, as estimated": model.parts.mean(state.variables, num, given),
            }
            title = f"{dataset.name} after {int(state.step)} steps: detail that was lost, and its mean"
            return plot.rows(groups, title=title, columns=16, cmap="gray")

        def restored(key: PRNGKey, state: Any) -> Any:
            return shared.compared(self, restore, key, state, 1, lambda x: {"regression": x[0]})

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=estimates,
            picture=picture,
            samples=lambda x, title: pictures.examples({"": x}, dataset.spec, title=title),
            report=report,
            best="squared_error",
            sampling={"condition": {"low": low[0], "factor": int(factor[0])}},
            pictures={"restored": restored},
        )
