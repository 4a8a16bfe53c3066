"""The conditions of a batch and of samples, from what a caller gives to what a network receives.

    training        fields of the batch, each condition withheld from some examples
    evaluation      fields of the batch
    samples         label=3, condition={"low": images}: one value for all, or one for each

A condition that is left out is withheld, if the model has learned to go without it.
"""

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.core import PRNGKey, Spec
from jaxgen.inputs import checked_condition, checked_label
from jaxgen.nn import conditions as forms
from jaxgen.nn.conditions import Concat, Conditions


def for_training(
    key: PRNGKey, conditions: Conditions, spec: Spec, fields: Mapping[str, Array], num: int
) -> dict[str, Array]:
    """Conditions of a batch in the form that a network receives, some withheld.

    Args:
        key: Key of the draws that decide which are withheld.
        conditions: Conditions by name.
        spec: Description of the data.
        fields: Fields of the batch in storage dtype.
        num: Number of examples.
    """
    return forms.given(conditions, spec, fields, forms.withhold(key, conditions, num)) if conditions else {}


def chosen(
    conditions: Conditions,
    spec: Spec,
    num: int,
    label: Any = None,
    condition: Any = None,
    required: bool = True,
    drawn: Collection[str] = ("label",),
) -> dict[str, Array]:
    """Conditions of `num` samples as a caller gives them, checked, one value for each sample.

    Args:
        conditions: Conditions of the model, by name.
        spec: Description of the data.
        num: Number of samples.
        label: The label, short for condition={"label": label}.
        condition: Values by name, in storage dtype; one for all samples, or one for each. None for one that is to be
            withheld.
        required: Whether a condition that the model never learned to go without must be given.
        drawn: Names that need not be given even so: those for which a family has a default of its own.

    Returns:
        The fields that are given, each [num, ...]; those to be withheld are left out.

    Raises:
        ValueError: A condition that the model does not have, or that is required; another shape or dtype, a value out
            of range (of traced values unchecked), a label that occurs in no training example.
    """
    if condition is not None and not isinstance(condition, Mapping):
        kind = type(condition).__name__
        raise ValueError(f"condition must be a mapping of names to values, no condition is without one, got {kind}")
    asked = {name: value for name, value in (condition or {}).items() if value is not None}
    if label is not None:
        if "label" not in conditions:
            checked_label(label, num, None)
        if "label" in asked:
            raise ValueError(
                'label must be None where condition has one, got both: condition={"label": ...} is the same'
            )
        asked["label"] = label
    fields = checked_condition(asked, num, conditions, spec)
    for name, own in conditions.items():
        if name not in fields and required and name not in drawn and own.dropout == 0:
            raise ValueError(
                f'condition must hold "{name}", got {", ".join(asked) or "none"}: the model has never gone without it '
                "in training (dropout=0)"
            )
    return fields


def label_is_drawn(conditions: Conditions, label: Any, condition: Any) -> bool:
    """Whether samples have labels of their own drawing: the model takes one, and the caller speaks of none.

    condition={"label": None} does speak of it: the label is withheld.
    """
    spoken = label is not None or (isinstance(condition, Mapping) and "label" in condition)
    return "label" in conditions and not spoken


def steered(conditions: Conditions, fields: Mapping[str, Array], guidance: Any) -> list[str]:
    """Names of the given conditions that guidance may withhold, since the model has learned to go without them.

    Args:
        conditions: Conditions of the model, by name.
        fields: Fields that are given.
        guidance: Weight of guidance; None for none.

    Raises:
        ValueError: A weight where no such condition is given.
    """
    names = [name for name in fields if name in conditions and conditions[name].dropout > 0]
    if guidance is not None and not names:
        raise ValueError(
            "guidance needs a label, or another condition, that the model has learned to go without: of dropout "
            f"(for conditional=True: label_dropout) above 0, got {', '.join(fields) or 'no condition'} of "
            + (", ".join(f"{name} with dropout {conditions[name].dropout:g}" for name in conditions) or "none")
        )
    return names


def mirror(mirrored: Array, x: Array) -> Array:
    """Images [B, h, w, c], of which some are mirrored left to right."""
    return jnp.where(mirrored, jnp.flip(x, axis=2), x)


def mirror_images(mirrored: Array, conditions: Conditions, given: Mapping[str, Array]) -> dict[str, Array]:
    """Forms of conditions, of which images are mirrored with x."""
    images = {name for name, condition in conditions.items() if isinstance(condition, Concat)}
    return {name: mirror(mirrored, form) if name in images else form for name, form in given.items()}


def for_samples(conditions: Conditions, spec: Spec, fields: Mapping[str, Array], num: int) -> dict[str, Array]:
    """Conditions of samples in the form that a network receives; those that are not among the fields are withheld."""
    there = {name: condition for name, condition in conditions.items() if name in fields}
    missing = {name: condition for name, condition in conditions.items() if name not in fields}
    return {
        **(forms.given(there, spec, fields) if there else {}),
        **(forms.absent(missing, spec, num) if missing else {}),
    }
