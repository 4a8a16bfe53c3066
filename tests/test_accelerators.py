"""Every model is made for accelerators: it lowers for CUDA and TPU, and compiles for a TPU where libtpu is at hand.

Lowering needs no accelerator: it finds primitives without a rule for a platform, and calls back to the host. TPU's
compiler is the package libtpu, which needs no TPU to compile for one.
"""

import importlib.util
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh
from models import MODELS, VARIANTS

from jaxgen.nn import attention
from jaxgen.train import compiled, parallel


def shapes(tree, sharding=None):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def programs(name):
    """By name, what a model computes on a device, and the shapes that it does so for."""
    model, dataset = MODELS[name]()
    batch = dataset.train.batches(seed=0, batch_size=16)(0)
    key = jax.random.key(0)
    state = jax.eval_shape(model.init, key, batch)
    return {
        "step": (model.step, (key, state, batch)),
        "sample": (lambda key, variables: model.sample(key, variables, 2), (key, state.variables)),
        "evaluate": (model.evaluate, (key, state.variables, batch)),
    }


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in VARIANTS else ()) for n in MODELS])
def test_everything_lowers_for_cuda_and_tpu(name):
    for program, arguments in programs(name).values():
        exported = jax.export.export(jax.jit(program), platforms=("cuda", "tpu"))(*shapes(arguments))
        assert exported.platforms == ("cuda", "tpu")
        text = exported.mlir_module()
        assert "callback" not in text
        assert "f64" not in text


@pytest.mark.parametrize("kernel", ["einsum", "dot_product"])
def test_attention_in_half_precision_lowers_for_cuda_and_tpu(kernel):
    def loss(q):
        return attention(q, q, q, jnp.ones(q.shape[:2], bool), kernel).astype(jnp.float32).sum()

    q = jax.ShapeDtypeStruct((2, 16, 2, 8), jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):  # jax's own function needs it
        exported = jax.export.export(jax.jit(jax.value_and_grad(loss)), platforms=("cuda", "tpu"))(q)
    # The products for the gradients of queries and keys, which take the softmax's float32.
    assert ("xf32>, tensor<2x16x2x8xf32>" in exported.mlir_module()) == (kernel == "einsum")


@pytest.fixture(scope="module")
def chips():
    """Four chips of a TPU v5e that are not there."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu, the compiler for TPUs, is not installed")
    with pytest.MonkeyPatch.context() as patch:
        surroundings = {"SKIP_MDS_QUERY": "1", "ACCELERATOR_TYPE": "v5litepod-4", "WORKER_ID": "0"}
        for name, value in {**surroundings, "WORKER_HOSTNAMES": "localhost"}.items():
            patch.setenv(f"TPU_{name}", os.environ.get(f"TPU_{name}", value))
        patch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # it only compiles; other workers of the tests may as well
        found = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices
    return Mesh(np.array(found), (parallel.AXIS,), axis_types=(AxisType.Auto,))


EXAMPLES = {"gan": 8, "gan-convolutional": 16}
"""Real and generated examples, as many each, of one update of the GANs."""


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_four_chips_of_a_tpu_exchange_sums_alone(name, chips):
    replicated, sharded = parallel.replicated(chips), parallel.sharded(chips)
    step, (key, state, batch) = programs(name)["step"]
    arguments = (shapes(key, replicated), shapes(state, replicated), shapes(batch, sharded))
    program = jax.jit(step).lower(*arguments).compile()
    found = compiled.collectives(program)
    gathered = [one.bytes for one in found if one.kind == "all-gather"]
    assert {one.kind for one in found} - {"all-gather"} == {"all-reduce"}
    # The metric `diversity` has every example beside every other, of the real ones and of the generated ones. A sum of
    # which each device fills its own part is a gathering, and this compiler makes it one.
    assert len(gathered) <= 2 and set(gathered) <= {4 * EXAMPLES.get(name, 0) * batch["x"][0].size}  # float32
    assert 0 < compiled.bytes_per_device(program) < 16 * 2**30
