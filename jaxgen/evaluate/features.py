"""The worth of learnt features to a supervised model: a linear probe, and fine-tuning on few labels.

An encoder that was trained without labels is judged by what a classifier makes of it. The probe leaves the encoder
as it is and asks what a linear classifier sees in the features. Fine-tuning takes the encoder as the beginning of a
classifier and trains all of it on a handful of labels; the same with an encoder fresh from its initialisation says what
the pre-training was worth. An encoder is any function (params, x) -> features.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Real, Shaped

from jaxgen import learning, require
from jaxgen.core import Estimate, PRNGKey
from jaxgen.data.labelled import balanced_choice
from jaxgen.evaluate.likelihood import estimate
from jaxgen.events import require_floats, require_integers, require_rank, require_shape
from jaxgen.progress import counted

Encode: TypeAlias = Callable[[Any, Any], Array]
"""(params, x [b, ...]) -> features [b, f]."""


def linear_probe(
    features_train: Real[Array | np.ndarray, "n f"],
    labels_train: Int[Array | np.ndarray, " n"],
    features_test: Real[Array | np.ndarray, "m f"],
    labels_test: Int[Array | np.ndarray, " m"],
    *,
    strengths: tuple[float, ...] = (0.1, 0.01, 0.001, 0.0001),
    max_iterations: int = 1000,
) -> Estimate:
    """Test accuracy of a logistic regression on fixed features.

        min_W  1/n sum_i cross-entropy(label_i, W features_i + b) + strength / 2 ||W||^2

    The features are standardised by their moments on the training set, so that their scale does not matter to the
    penalty. Nothing is random.

    Args:
        features_train: Features of the training examples.
        labels_train: Classes of the training examples.
        features_test: Features of the test examples.
        labels_test: Classes of the test examples.
        strengths: Strengths of the penalty to choose from: every fifth training example is held out for the choice,
            after which all are used. Pixels need a stronger penalty than a few features; the same strength for both
            would favour one of them.
        max_iterations: Largest number of iterations of L-BFGS; scikit-learn warns when they were too few.

    Returns:
        Accuracy with its standard error over test examples.

    Raises:
        ValueError: No strength, one that is not positive, or fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for name, features, labels in (
        ("train", features_train, labels_train),
        ("test", features_test, labels_test),
    ):
        require.plain_array(f"features_{name}", features)
        if np.ndim(features) != 2 or np.shape(labels) != np.shape(features)[:1] or not np.size(features):
            raise ValueError(
                f"features_{name} and labels_{name} must be [n, f] and [n], at least one, got {np.shape(features)} and "
                f"{np.shape(labels)}"
            )
        if not np.isfinite(np.asarray(features, np.float64)).all():
            raise ValueError(f"features_{name} must be finite, got NaN or infinity")
    if np.shape(features_train)[1] != np.shape(features_test)[1]:
        raise ValueError(
            f"features_test must have as many features as features_train, {np.shape(features_train)[1]}, "
            f"got {np.shape(features_test)[1]}"
        )
    if not strengths:
        raise ValueError("strengths must hold at least one number above 0, got none")
    for strength in strengths:
        require.number("each of strengths", strength, above=0)
    require.size("max_iterations", max_iterations)
    x = require.plain_array("features_train", features_train, np.float64)
    label = require.plain_array("labels_train", labels_train)
    classes = np.unique(label)
    if len(classes) < 2:
        raise ValueError(f"labels_train must hold at least two classes, got {classes.tolist()}")

    def fitted(rows: np.ndarray, strength: float) -> Any:
        # scikit-learn weighs the summed cross-entropy, not the penalty. A gradient below 1e-3 is enough: going on
        # takes three times as long and moves accuracies by less than their standard error.
        weight = 1 / (strength * rows.sum())
        probe = LogisticRegression(C=weight, tol=1e-3, max_iter=max_iterations)
        return make_pipeline(StandardScaler(), probe).fit(x[rows], label[rows])

    best = strengths[0]
    if len(strengths) > 1:
        held_out = np.arange(len(x)) % 5 == 4
        best = max(strengths, key=lambda strength: fitted(~held_out, strength).score(x[held_out], label[held_out]))
    probe = fitted(np.ones(len(x), bool), best)
    x_test = require.plain_array("features_test", features_test, np.float64)
    correct = probe.predict(x_test) == require.plain_array("labels_test", labels_test)
    return estimate(correct.astype(np.float32), "accuracy")


def few_label_probe(
    features: Callable[[Any], Any], known: Sequence[Any], test: Any, **options: Any
) -> Float[np.ndarray, " draws"]:
    """Test accuracies of a linear probe on few labels, one for each draw of the labels.

    Args:
        features: Function (x [n, ...]) -> features [n, f]: of an encoder, of a layer (`layer_features`), or the pixels.
        known: Labelled examples of each draw, splits with x and label (`jaxgen.data.FewLabels.known`).
        test: Split with x and label.
        options: Options of `linear_probe`.
    """
    of_test = np.asarray(features(test.x))
    return np.asarray(
        [
            linear_probe(np.asarray(features(split.x)), split.label, of_test, test.label, **options).value
            for split in known
        ],
        np.float32,
    )


@flax.struct.dataclass
class Classifier:
    """A linear head on an encoder.

        logits = standardised(encode(params, x)) W + b

    Attributes:
        params: Parameters of the encoder.
        weights: Weights W [f, num_classes].
        bias: Bias b [num_classes].
        centre: Vector that is subtracted from the features, [f].
        spread: Divisor of the centred features, [f].
    """

    params: Any
    weights: Any
    bias: Any
    centre: Any
    spread: Any

    def logits(self, encode: Encode, x: Shaped[Array | np.ndarray, "b ..."]) -> Float[Array, "b classes"]:
        """One logit per example and class."""
        features = (encode(self.params, x) - self.centre[None]) / self.spread[None]
        return features @ self.weights + self.bias[None]

    def correct(
        self, encode: Encode, x: Shaped[Array | np.ndarray, "b ..."], labels: Int[Array | np.ndarray, " b"]
    ) -> Bool[Array, " b"]:
        """Whether the largest logit is that of the example's class; the mean is the accuracy."""
        return self.logits(encode, x).argmax(axis=1) == labels


@functools.partial(jax.jit, static_argnames=("encode", "num_classes"))
def fine_tune(
    encode: Encode,
    params: Any,
    x: Shaped[Array, "n ..."],
    labels: Int[Array, " n"],
    num_classes: int,
    *,
    num_steps: int | Int[Array, ""] = 300,
    learning_rate: float | Float[Array, ""] = 1e-3,
) -> Classifier:
    """A classifier that starts from an encoder and is trained as a whole, on all examples at each step of Adam.

    The head starts at zero and the features are standardised by the moments that they have at the start, so that the
    same learning rate suits encoders of any scale, and nothing is random.

    Args:
        encode: (params, x) -> features.
        params: Parameters that the encoder starts from.
        x: Labelled examples, few enough for one batch.
        labels: Classes of the examples.
        num_classes: Number of classes.
        num_steps: Updates.
        learning_rate: Learning rate of Adam.

    Returns:
        The classifier.
    """
    require_integers(labels=labels)
    require_shape(jnp.shape(x)[:1], labels=labels)
    require.size("num_classes", num_classes)
    start = encode(params, x)
    require_floats(features=start)
    require_rank(2, "[b, f]", features=start)
    require_shape((*labels.shape, start.shape[1]), features=start)
    spread = start.std(axis=0)
    fixed = Classifier(
        params=params,
        weights=jnp.zeros((start.shape[1], num_classes), jnp.float32),
        bias=jnp.zeros(num_classes, jnp.float32),
        centre=start.mean(axis=0),
        spread=jnp.where(spread > 0, spread, 1),  # a feature that is constant on x tells nothing, whatever its scale
    )

    def cross_entropy(trained: dict[str, Any]) -> Float[Array, ""]:
        logits = replace(fixed, **trained).logits(encode, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()

    tx = optax.adam(learning_rate)
    state = learning.create(tx, {"params": params, "weights": fixed.weights, "bias": fixed.bias})
    state = jax.lax.fori_loop(
        0, num_steps, lambda _, state: learning.update(tx, state, jax.grad(cross_entropy)(state.params)), state
    )
    return replace(fixed, **state.params)


def few_label_accuracy(
    key: PRNGKey,
    encode: Encode,
    initial: Callable[[PRNGKey], Any],
    train: Any,
    test: Any,
    num_classes: int,
    *,
    per_class: int = 10,
    num_draws: int = 5,
    num_steps: int = 300,
    learning_rate: float = 1e-3,
) -> Float[np.ndarray, " draws"]:
    """Test accuracies of classifiers that were fine-tuned on few labels, one for each draw of the labels.

    The same key gives the same labelled examples whatever the encoder and where it starts, so that two results can be
    compared draw by draw.

    Args:
        key: Key of the draws.
        encode: (params, x) -> features.
        initial: (key) -> parameters that the encoder starts from: trained ones, whatever the key, or fresh ones.
        train: Split with x and label, of which few labels are drawn.
        test: Split with x and label.
        num_classes: Number of classes.
        per_class: Labelled examples of each class.
        num_draws: Draws of the labels.
        num_steps: See `fine_tune`.
        learning_rate: See `fine_tune`.

    Raises:
        ValueError: num_draws below 1; see also `balanced_choice`.
    """
    require.typed_key("key", key)
    require.whole(train=train, test=test)
    for name, value in (("num_classes", num_classes), ("num_draws", num_draws), ("num_steps", num_steps)):
        require.size(name, value)
    require.number("learning_rate", learning_rate, above=0)
    accuracies = []
    for key_draw, key_initial in counted(jax.random.split(key, (num_draws, 2)), "classifiers", num_draws):
        rows = balanced_choice(key_draw, train.label, per_class)
        classifier = fine_tune(
            encode,
            initial(key_initial),
            jnp.asarray(train.x[rows]),
            jnp.asarray(train.label[rows]),
            num_classes,
            num_steps=num_steps,
            learning_rate=learning_rate,
        )
        correct = [
            np.asarray(_correct(classifier, encode, batch["x"], batch["label"]))[batch["index"] >= 0]
            for batch in test.evaluation_batches(1000)
        ]
        accuracies.append(np.concatenate(correct).mean())
    return np.asarray(accuracies, np.float32)


@functools.partial(jax.jit, static_argnames="encode")
def _correct(classifier: Classifier, encode: Encode, x: Shaped[Array, "b ..."], labels: Int[Array, " b"]) -> Array:
    return classifier.correct(encode, x, labels)
