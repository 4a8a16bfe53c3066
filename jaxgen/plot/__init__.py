"""Pictures. Every function returns a matplotlib figure whose title says what is shown; `save` writes it.

Importing this package does not import matplotlib; drawing does.
"""

from jaxgen.plot import page
from jaxgen.plot.comparison import comparison
from jaxgen.plot.curves import curves
from jaxgen.plot.examples import examples
from jaxgen.plot.fields import arrows, fields
from jaxgen.plot.figures import Film, save
from jaxgen.plot.film import film
from jaxgen.plot.images import images, rows, tile
from jaxgen.plot.lines import lines
from jaxgen.plot.marginals import marginals
from jaxgen.plot.photographs import photographs
from jaxgen.plot.points import flow_lines, scatter
from jaxgen.plot.trajectories import Ways, trajectories

__all__ = [
    "Film",
    "Ways",
    "arrows",
    "comparison",
    "curves",
    "examples",
    "fields",
    "film",
    "flow_lines",
    "images",
    "lines",
    "marginals",
    "page",
    "photographs",
    "rows",
    "save",
    "scatter",
    "tile",
    "trajectories",
]
