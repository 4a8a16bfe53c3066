"""What the devices that share a batch send one another in a training step: sums, and nothing else.

Every other collective would mean that examples move between devices, at a cost that grows with the batch.
"""

import jax
import pytest
from models import MODELS, VARIANTS

from jaxgen.train import compiled, parallel

LARGE = {"vae-bfloat16", "ensemble-of-vaes", "ddpm", "gan-convolutional"}
"""Models whose step takes long to compile, or is that of another one."""


def collectives(model, batch, num_devices=4):
    """Names of the collectives in the compiled step, one for each time that they stand there."""
    state = jax.eval_shape(model.init, jax.random.key(0), batch)
    mesh = parallel.mesh(num_devices)
    replicated, sharded = parallel.replicated(mesh), parallel.sharded(mesh)
    step = jax.jit(model.step, in_shardings=(replicated, replicated, sharded))
    return [found.kind for found in compiled.collectives(step.lower(jax.random.key(1), state, batch).compile())]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in {*VARIANTS, *LARGE} else ()) for name in MODELS],
)
def test_the_devices_exchange_sums_alone(name):
    model, dataset = MODELS[name]()
    found = collectives(model, dataset.train.batches(seed=0, batch_size=16)(0))
    assert set(found) == {"all-reduce"}
