"""Pictures of examples of a data set, as its spec says how they are seen."""

from collections.abc import Mapping
from typing import Any

from jaxgen import plot
from jaxgen.core import Spec
from jaxgen.data import space


def examples(groups: Mapping[str, Any], spec: Spec, *, title: str, columns: int | None = None) -> Any:
    """Groups of examples under each other: real values on their scale, in colours that span the data's own range.

    Points of the plane and tables stay in their own units; of a table each column is drawn by itself.

    Args:
        groups: Examples [n, *event] by name, in data space.
        spec: Description of the data.
        title: Title of the figure; a scale is named in it.
        columns: Images per row, as in `plot.examples`.

    Returns:
        A matplotlib figure.
    """
    if spec.columns is not None:
        return plot.marginals(groups, spec.columns, title=title)
    if spec.event_shape == (2,):
        return plot.examples(groups, title=title, columns=columns)
    seen = {name: x if spec.scale is None else space.seen(x, spec) for name, x in groups.items()}
    return plot.examples(seen, title=title + space.on_scale(spec), columns=columns, **space.colours(spec))
