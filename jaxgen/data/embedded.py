"""Real images without a download: the handwritten digits that scikit-learn carries."""

import numpy as np

from jaxgen.core import Spec
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.permutation import shuffled

NUM_TRAIN, NUM_VALID, NUM_TEST = 1297, 200, 300


def digits() -> Dataset:
    """1797 digits of 8x8 pixels with 17 grey levels, in a split that never changes.

    The examples are shuffled (`shuffled(1797, seed=0)`) before they are cut into 1297 for training, 200 for
    validation and 300 for testing. Neither a cut nor "every k-th" of the original order would do. It goes
    form by form: some 130 digits by one writer, for all in one and the same order, which begins with 0..9
    three times. Every tenth example prefers a class (40 nines in 180), and the last 300 show few writers.

    Returns:
        Images [8, 8, 1] uint8, 0 (paper) .. 16 (ink), labels 0 .. 9.

    Source: Alpaydin & Kaynak 1998, test half of "Optical Recognition of Handwritten Digits", UCI repository.
    """
    from sklearn.datasets import load_digits  # a second of imports, only for those who want digits

    images, labels = load_digits(return_X_y=True)  # float64, but whole numbers
    everything = Split(images.astype(np.uint8).reshape(-1, 8, 8, 1), labels)
    order = shuffled(len(everything), seed=0)
    train, valid, test = np.split(order, [NUM_TRAIN, NUM_TRAIN + NUM_VALID])
    return Dataset(
        name="digits",
        spec=Spec(event_shape=(8, 8, 1), dtype="uint8", levels=17, num_classes=10),
        train=everything.rows(train),
        valid=everything.rows(valid),
        test=everything.rows(test),
    )
