"""One call on one accelerator: speed, quality for the minute, repeatability; lines of JSON as they are found.

    python benchmarks/accelerator.py              # at most 530 seconds on a GPU, whatever happens
    python benchmarks/accelerator.py --smoke      # under a minute on a CPU: the same parts, tiny
    python benchmarks/accelerator.py --parts speed_128_tf32 speed_512_bf16 speed_512_tf32

    speed_B_P   a training step of ddpm.UNet.cifar10() at batch B in precision P (tf32, bf16), as `fit` runs it, beside
                torch.compile of the same network (the numbers of parameters are asserted equal), alternated: images/s,
                FLOPs as XLA counts those of a CPU's program, share of the card's peak
    repeat      2 N steps = N steps, checkpoint, restore, N steps, bit for bit, with deterministic operations
    upsample    a transposed convolution and both gradients: lax's own beside the form by phases
    attention   the forms of `jaxgen.nn.attention` with all gradients, and how far they are from the first one
    quality     mnist_ddpm after 1, 2 and 4 minutes of training: bits/dim and Fréchet distance on the test set; MNIST
                is found as `jaxgen.data.load` finds it (JAXGEN_DATA_DIR)

The parts come in the order of what is wanted most; a second call with --parts has those that found no time. Each is a
process of its own, which has the device to itself: one that fails, runs out of memory or is ended when the time is over
costs no other, and keeps the lines that it has written. On a GPU float32 products are made in TF32 on both sides,
unless jax is told otherwise; bf16 keeps parameters, losses and normalisations in float32 on both sides. `--smoke` has
all parts but one in one process, and leaves the peer uncompiled.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from accelerator_parts import PARTS

SECONDS, FEWEST = 530.0, 30.0
"""Seconds that a call takes at most, and fewest that a part is begun with."""


BESIDES = ("speed_128_tf32", "speed_512_bf16", "speed_512_tf32")
"""Parts that --smoke leaves out: `speed_128_bf16` goes the same way."""


def line(part: str, begin: float, found: dict[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps({"part": part, "seconds": round(time.perf_counter() - begin, 1), **found}), flush=True)


def work(name: str, smoke: bool) -> None:
    """Run a part in this process, with a line for all that it finds, and for its error."""
    begin = time.perf_counter()
    try:
        for found in PARTS[name](smoke):
            line(name, begin, found)
    except Exception as error:  # the other parts are worth having
        line(name, begin, {"error": f"{type(error).__name__}: {error}"[:2000]})


def isolated(name: str, smoke: bool, limit: float) -> None:
    """Run a part in a process of its own, which is ended after `limit` seconds."""
    begin = time.perf_counter()
    environment = dict(os.environ)
    # PyTorch's memory is in the same process.
    environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if name == "repeat":
        flags = f"{environment.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true"
        environment["XLA_FLAGS"] = flags.strip()
    command = [sys.executable, __file__, "--only", name, *(["--smoke"] if smoke else [])]
    # A session of its own: what it starts (compilers of PyTorch) is ended with it.
    part = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = part.communicate(timeout=limit)
        if part.returncode:
            line(name, begin, {"error": f"ended with {part.returncode}: {errors[-1500:]}"})
    except subprocess.TimeoutExpired:
        line(name, begin, {"error": f"ended after {limit:.0f} s, when the time was over"})
    finally:
        if part.poll() is None:
            os.killpg(part.pid, signal.SIGKILL)
            part.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see on a CPU that it runs")
    names = [name for name in PARTS if name != "environment"]
    parser.add_argument("--parts", nargs="*", default=None, choices=names, metavar="PART")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which the call has ended")
    parser.add_argument("--only", choices=list(PARTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        return work(arguments.only, arguments.smoke)
    if arguments.smoke:  # little is computed, so that compiling is what takes the time
        flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    begin = time.perf_counter()
    chosen = arguments.parts or [name for name in names if name not in BESIDES or not arguments.smoke]
    for name in ["environment", *chosen]:
        left = arguments.seconds - (time.perf_counter() - begin)
        if left < FEWEST:
            line(name, time.perf_counter(), {"skipped": f"{max(left, 0):.0f} s are left"})
        elif arguments.smoke and name != "repeat":
            work(name, arguments.smoke)
        else:
            isolated(name, arguments.smoke, left)
    return None


if __name__ == "__main__":
    main()
