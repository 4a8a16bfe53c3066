"""Causes of a run's bits besides its config: versions, device, flags."""

import os
import platform
from importlib import metadata
from typing import Any

import jax

import jaxgen
from jaxgen.nn import cpu

FLAGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
)


def describe() -> dict[str, Any]:
    """Versions, device and flags of this process, as they stand in a manifest."""
    device = jax.devices()[0]
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "versions": {
            "jaxgen": jaxgen.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in packages},
        },
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            "machine": platform.machine(),
            "cores": cores(),
            # Only where there are several: manifests of before are silent about it.
            **({"processes": jax.process_count()} if jax.process_count() > 1 else {}),
        },
        "flags": {
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
            **{name: _flag(name) for name in FLAGS},
            # Only where it is switched off: manifests of before are silent about it.
            **({} if cpu.ENABLED else {"JAXGEN_CPU_FORMS": "0"}),
        },
    }


def cores() -> int | None:
    """Cores that this process may use, not those of the machine: a convolutional run pinned to one core was seen to
    have other bits than on two."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _flag(name: str) -> Any:
    value = getattr(jax.config, name)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
