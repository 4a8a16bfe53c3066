"""Diffusion models beside data whose density is known: their networks, and excesses over the exact log-density."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import numpy as np

from jaxgen import ddpm, evaluate
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.nn import Conditions
from jaxgen.rehearsal import host


@runtime_checkable
class Sizes(Protocol):
    """Sizes of a network that these experiments have: `Gated`, `Modulated`."""

    def network(self, spec: Spec, outputs: int, conditions: Conditions) -> nn.Module:
        """The module for data of this spec, with one output or two."""
        ...


def model(config: ddpm.Config, network: Sizes, spec: Spec, steps: int) -> GenerativeModel:
    """A diffusion model with a network of these experiments in place of its own.

    Args:
        config: Configuration of the diffusion model.
        network: Sizes of the network.
        spec: Description of the data.
        steps: Training steps.
    """
    config = config.lasting(steps)
    return ddpm.model(config, spec, network=network.network(spec, 2 if config.learned else 1, config.conditions))


LogProb = Callable[[Any], np.ndarray]
"""(split) -> exact log p(x), given its conditions if there are any, of each example [n], nats."""


def estimates(model: GenerativeModel, log_prob: LogProb) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, variables, split) -> the bound and its terms, the exact value, and by how much the bound lies above it.

    The excess is a mean of differences, in which the scatter of log p(x) between examples is left out.
    """

    def found(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        values = evaluate.per_example(model, key, variables, split)
        exact = -log_prob(split)
        return {
            **evaluate.estimates(values, f"nats, {model.parts.measure}"),
            "exact": evaluate.estimate(exact, "nats, -log p(x) of the distribution that the data are drawn from"),
            "bound_excess": evaluate.estimate(values["negative_bound"] - exact, "nats, bound - exact"),
        }

    return found


def flow(model: GenerativeModel, log_prob: LogProb, num: int) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, variables, split) -> -log p(x) of the probability flow on the first `num` examples, and its excess."""

    def found(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        some = split.rows(np.arange(min(num, len(split))))
        parts = []
        for batch in some.evaluation_batches(min(len(some), 100)):
            real = np.asarray(batch["index"]) >= 0
            parts.append(host(model.parts.log_likelihood(key, variables, batch))[real])
        nats = -np.concatenate(parts)
        return {
            "flow": evaluate.estimate(nats, f"nats, -log p(x) of the probability flow, first {len(some)} examples"),
            "flow_excess": evaluate.estimate(nats + log_prob(some), "nats, flow - exact, the same examples"),
        }

    return found
