"""A mask that would be lost is refused by name: what lies behind it would count in every metric."""

import jax
import numpy as np
import pytest

from jaxgen import evaluate

X = np.random.default_rng(0).random((30, 4), np.float32)
IMAGES = X[:, :, None, None]
MASKED = np.ma.MaskedArray(X, X > 0.9)
LABEL = np.arange(30) % 2
CASES = {
    "frechet_distance": lambda: evaluate.frechet_distance(X, MASKED),
    "kernel_distance": lambda: evaluate.kernel_distance(jax.random.key(0), MASKED, X),
    "precision_recall": lambda: evaluate.precision_recall(MASKED, X),
    "nearest": lambda: evaluate.nearest(X, MASKED),
    "memorisation": lambda: evaluate.memorisation(X, MASKED, X),
    "moments": lambda: evaluate.moments(MASKED),
    "parzen": lambda: evaluate.parzen(X, MASKED, X),
    "kmeans_centroids": lambda: evaluate.kmeans_centroids(jax.random.key(0), MASKED, 2),
    "linear_probe": lambda: evaluate.linear_probe(MASKED, LABEL, X, LABEL),
    "labels": lambda: evaluate.linear_probe(X, np.ma.MaskedArray(LABEL), X, LABEL),
    "train_classifier": lambda: evaluate.train_classifier(
        jax.random.key(0), np.ma.MaskedArray(IMAGES), LABEL, 2, num_steps=1
    ),
    "class_histogram": lambda: evaluate.class_histogram(np.ma.MaskedArray(LABEL), 2),
}


@pytest.mark.parametrize("case", CASES)
def test_masked_arrays(case):
    with pytest.raises(ValueError, match="must be a plain numpy array, got a masked array, whose mask would be lost"):
        CASES[case]()
