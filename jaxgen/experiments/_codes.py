"""Codes of a VAE (M1): a data set of images as one of Q(z|X), learned without any label.

The VAE is that of a finished run, or one that is trained here, once, and then kept in the cache.
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import data, learning, runs, train, vae
from jaxgen.core import Batch, GenerativeModel, Objective, PRNGKey
from jaxgen.data import Dataset, Split
from jaxgen.data import cache as cached_arrays
from jaxgen.digest import digest, flatten

_BATCH_SIZE = 500


class Codes(NamedTuple):
    """A VAE that turns images into codes and back.

    Attributes:
        encode: (x [n, ...] in storage dtype) -> (mu [n, z], standard deviation [n, z]).
        decode: (z [n, z]) -> images in data space.
        digest: Digest of the VAE's variables.
    """

    encode: Callable[[Any], tuple[np.ndarray, np.ndarray]]
    decode: Callable[[Any], Array]
    digest: str


def of_run(folder: str) -> Codes:
    """The codes of a finished run of a VAE.

    Args:
        folder: The run's folder.

    Raises:
        ValueError: A run of something else than a VAE without conditions.
    """
    run = runs.load_model(folder)
    if not isinstance(run.model.parts, vae.Parts) or getattr(run.config, "model").condition:  # noqa: B009
        raise ValueError(f"features must be the folder of a run of a VAE without conditions, got {folder}")
    return _codes(run.model, run.state.variables)


def trained(dataset: Any, config: vae.Config, steps: int, batch_size: int, seed: int) -> Codes:
    """The codes of a VAE that is trained on the training images, or was before.

    Args:
        dataset: Images; their labels are not read.
        config: Configuration of the VAE.
        steps: Training steps.
        batch_size: Images of a step.
        seed: Seed of parameters, order and draws.
    """
    model = vae.model(config.lasting(steps), dataset.spec)
    source = f"{dataset.fingerprint} {config!r} seed {seed} steps {steps} batch {batch_size}"
    name = f"vae-{hashlib.sha256(source.encode()).hexdigest()[:24]}.npz"
    unlabelled = Split(dataset.train.x)
    batch_size = min(batch_size, len(unlabelled))

    def learnt() -> dict[str, np.ndarray]:
        batches = unlabelled.batches(seed=seed, batch_size=batch_size)
        state, _ = train.fit(model, batches, jax.random.key(seed), steps)
        return {path: np.asarray(leaf) for path, leaf in flatten(state.variables).items()}

    arrays = cached_arrays.cached(cached_arrays.folder(None) / "few_labels" / name, source, learnt)
    like = jax.eval_shape(model.init, jax.random.key(0), {"x": unlabelled.x[:1]}).variables
    return _codes(model, jax.tree.unflatten(jax.tree.structure(like), [arrays[path] for path in flatten(like)]))


def _codes(model: GenerativeModel, variables: Any) -> Codes:
    def encode(x: Any) -> tuple[np.ndarray, np.ndarray]:
        found = []
        for batch in Split(np.asarray(x)).evaluation_batches(min(_BATCH_SIZE, len(x))):
            mu, log_var = model.parts.encode(variables, batch["x"])
            real = batch["index"] >= 0
            found.append((np.asarray(mu)[real], np.exp(np.asarray(log_var)[real] / 2)))
        mu, spread = (np.concatenate(column) for column in zip(*found, strict=True))
        return mu, spread

    def decode(z: Any) -> Array:
        return model.parts.decode(variables, z)

    return Codes(encode, decode, digest(variables))


def coded(dataset: Any, codes: Codes) -> Dataset:
    """A data set of images as one of codes: x is mu, the field "spread" the standard deviation, labels are the same.

    Args:
        dataset: Images with labels.
        codes: The VAE.
    """
    splits = {}
    for name, split in dataset.splits.items():
        mu, spread = codes.encode(split.x)
        splits[name] = Split(mu, split.label, fields={"spread": spread})
    first = splits["train"]
    return data.from_arrays(
        first.x,
        first.label,
        fields=first.fields,
        valid=splits.get("valid"),
        test=splits["test"],
        class_names=dataset.spec.class_names,
        scale=data.Standardise(),
        name=f"{dataset.name}_codes",
    )


def drawn(objective: Objective[Any]) -> Objective[Any]:
    """The same objective on draws z ~ Q(z|X) = N(x, spread^2), new ones at every step.

    Args:
        objective: Objective of a model with few labels, on codes.

    Source: Kingma et al. 2014, section 2.1: the data of M2 are samples of M1's latent variables.
    """

    def loss(variables: Any, key: PRNGKey, batch: Batch, step: Any) -> Any:
        key, key_x, key_known = jax.random.split(key, 3)
        own = dict(batch)
        for of, key_of in (("", key_x), ("known_", key_known)):
            x, spread = jnp.asarray(batch[f"{of}x"]), jnp.asarray(batch[f"{of}spread"])
            own[f"{of}x"] = x + spread * jax.random.normal(key_of, x.shape, jnp.float32)
        return objective.loss(variables, key, own, step)

    return objective.replace(loss=loss)


def model(objective: Objective[Any], config: Any) -> GenerativeModel:
    """A model on codes that are drawn anew at every step.

    Args:
        objective: Objective of a model with few labels.
        config: Configuration of its VAE.
    """
    return learning.model(drawn(objective), config.optimizer.transformation())
