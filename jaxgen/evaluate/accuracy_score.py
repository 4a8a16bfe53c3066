"""The classification accuracy score: what labelled samples teach a classifier about real images.

A classifier is trained on samples alone and tested on real images. It needs samples that are right (their labels),
sharp (what the classes differ by) and varied (what the test set holds): a model with few modes can have a fine Fréchet
distance and a poor score.
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Int, Shaped

from jaxgen import require
from jaxgen.core import Estimate, PRNGKey
from jaxgen.evaluate.classifier import train_classifier
from jaxgen.evaluate.sets import image_sets


def classification_accuracy_score(
    key: PRNGKey,
    samples: Shaped[Array | np.ndarray, "..."],
    label: Int[Array | np.ndarray, " n"] | None,
    x_test: Shaped[Array | np.ndarray, "..."],
    label_test: Int[Array | np.ndarray, " m"],
    num_classes: int,
    *,
    bounded: bool = True,
    **options: Any,
) -> Estimate:
    """Accuracy on real images of a classifier that was trained on samples.

    Compare it with the accuracy after training on as many real images: there are no other bounds.

    Args:
        key: Key of the classifier's parameters and of the order of the samples.
        samples: Samples of the model, in [0, 1].
        label: Labels that they were sampled for.
        x_test: Real images in [0, 1].
        label_test: Classes of the real images.
        num_classes: Number of classes.
        bounded: Whether images must lie in [0, 1]; False for real values, all on one scale.
        options: Further arguments of `train_classifier`.

    Returns:
        Accuracy with its standard error over test images.

    Raises:
        ValueError: Samples without labels, images of different kinds, or labels out of range.

    Source: Ravuri & Vinyals 2019.
    """
    if label is None:
        raise ValueError("label must be given: only samples of a model that takes labels have this score")
    samples, x_test = image_sets(samples=samples, x_test=x_test, bounded=bounded)
    x, label = samples.astype(np.float32), require.plain_array("label", label, np.int32)
    judge = train_classifier(key, x, label, num_classes, bounded=bounded, **options)
    return judge.accuracy(x_test.astype(np.float32), label_test)
