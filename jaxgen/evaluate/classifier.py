"""A classifier that the library trains itself, to look at samples with: which classes a model generates, and features.

Published scores look at samples through a network that was trained on other pictures (Inception, on ImageNet), which
says little of handwritten digits. `train_classifier` trains a small convolutional network on the data at hand, the same
one for the same key. A number that comes from it is a number of that classifier: quote its accuracy and the digest of
its parameters (`jaxgen.digest`) with it.
"""

import functools
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from jaxgen import learning, optimizers, require
from jaxgen.core import Estimate, PRNGKey, Spec, TrainState
from jaxgen.data import Batches, Split, to_unit
from jaxgen.data.dataset import agree
from jaxgen.distributions import kl_divergence
from jaxgen.evaluate.likelihood import estimate
from jaxgen.events import require_floats, require_rank, require_shape
from jaxgen.nn import ConvEncoder
from jaxgen.progress import counted

_STEPS_PER_CALL = 100
_BATCH_SIZE = 500  # of images that are looked at


class ImageClassifier(nn.Module):
    """Level by level half the size, then a dense layer of features and a linear one of logits.

    Attributes:
        num_classes: Number of classes.
        channels: Number of channels of each level, multiples of 8.
        num_features: Width of the last layer but one.
        dtype: Dtype of the computation; parameters stay float32.
    """

    num_classes: int
    channels: tuple[int, ...] = (32, 64, 128)
    num_features: int = 128
    dtype: Any = jnp.float32

    def setup(self):
        self.encoder = ConvEncoder(self.channels, dtype=self.dtype)
        self.dense = nn.Dense(self.num_features, dtype=self.dtype)
        self.head = nn.Dense(self.num_classes, dtype=self.dtype)

    def features(self, x: Float[Array, "b h w c"]) -> Float[Array, "b f"]:
        """The last layer but one, for images in [0, 1]."""
        # Centred: the border that the convolutions add is then grey and differs from black.
        h = self.encoder(2 * x - 1)
        return nn.relu(self.dense(h.reshape(len(h), -1)))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """Logits of the classes, for images in [0, 1]."""
        return self.head(self.features(x))


@flax.struct.dataclass
class TrainedClassifier:
    """A network with its parameters; a pytree of the parameters.

    Images are given as it was trained, in storage dtype, or float32 in [0, 1], as models sample them; others raise a
    ValueError. Real values are given as they were in training, scaled (`jaxgen.data.to_seen`) or not. Images are looked
    at a batch at a time, so that memory is bounded.

    Attributes:
        params: Trained parameters of the network.
        network: `ImageClassifier`, or any module with its two methods.
        spec: Description of the training images.
        bounded: Whether float32 images must lie in [0, 1].
    """

    params: Any
    network: Any = flax.struct.field(pytree_node=False)
    spec: Any = flax.struct.field(pytree_node=False)
    bounded: bool = flax.struct.field(pytree_node=False, default=True)

    def logits(self, x: Shaped[Array | np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
        """One logit per image and class."""
        return self._batched("__call__", x)

    def features(self, x: Shaped[Array | np.ndarray, "n h w c"]) -> Float[np.ndarray, "n f"]:
        """The last layer but one: what distances between sets of images may be taken in."""
        return self._batched("features", x)

    def probabilities(self, x: Shaped[Array | np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
        """P(class | image), one row per image."""
        return np.asarray(jax.nn.softmax(self.logits(x)))

    def predictions(self, x: Shaped[Array | np.ndarray, "n h w c"]) -> Int[np.ndarray, " n"]:
        """The class of the largest logit."""
        return self.logits(x).argmax(axis=1)

    def accuracy(self, x: Shaped[Array | np.ndarray, "n h w c"], label: Int[Array | np.ndarray, " n"]) -> Estimate:
        """Share of images whose prediction is their label, with its standard error."""
        labels = require.plain_array("label", label)
        if labels.shape != np.shape(x)[:1] or labels.dtype.kind not in "iu":
            raise ValueError(f"label must be integers of shape {np.shape(x)[:1]}, got {labels.dtype} {labels.shape}")
        return estimate((self.predictions(x) == labels).astype(np.float32), "accuracy")

    def _batched(self, method: str, x: Array | np.ndarray) -> np.ndarray:
        images = require.plain_array("x", x)
        _require_images(images, self.spec, self.bounded)
        found = [
            np.asarray(_applied(self.network, method, self.spec, self.params, batch["x"]))[batch["index"] >= 0]
            for batch in counted(Split(images).evaluation_batches(_BATCH_SIZE), "images", len(images), _BATCH_SIZE)
        ]
        return np.concatenate(found)


def train_classifier(
    key: PRNGKey,
    x: Shaped[Array | np.ndarray, "n h w c"],
    label: Int[Array | np.ndarray, " n"],
    num_classes: int,
    *,
    levels: int | None = None,
    bounded: bool = True,
    network: nn.Module | None = None,
    num_steps: int = 4000,
    batch_size: int | None = None,
    learning_rate: float = 2e-3,
) -> TrainedClassifier:
    """Train a classifier by the cross-entropy, with Adam under a cosine: the same key, the same parameters.

        min 1/B sum_i -log softmax(logits(x_i))[label_i]

    Args:
        key: Key of the initial parameters and of the order of the data; nothing else is random.
        x: Training images: uint8 of 0 .. levels - 1, or float32 in [0, 1].
        label: Classes of the images, 0 .. num_classes - 1.
        num_classes: Number of classes.
        levels: Number of grey levels of uint8 images, which needs it; None for float32.
        bounded: Whether float32 images must lie in [0, 1]; False for real values, as they are or scaled.
        network: `ImageClassifier(num_classes)` unless given.
        num_steps: Updates.
        batch_size: Images per update; None for 128, or all images where there are fewer.
        learning_rate: Peak rate of Adam, after a twentieth of the updates.

    Returns:
        The classifier.

    Raises:
        ValueError: Images, labels or numbers outside their range.
        FloatingPointError: The training diverged.
    """
    require.typed_key("key", key)
    batch_size = min(128, len(x)) if batch_size is None else batch_size
    for name, value in (("num_classes", num_classes), ("num_steps", num_steps), ("batch_size", batch_size)):
        require.size(name, value)
    require.number("learning_rate", learning_rate, above=0)
    split = Split(require.plain_array("x", x), require.plain_array("label", label))
    spec = Spec(split.x.shape[1:], split.x.dtype.name, levels=levels, num_classes=num_classes)
    agree("train", split, spec)
    _require_images(split.x, spec, bounded)
    network = ImageClassifier(num_classes) if network is None else network
    cosine = optimizers.Cosine(decay_steps=num_steps, warmup_steps=num_steps // 20)
    optimizer = optimizers.Adam(learning_rate, cosine)

    key_init, key_order = jax.random.split(key)
    batches = Batches(jax.tree.map(jnp.array, split.arrays), key_order, batch_size, len(split))
    first = to_unit(split.x[:1], spec)
    params = jax.jit(network.init)(key_init, first)
    logits: Any = jax.eval_shape(network.apply, params, first)
    if logits.shape[-1] != num_classes:
        raise ValueError(f"network must have num_classes={num_classes} logits, got {logits.shape[-1]}")
    state = learning.create(optimizer.transformation(), params)
    # Some steps at a time, so that Ctrl-C is answered; the number of calls changes no bit.
    ends = range(min(_STEPS_PER_CALL, num_steps), num_steps + _STEPS_PER_CALL, _STEPS_PER_CALL)
    for end in counted(ends, "steps of the classifier", num_steps, _STEPS_PER_CALL):
        end = jnp.asarray(min(end, num_steps), jnp.int32)
        state = jax.block_until_ready(_trained(network, spec, optimizer, state, batches, end))
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)):
        raise FloatingPointError(f"parameters are not finite after {num_steps} steps; lower learning_rate")
    return TrainedClassifier(params=state.params, network=network, spec=spec, bounded=bounded)


def class_histogram(
    classes: Int[Array | np.ndarray, " n"] | Float[Array | np.ndarray, "n k"], num_classes: int
) -> Float[np.ndarray, " k"]:
    """Shares of the classes in a set of images.

        p_c = 1/n sum_i [class_i = c]     or, from probabilities,     p_c = 1/n sum_i P(c | x_i)

    Args:
        classes: A class per image, or the probabilities of all classes for each image.
        num_classes: Number of classes.

    Returns:
        Shares that sum to 1, float32.

    Raises:
        ValueError: No images, a class out of range, or probabilities of another number of classes.
    """
    require.size("num_classes", num_classes)
    found = require.plain_array("classes", classes)
    if found.ndim not in (1, 2) or found.dtype.kind not in ("iu" if found.ndim == 1 else "f"):
        raise ValueError(
            f"classes must be integers [n] or probabilities [n, num_classes], got {found.dtype}{list(found.shape)}"
        )
    if len(found) == 0:
        raise ValueError("classes must hold at least one image, got none")
    if found.ndim == 2:
        if found.shape[1] != num_classes:
            raise ValueError(f"classes must have num_classes={num_classes} columns, got {found.shape[1]}")
        return found.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not 0 <= found.min() <= found.max() < num_classes:
        raise ValueError(f"classes must lie in 0..{num_classes - 1}, got {found.min()} to {found.max()}")
    return (np.bincount(found, minlength=num_classes) / len(found)).astype(np.float32)


def class_kl(
    shares: Float[Array | np.ndarray, " k"], reference: Float[Array | np.ndarray, " k"] | None = None
) -> Float[Array, ""]:
    """KL of the shares of classes from those of the data.

        KL = sum_c p_c log(p_c / q_c),  0 log 0 = 0

    A finite number of images has a floor: n draws of q itself come to (k - 1) / (2 n) on average, with a standard
    deviation of sqrt((k - 1) / 2) / n, to first order in 1/n (2 n KL is then chi-squared of k - 1 degrees of freedom).
    For 10,000 images in ten classes this is 0.00045 +- 0.00021 nats.

    Args:
        shares: p, of the model's samples (`class_histogram`).
        reference: q, of the data; all classes equally likely unless given.

    Returns:
        KL(p || q) in nats; +inf where a class is generated that the data do not have.

    Source: lecture, "Recognizing Jensen-Shannon Divergence", for its KL; the likelihood ratio test of Wilks 1938.
    """
    p = jnp.asarray(shares)
    require_floats(shares=p)
    require_rank(1, "[k]", shares=p)
    if reference is not None:
        require_floats(reference=jnp.asarray(reference))
        require_shape(p.shape, reference=jnp.asarray(reference))
    return kl_divergence(p, jnp.full_like(p, 1 / len(p)) if reference is None else jnp.asarray(reference))


@functools.partial(jax.jit, static_argnames=("network", "spec", "optimizer"))
def _trained(
    network: nn.Module, spec: Spec, optimizer: optimizers.Adam, state: TrainState, batches: Batches, end: Array
) -> TrainState:
    tx = optimizer.transformation()

    def step(state: TrainState) -> TrainState:
        batch = batches(state.step)
        x = to_unit(batch["x"], spec)

        def loss(params: Any) -> Array:
            logits: Any = network.apply(params, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

        return learning.update(tx, state, jax.grad(loss)(state.params))

    return jax.lax.while_loop(lambda state: state.step < end, step, state)


@functools.partial(jax.jit, static_argnames=("network", "method", "spec"))
def _applied(network: nn.Module, method: str, spec: Spec, params: Any, x: Array | np.ndarray) -> Array:
    unit = to_unit(x, spec) if x.dtype == jnp.uint8 else jnp.asarray(x)
    return network.apply(params, unit, method=method)  # pyright: ignore[reportReturnType]


def _require_images(x: np.ndarray, spec: Spec, bounded: bool) -> None:
    """Raises where images are not as the spec says, in storage dtype or in [0, 1]."""
    if len(x) == 0 or x.ndim != 4 or x.shape[1:] != spec.event_shape:
        raise ValueError(f"x must be images [n, {', '.join(map(str, spec.event_shape))}], got {x.shape}")
    if x.dtype not in (np.dtype(spec.dtype), np.float32):
        raise ValueError(f"x must be {spec.dtype}, or float32 in [0, 1], got {x.dtype}")
    if x.dtype == np.float32 and bounded and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"x must lie in [0, 1], got {x.min()} to {x.max()}")
    if spec.levels is not None and x.dtype == np.uint8 and x.max() >= spec.levels:
        raise ValueError(f"x must lie in 0..{spec.levels - 1}, got {x.max()}")
