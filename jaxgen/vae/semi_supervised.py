"""A VAE with labels that are known of few examples (M2): composed of a conditional VAE and a classifier.

    objective = vae.semi_supervised.objective(config, spec)
    model = learning.model(objective, config.vae.optimizer.transformation())

The VAE is that of `vae.objective` with the label as its condition, as it is: its loss is asked once for every label,
with the same draws for all of them. The variables are the VAE's with the parameters "classifier" beside "encoder" and
"decoder". Batches are those of `jaxgen.data.FewLabels`, each example with a labelled one beside it.

Source: Kingma et al. 2014, "Semi-supervised Learning with Deep Generative Models", model M2.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import learning, require
from jaxgen.core import Aux, Batch, GenerativeModel, Metrics, Objective, PRNGKey, Spec, TrainState, Variables
from jaxgen.data import space
from jaxgen.data.labelled import known
from jaxgen.distributions import categorical_log_prob
from jaxgen.inputs import checked_batch, checked_init, checked_variables
from jaxgen.nn.conditions import Embed
from jaxgen.nn.network import network as as_network
from jaxgen.nn.network import of_linen
from jaxgen.vae.config import Config as VAE
from jaxgen.vae.labels import labelled_bound, summed_out_bound
from jaxgen.vae.model import objective as objective_given_label


@dataclass(frozen=True)
class Config:
    """Configuration of a VAE with few labels.

    Args:
        vae: Configuration of the VAE; the label becomes one of its conditions.
        classifier: Widths of the classifier's hidden layers.
        dropout: Share of the classifier's inputs and hidden units that training drops.
        alpha: Weight of the classifier's cross-entropy on the labelled examples. Kingma et al. write alpha = 0.1 N for
            the sum over N examples, which is 0.1 here, where one example is the unit.
        labelled: Weight of the bound of a labelled example: their number over that of all is what the sum over the
            data has.

    Raises:
        ValueError: A number out of its range.
    """

    vae: VAE = VAE(latent_dim=50, hidden=(500,))
    classifier: tuple[int, ...] = (500,)
    dropout: float = 0.0
    alpha: float = 0.1
    labelled: float = 0.002

    def __post_init__(self):
        require.sizes("classifier", self.classifier)
        require.number("dropout", self.dropout, 0, below=1)
        require.number("alpha", self.alpha, 0)
        require.number("labelled", self.labelled, 0)
        require.fields(self)
        if "label" in self.vae.condition:
            raise ValueError(f"vae.condition must not hold the label, which comes by itself, got {self.vae.condition}")

    def lasting(self, num_steps: int) -> "Config":
        """This config, with a learning-rate schedule of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, vae=self.vae.lasting(num_steps))


class Parts(NamedTuple):
    """Functions of the model beyond the contract; x in storage dtype.

    Attributes:
        classify: (variables, x) -> log Q(y|X), [B, K].
        vae: Parts of the conditional VAE, which take the label: encode, decode, reconstruct, ...
    """

    classify: Callable[..., Array]
    vae: Any


class Classifier(nn.Module):
    """Logits of Q(y|X).

    Attributes:
        num_classes: Number of classes.
        hidden: Widths of the hidden layers.
        dropout: Share of inputs and hidden units that training drops.
    """

    num_classes: int
    hidden: tuple[int, ...]
    dropout: float

    @nn.compact
    def __call__(self, x: Float[Array, "b *event"], train: bool) -> Float[Array, "b k"]:
        h = nn.Dropout(self.dropout, deterministic=not train)(x.reshape(x.shape[0], -1))
        for width in self.hidden:
            h = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(nn.Dense(width)(h)))
        return nn.Dense(self.num_classes)(h)


def model(
    config: Config, spec: Spec, *, classifier: Any = None, network: Any = None
) -> GenerativeModel[TrainState, Parts]:
    """A model of data of this spec, which learns its `objective`; see there for the arguments."""
    learned = objective(config, spec, classifier=classifier, network=network)
    return learning.model(learned, config.vae.optimizer.transformation(), axis_name=config.vae.axis_name)


def objective(config: Config, spec: Spec, *, classifier: Any = None, network: Any = None) -> Objective[Parts]:
    """The objective of a VAE with few labels, for data of this spec.

        loss = U(X) + labelled L(X', y') + alpha -log Q(y'|X'),     (X', y') the labelled example beside X

    Args:
        config: Configuration of the model.
        spec: Description of the data, with labels; all labels are equally likely a priori.
        classifier: Network in place of the shipped classifier, (x [B, *event] in model space) -> logits [B, K]: a
            linen module or a pair (init, apply), see `jaxgen.nn.network`.
        network: Networks in place of the VAE's, see `vae.model.objective`.

    Raises:
        ValueError: Data without labels, or that do not fit the VAE.
    """
    num_classes = spec.num_classes
    if num_classes is None:
        raise ValueError("spec must have labels, got num_classes=None")
    condition = {**config.vae.condition, "label": Embed(dropout=0.0)}
    of_vae = objective_given_label(dataclasses.replace(config.vae, condition=condition), spec, network=network)
    shipped = of_linen(Classifier(num_classes, config.classifier, config.dropout))
    judge = shipped if classifier is None else as_network("classifier", classifier)
    log_prior = jnp.full(num_classes, -jnp.log(jnp.float32(num_classes)))
    needs = tuple(config.vae.condition)

    def logits_of(variables: Variables, x: Array, key: PRNGKey | None = None) -> Float[Array, "b k"]:
        own = {"params": checked_variables(variables, "params")["params"]["classifier"]}
        return judge.apply(own, space.to_model(x, spec), train=key is not None, key=key)[0]

    def init(key: PRNGKey, batch: Batch) -> Variables:
        key_vae, key_classifier = jax.random.split(key)
        fields = checked_batch(batch, spec, needs=needs)
        variables = dict(of_vae.init(key_vae, {**fields, "label": jnp.zeros(len(fields["x"]), jnp.int32)}))
        own = judge.init(key_classifier, space.to_model(fields["x"], spec))
        return {**variables, "params": {**variables["params"], "classifier": own["params"]}}

    def of_every_label(value: Callable[[Array], Any], num: int) -> Any:
        """value(label [B]) for each label, with an axis of labels in front."""
        return jax.vmap(lambda y: value(jnp.full(num, y, jnp.int32)))(jnp.arange(num_classes, dtype=jnp.int32))

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        fields, (x, label) = checked_batch(batch, spec, needs=needs), known(batch, spec)
        num = len(fields["x"])
        key_all, key_known, key_dropout, key_dropout_known = jax.random.split(key, 4)
        # One key for all labels: their bounds differ by the label, not by the draws of x and z.
        bounds = of_every_label(lambda y: of_vae.loss(variables, key_all, {**fields, "label": y}, step)[0], num).T
        log_q = jax.nn.log_softmax(logits_of(variables, fields["x"], key_dropout))
        bound = summed_out_bound(bounds, log_prior, log_q)
        own = {**{name: batch[f"known_{name}"] for name in needs}, "x": x, "label": label}
        of_label = labelled_bound(of_vae.loss(variables, key_known, own, step)[0], log_prior, label)
        logits = logits_of(variables, x, key_dropout_known)
        cross_entropy = -categorical_log_prob(label, logits)
        metrics = {
            "negative_bound": bound,
            "labelled_bound": of_label,
            "cross_entropy": cross_entropy,
            "entropy": -(jnp.exp(log_q) * log_q).sum(axis=1),
            "known_right": (logits.argmax(axis=1) == label).astype(jnp.float32),
        }
        return bound + config.labelled * of_label + config.alpha * cross_entropy, Aux(metrics)

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        """The bound of -log P(X) with the label summed out and, where it is known, whether it is found.

        "error" is of the classifier, "error_by_bound" of the label with the best bound, at one draw of z.
        """
        fields = checked_batch(batch, spec, needs=needs)
        every = of_every_label(
            lambda y: of_vae.evaluate(key, variables, {**fields, "label": y})["negative_elbo"], len(fields["x"])
        )
        log_q = classify(variables, fields["x"])
        values = {"negative_bound": summed_out_bound(every.T, log_prior, log_q)}
        if batch.get("label") is None:
            return values
        found = {"error": log_q, "error_by_bound": -every.T}
        label = jnp.asarray(batch["label"])
        return values | {name: (score.argmax(axis=1) != label).astype(jnp.float32) for name, score in found.items()}

    @jax.jit
    def classify(variables: Variables, x: Array) -> Float[Array, "b k"]:
        fields = checked_batch({"x": x}, spec)
        return jax.nn.log_softmax(logits_of(variables, fields["x"]))

    def check(batch: Any) -> None:
        space.require_storage(checked_batch(batch, spec, needs=needs)["x"], spec)

    return Objective(checked_init(init, check), loss, evaluate, of_vae.sample, Parts(classify, of_vae.parts))
