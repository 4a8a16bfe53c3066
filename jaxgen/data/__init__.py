"""Data sets, and batches that are a function of a seed and a step.

    digits = data.load("digits")
    batches = digits.train.batches(seed=0, batch_size=128)
    batch = batches(step)                      # {"x", "label", "index"}, inside jit and scan as well

Generative modelling begins with samples x ~ p_data and no formula for p_data. A `Dataset` is such samples
in their storage dtype (uint8 or float32) with the `Spec` that a model needs; `Batches` takes them in an order
that a checkpoint need not store; the functions of `space` carry them to where a model computes.

The embedded digits need no download; `mnist`, `fashion_mnist` and `binarized_mnist` need the official files, and
no tensorflow. The toys (`ring`, `grid`, `two_moons`, `swiss_roll`) are the exception to the first sentence: their
p_data is known, so that what a model misses of it can be counted. So is that of `RandomField` (volumes) and
`LinearQuadratic` (trajectories), given an observation too. Of `Galaxies` the parameters are known, those of real ones
(`sdss_galaxies`, `radio_galaxies`) are not. `from_arrays`, `from_file`, `from_table`, `from_folder` and
`from_tfds` take what the user brings, and refuse by name what is not what it seems.

Real values in physical units are given a scale (`Standardise`, `ToRange`, `Arcsinh`, `Functions`): models compute on
scaled values, and what they hand out and measure is in the data's own units.

Data that do not fit into memory stay where they are: `open_folder`, `open_tfds` and `Examples` read one example at a
time, and their batches are a `Stream`, in the same order as if all were in memory.
"""

from jaxgen.data import (
    bouncing_balls,
    captions,
    colour,
    coloured_shapes,
    digit_frames,
    galaxies,
    low_resolution,
    masks,
    orientations,
    scenes,
    sersic,
)
from jaxgen.data.arrays import from_arrays, from_file
from jaxgen.data.batches import Batches
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.embedded import digits
from jaxgen.data.examples import Examples
from jaxgen.data.folder import from_folder, open_folder
from jaxgen.data.galaxies import Galaxies, GaussianPSF, MoffatPSF
from jaxgen.data.galaxy_files import radio_galaxies, sdss_galaxies
from jaxgen.data.gaussians import Gaussian, conditioned, observed_in_part
from jaxgen.data.iterator import from_iterator
from jaxgen.data.labelled import FewLabels, balanced_choice, few_labels
from jaxgen.data.linear_quadratic import LinearQuadratic, Problem
from jaxgen.data.mnist import binarized_mnist, fashion_mnist, mnist
from jaxgen.data.moving_digits import moving_digits
from jaxgen.data.names import load, located, names
from jaxgen.data.pairs import Images
from jaxgen.data.prepared import from_tfds, open_tfds
from jaxgen.data.random_fields import PowerLaw, RandomField, observe, wavenumbers
from jaxgen.data.scale import Arcsinh, Functions, Identity, Scale, Standardise, ToRange
from jaxgen.data.source import BatchSource
from jaxgen.data.space import from_model, from_signed, seen, to_model, to_seen, to_signed, to_unit
from jaxgen.data.stacked_digits import mode_of, stacked_digits
from jaxgen.data.stream import Stream
from jaxgen.data.table import from_table, write_table
from jaxgen.data.toys import grid, grid_centres, ring, ring_centres, swiss_roll, two_moons

__all__ = [
    "Arcsinh",
    "BatchSource",
    "Batches",
    "Dataset",
    "Examples",
    "FewLabels",
    "Functions",
    "Galaxies",
    "Gaussian",
    "GaussianPSF",
    "Identity",
    "Images",
    "LinearQuadratic",
    "MoffatPSF",
    "PowerLaw",
    "Problem",
    "RandomField",
    "Scale",
    "Split",
    "Standardise",
    "Stream",
    "ToRange",
    "balanced_choice",
    "binarized_mnist",
    "bouncing_balls",
    "captions",
    "colour",
    "coloured_shapes",
    "conditioned",
    "digit_frames",
    "digits",
    "fashion_mnist",
    "few_labels",
    "from_arrays",
    "from_file",
    "from_folder",
    "from_iterator",
    "from_model",
    "from_signed",
    "from_table",
    "from_tfds",
    "galaxies",
    "grid",
    "grid_centres",
    "load",
    "located",
    "low_resolution",
    "masks",
    "mnist",
    "mode_of",
    "moving_digits",
    "names",
    "observe",
    "observed_in_part",
    "open_folder",
    "open_tfds",
    "orientations",
    "radio_galaxies",
    "ring",
    "ring_centres",
    "scenes",
    "sdss_galaxies",
    "seen",
    "sersic",
    "stacked_digits",
    "swiss_roll",
    "to_model",
    "to_seen",
    "to_signed",
    "to_unit",
    "two_moons",
    "wavenumbers",
    "write_table",
]
