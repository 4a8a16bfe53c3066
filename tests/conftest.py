"""The strict world in which every test runs.

Shapes in signatures are checked, ranks and dtypes are never promoted silently, warnings are errors
(pyproject.toml) and there are four CPU devices, so that what holds on one device is also tried on several.
"""

import atexit
import os
import shutil
import signal
import tempfile
from importlib.metadata import version

# The same small programs are compiled over and over: one cache for this session, its workers and subprocesses.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxgen-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if os.environ["JAX_PLATFORMS"] != "cpu":
    # `JAX_PLATFORMS=cuda,cpu python -m pytest ...`: workers share the device; bits must repeat, products be exact.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background so, and processes inherit it; tests send this signal to themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Two workers whose matrix products each wait for threads on both cores take thirty times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
if "JAXGEN_TESTS_OPTIMIZED" not in os.environ:
    # Two thirds of the time of the tests are XLA's, on programs that run for milliseconds: `make test-all` lets it
    # do its best. A flag that it does not know stops it, so the others are for the version of constraints.txt only.
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    if version("jaxlib").startswith("0.10."):
        flags = (
            "--xla_cpu_use_fusion_emitters=false",
            "--xla_llvm_disable_expensive_passes=true",
            "--xla_cpu_parallel_codegen_split_count=1",  # the other worker has the other core
        )
        os.environ["XLA_FLAGS"] = " ".join([os.environ["XLA_FLAGS"], *flags])
# Where an operation was called is of no use to a test; to look it up costs a tenth of the tracing.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

import jax
import pytest
from costly import COSTLY
from jaxtyping import install_import_hook

ON_CPU = os.environ["JAX_PLATFORMS"] == "cpu"
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Must come before the first import of jaxgen. (A campaign calls it as a user's program does, without.)
if "JAXGEN_TESTS_PLAIN" not in os.environ:
    install_import_hook("jaxgen", "beartype.beartype")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        case = item.nodeid.removeprefix("tests/")
        if case in COSTLY or case.partition("[")[0] in COSTLY:
            item.add_marker(pytest.mark.slow)
    if not ON_CPU:
        skip = pytest.mark.skip(reason="about programs that are written for XLA's CPU compiler")
        for item in items:
            if item.get_closest_marker("cpu"):
                item.add_marker(skip)


if not ON_CPU:

    @pytest.fixture(autouse=True)
    def as_many_devices_as_there_are(monkeypatch):
        """Skip a test that wants more devices than the machine has."""
        from jaxgen.train import parallel

        mesh, there = parallel.mesh, len(jax.devices())

        def counted(num_devices=None, *arguments, **options):
            if num_devices is not None and num_devices > there:
                pytest.skip(f"{num_devices} devices are wanted, {there} are there")
            return mesh(num_devices, *arguments, **options)

        monkeypatch.setattr(parallel, "mesh", counted)
