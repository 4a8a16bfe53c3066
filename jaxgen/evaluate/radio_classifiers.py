"""Two classifiers of radio galaxies, trained by a published protocol: on real images, or on real and generated ones.

    fully connected     250, 250, 250, 250, leaky ReLU
    convolutional       8, 16, 32, 32 channels, halved three times, each normalised over its pixels; 16 of 2 x 2; 100

Every image of a batch is turned by an angle of its own and mirrored at random. The state with the highest accuracy on
the validation images is the one that is kept; the test images are looked at once.

Source: Rustige et al. 2023 (RAS Techniques and Instruments 2), section 4, and the code published with it, for images of
128 x 128; here of 64 x 64, so that the first convolution keeps the size. Their last ReLU behind the logits of the
convolutional network is left out.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from jaxgen import learning, require
from jaxgen.core import PRNGKey
from jaxgen.progress import counted

_AT_ONCE = 500
_FILLED = 512


class FullyConnected(nn.Module):
    """Four hidden layers of 250.

    Attributes:
        num_classes: Number of classes.
    """

    num_classes: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        h = x.reshape(len(x), -1)
        for _ in range(4):
            h = nn.leaky_relu(nn.Dense(250)(h), 0.2)
        return nn.Dense(self.num_classes)(h)


class Convolutional(nn.Module):
    """Four levels of convolutions and two dense layers.

    Attributes:
        num_classes: Number of classes.
    """

    num_classes: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        h = x
        for features, stride in ((8, 1), (16, 2), (32, 2), (32, 2)):
            h = nn.Conv(features, (3, 3), stride, padding=1, use_bias=False)(h)
            h = nn.leaky_relu(nn.LayerNorm(reduction_axes=(1, 2), feature_axes=(1, 2))(h), 0.2)
        h = nn.Conv(16, (2, 2), padding="VALID", use_bias=False)(h)
        h = nn.leaky_relu(nn.Dense(100)(h.reshape(len(h), -1)), 0.2)
        return nn.Dense(self.num_classes)(h)


class Outcome(NamedTuple):
    """Result of a training.

    Attributes:
        accuracy: Accuracy on the test images.
        correct: Whether each test image was classified rightly, float32 [n].
        valid: Accuracy on the validation images, by which the state was chosen.
        step: Number of updates of that state.
    """

    accuracy: float
    correct: np.ndarray
    valid: float
    step: int


def turned(key: PRNGKey, x: Float[Array, "b s s c"], fill: float) -> Float[Array, "b s s c"]:
    """Images turned about their middle by uniform angles and mirrored at random; corners that come in get `fill`."""
    size = x.shape[1]
    at = jnp.arange(size, dtype=jnp.float32) - jnp.float32((size - 1) / 2)
    key_angle, key_mirror = jax.random.split(key)
    angle = jax.random.uniform(key_angle, (len(x),), jnp.float32, 0.0, 2 * jnp.pi)
    side = jnp.where(jax.random.bernoulli(key_mirror, 0.5, (len(x),)), jnp.float32(-1), jnp.float32(1))

    def one(image: Array, angle: Array, side: Array) -> Array:
        down, across = jnp.meshgrid(at, side * at, indexing="ij")
        place = (
            jnp.cos(angle) * down - jnp.sin(angle) * across + jnp.float32((size - 1) / 2),
            jnp.sin(angle) * down + jnp.cos(angle) * across + jnp.float32((size - 1) / 2),
        )
        channels = [map_coordinates(image[..., c], place, 1, "constant", fill) for c in range(image.shape[-1])]
        return jnp.stack(channels, axis=-1)

    return jax.vmap(one)(x, angle, side)


def trained(
    key: PRNGKey,
    network: nn.Module,
    train: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    num_steps: int = 10_000,
    batch_size: int = 250,
    learning_rate: float = 1e-4,
    every: int = 500,
) -> Outcome:
    """Train a classifier, choose its state on the validation images, and try it on the test images.

    Args:
        key: Root of the initial parameters, the batches and the orientations.
        network: Module with the images' logits.
        train: Images in [-1, 1] and their classes; each batch is drawn from them, all equally likely.
        valid: Images and classes that the state is chosen by.
        test: Images and classes of the final accuracy.
        num_steps: Updates.
        batch_size: Images per update.
        learning_rate: Rate of Adam.
        every: Updates between looks at the validation images.

    Raises:
        ValueError: A number outside its range, or a set without an image.
    """
    for name, value in (("num_steps", num_steps), ("batch_size", batch_size), ("every", every)):
        require.size(name, value)
    require.number("learning_rate", learning_rate, above=0)
    for name, (x, label) in {"train": train, "valid": valid, "test": test}.items():
        if not len(x) or len(x) != len(label):
            raise ValueError(f"{name} must be images and as many classes, got {len(x)} and {len(label)}")
    key_init, key_steps = jax.random.split(key)
    # Filled up with images that are never drawn, so that one compilation serves all folds.
    filling = -len(train[0]) % _FILLED
    x = jnp.asarray(np.concatenate([train[0], np.repeat(train[0][:1], filling, axis=0)]), jnp.float32)
    label = jnp.asarray(np.concatenate([train[1], np.repeat(train[1][:1], filling)]), jnp.int32)
    state = learning.create(optax.adam(learning_rate), jax.jit(network.init)(key_init, x[:1]))

    def correct(params: Any, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        parts = [
            np.asarray(_logits(network, params, images[k : k + _AT_ONCE])) for k in range(0, len(images), _AT_ONCE)
        ]
        return (np.concatenate(parts).argmax(axis=1) == classes).astype(np.float32)

    best, kept, at = -1.0, state.params, 0
    for end in counted(range(every, num_steps + every, every), "steps of a classifier", num_steps, every):
        end, num = jnp.int32(min(end, num_steps)), jnp.int32(len(train[0]))
        state = _advanced(network, learning_rate, batch_size, state, key_steps, x, label, num, end)
        found = float(correct(state.params, *valid).mean())
        if found > best:
            best, kept, at = found, state.params, int(state.step)
    hits = correct(kept, *test)
    return Outcome(float(hits.mean()), hits, best, at)


@partial(jax.jit, static_argnames=("network", "learning_rate", "batch_size"))
def _advanced(
    network: nn.Module,
    learning_rate: float,
    batch_size: int,
    state: Any,
    key: PRNGKey,
    x: Array,
    label: Array,
    num: Array,
    end: Array,
) -> Any:
    tx = optax.adam(learning_rate)

    def step(state: Any) -> Any:
        key_rows, key_turns = jax.random.split(jax.random.fold_in(key, state.step))
        rows = jax.random.randint(key_rows, (batch_size,), 0, num, jnp.int32)
        images = turned(key_turns, x[rows], -1.0)

        def loss(params: Any) -> Array:
            logits: Any = network.apply(params, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, label[rows]).mean()

        return learning.update(tx, state, jax.grad(loss)(state.params))

    return jax.lax.while_loop(lambda state: state.step < end, step, state)


@partial(jax.jit, static_argnames="network")
def _logits(network: nn.Module, params: Any, images: Array | np.ndarray) -> Array:
    return network.apply(params, images)  # pyright: ignore[reportReturnType]
