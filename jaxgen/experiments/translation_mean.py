"""Paired translation by regression: the network of translation_ddpm estimates the mean of all colourings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxgen import evaluate
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.experiments import _mean, _translation, translation_ddpm
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(translation_ddpm.Config):
    """Settings of translation_mean; those that only sampling needs do not matter here."""

    steps: int = 2000

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _mean.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)

        def estimates(key: PRNGKey, variables: Any, split: Any) -> Mapping[str, Estimate]:
            values = evaluate.per_example(model, key, variables, split)
            return evaluate.estimates(values, "of the chroma, per value")

        return _translation.experiment(
            self, model, dataset, "regression", estimates, random=False, best="squared_error"
        )
