"""Few labels: a data set of which a handful of examples have a label that is known, and all others have none.

    few = data.few_labels(data.digits(), jax.random.key(0), per_class=10, draws=5)
    few.train.label         the label where it is known in some draw, 0 everywhere else, whatever the class
    few.train.fields        "labelled" [N, draws]: whether the label is known, for each draw of the labels by itself

A handful is met too rarely in batches of all examples. Batches for training therefore have a labelled example beside
every example, one of each draw:

    {"x" [B, *event], "index" [B], "known_x" [B, draws, *event], "known_label" [B, draws]}

and no other label, so that none can leak. `of_draw` and `of_draws` take the batches of single draws out of them.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int

from jaxgen import require
from jaxgen.core import Batch, Field, PRNGKey, Spec
from jaxgen.data.batches import Batches
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.spread import spread
from jaxgen.inputs import checked_batch

KNOWN = "known_"
"""Beginning of the names of a batch's fields that belong to the labelled example."""


def balanced_choice(key: PRNGKey, labels: Int[Array | np.ndarray, " n"], per_class: int) -> Int[np.ndarray, " k"]:
    """Indices of as many examples of every class, drawn without replacement: [per_class * number of classes].

    Args:
        key: Key of the draw.
        labels: Classes of all examples.
        per_class: Examples of each class.

    Raises:
        ValueError: per_class below 1, or a class with fewer examples.
    """
    require.typed_key("key", key)
    labels = require.plain_array("labels", labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.size == 0:
        raise ValueError(f"labels must be integers [n], at least one, got {labels.dtype}{list(labels.shape)}")
    _, counts = np.unique(labels, return_counts=True)
    require.integer("per_class", per_class, 1, int(counts.min()), "the size of the smallest class")
    # Sorted by class and, within each, by a random number: the first of each class are its draw.
    order = np.lexsort((np.asarray(jax.random.uniform(key, labels.shape, jnp.float32)), labels))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return order[(first[:, None] + np.arange(per_class)[None]).ravel()]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class FewLabels(Split):
    """Training examples with the field "labelled" [N, draws]; labels that are known in no draw are not told.

    Each draw has as many labelled examples as the others. Batches are as the module's docstring has them.
    """

    def known(self, draw: int = 0) -> Split:
        """The labelled examples of one draw, in the order of the data.

        Args:
            draw: Number of the draw of the labels.
        """
        labelled = self.fields["labelled"]
        draw = require.integer("draw", draw, 0, labelled.shape[1] - 1, "the draws of the labels")
        return self.rows(np.flatnonzero(labelled[:, draw]))

    def batches(self, seed: int, batch_size: int) -> "Beside":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Batches of all examples, with a labelled one of each draw beside every example.

        Args:
            seed: 0 .. 2^32 - 1.
            batch_size: At most the number of examples.
        """
        each = [self.known(s) for s in range(self.fields["labelled"].shape[1])]
        drawn = [{**columns_of(split), "label": split.label} for split in each]
        known = jax.tree.map(lambda *arrays: jnp.stack([jnp.asarray(a) for a in arrays]), *drawn)
        return Beside(Split.of(columns_of(self)).batches(seed, batch_size), known)


def columns_of(split: Split) -> dict[str, Any]:
    """The arrays of a split but for its labels."""
    return {name: array for name, array in split.arrays.items() if name not in ("label", "labelled")}


@functools.partial(jax.tree_util.register_dataclass, data_fields=("batches", "known"), meta_fields=())
@dataclass(frozen=True, eq=False)
class Beside:
    """Batches of all examples with a labelled example of each draw beside every one, as a pytree; a `BatchSource`.

    Position p = step * B + j of the run has the labelled example p modulo their number.

    Attributes:
        batches: Batches of the examples without labels.
        known: "x" [draws, n, *event], "label" [draws, n] and further fields of the labelled examples.
    """

    batches: Batches
    known: Any

    @property
    def batch_size(self) -> int:
        """Examples of a batch; as many labelled ones of each draw are beside them."""
        return self.batches.batch_size

    def __call__(self, step: Any) -> Batch:
        """The batch of one step."""
        batch = self.batches(step)
        num = self.known["label"].shape[1]
        # (step * B outgrows 32 bits.)
        first = jnp.asarray(step, jnp.int32) % num * jnp.int32(self.batch_size % num)
        row = (first + jnp.arange(self.batch_size, dtype=jnp.int32)) % num
        known = {KNOWN + name: jnp.moveaxis(array[:, row], 0, 1) for name, array in self.known.items()}
        return {**batch, **known}

    def feed(self, first: int, num: int) -> "Beside":
        """Batches for a compiled loop: the object itself, since the device holds all data."""
        del first, num
        return self

    def reach(self, first: int) -> int:
        """How many steps from `first` on a feed holds: all there are."""
        return self.batches.reach(first)

    def on(self, mesh: Mesh) -> "Beside":
        """The same batches, with all data on every device of a mesh."""
        return spread(self, NamedSharding(mesh, PartitionSpec()))


def few_labels(dataset: Dataset, key: PRNGKey, per_class: int = 10, draws: int = 1) -> Dataset:
    """The same data with few labels for training, as many of each class; test and validation sets keep all.

    Args:
        dataset: Data with labels, in memory.
        key: Root of the draws; those of draw s come from fold_in(key, s).
        per_class: Labelled examples of each class.
        draws: Draws of the labels, for the spread of whatever is learned from them.

    Raises:
        ValueError: Data without labels, draws below 1, or a class with fewer than `per_class` training examples.
    """
    train, num_classes = dataset.train, dataset.spec.num_classes
    require.size("draws", draws)
    if train.label is None or num_classes is None:
        raise ValueError(f"dataset must have labels, got {dataset.name} without")
    labelled = np.zeros((len(train), draws), np.bool_)
    for s in range(draws):
        labelled[balanced_choice(jax.random.fold_in(key, s), train.label, per_class), s] = True
    # What no draw knows is not there to be read.
    label = np.where(labelled.any(axis=1), train.label, 0)
    splits = {name: _flagged(split, draws) for name, split in dataset.splits.items() if name != "train"}
    few = FewLabels(train.x, label, train.mask, {**train.fields, "labelled": labelled})
    fields = {**dataset.spec.fields, "labelled": Field((draws,), "bool")}
    return replace(dataset, spec=replace(dataset.spec, fields=fields), train=few, **splits)


def of_draw(batch: Mapping[str, Any], draw: int = 0) -> dict[str, Any]:
    """The batch of one draw of the labels: "known_x" [B, *event] and "known_label" [B] beside the rest.

    Args:
        batch: A batch of `FewLabels`.
        draw: Number of the draw of the labels.
    """
    return {name: value[:, draw] if name.startswith(KNOWN) else value for name, value in batch.items()}


def of_draws(batch: Mapping[str, Any], draws: int | None = None) -> dict[str, Any]:
    """The batches of all draws, stacked: each field [draws, B, ...]. All have the same examples without labels.

    Args:
        batch: A batch of `FewLabels`, or any other, which is then each draw's.
        draws: Number of draws; needed for a batch without labelled examples, which is enough to initialise a model.
    """
    num = batch[KNOWN + "label"].shape[1] if draws is None else draws
    return {
        name: jnp.moveaxis(jnp.asarray(value), 1, 0)
        if name.startswith(KNOWN)
        else jnp.broadcast_to(jnp.asarray(value)[None], (num, *jnp.shape(value)))
        for name, value in batch.items()
    }


def known(batch: Batch, spec: Spec) -> tuple[Array, Array]:
    """The labelled examples that lie beside those of a batch, and their labels.

    Args:
        batch: A batch of one draw of the labels, see `of_draw`.
        spec: Description of the data.

    Raises:
        ValueError: None are there, or of another shape or dtype.
    """
    for name in (KNOWN + "x", KNOWN + "label"):
        if batch.get(name) is None:
            raise ValueError(f'batch must hold "{name}", as those of data.FewLabels do, got {", ".join(batch)}')
    beside = checked_batch({"x": batch[KNOWN + "x"], "label": batch[KNOWN + "label"]}, spec, needs=("label",))
    if beside["x"].shape != jnp.shape(batch["x"]):
        raise ValueError(f"known_x must have the shape of x, {jnp.shape(batch['x'])}, got {beside['x'].shape}")
    return beside["x"], beside["label"]


def _flagged(split: Split, draws: int) -> Split:
    labelled: Bool[np.ndarray, "n draws"] = np.ones((len(split), draws), np.bool_)
    return Split(split.x, split.label, split.mask, {**split.fields, "labelled": labelled})
