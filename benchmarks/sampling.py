"""How long does a sample take, by which sampler in how many steps, and beside a loop in PyTorch?

    python benchmarks/sampling.py [--num 16] [--steps 10 50] [--threads 2]

The network is `ddpm.UNet()` on 28 x 28, T = 1000, with parameters as they are at the start; what it makes of the noise
does not matter to the time. PyTorch, where it is installed, runs the same network in a loop of DDIM, eagerly and
compiled, channels last, without gradients.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import harness


def jaxgen_turns(num: int, counts: list[int]) -> dict[str, Callable[[], float]]:
    import jax
    import numpy as np

    from jaxgen import ddpm
    from jaxgen.core import Spec

    model = ddpm.model(ddpm.Config(), Spec((28, 28, 1), "uint8", 256))
    state = model.init(jax.random.key(0), {"x": np.zeros((2, 28, 28, 1), np.uint8)})

    def turn_of(sampler: Any) -> Callable[[], float]:
        def turn() -> float:
            begin = time.perf_counter()
            jax.block_until_ready(model.sample(jax.random.key(1), state.variables, num, sampler=sampler))
            return num / (time.perf_counter() - begin)

        return turn

    samplers = [kind(steps) for steps in counts for kind in (ddpm.Ancestral, ddpm.DDIM, ddpm.DPMSolver)]
    return {f"jaxgen, {type(s).__name__}, {s.num_steps} steps": turn_of(s) for s in samplers}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--num", type=int, default=16, help="samples per turn")
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 50], help="numbers of steps")
    parser.add_argument("--threads", type=int, default=2, help="cores for each contestant")
    parser.add_argument("--repetitions", type=int, default=harness.REPETITIONS, help="turns per contestant")
    arguments = parser.parse_args()
    harness.pin(arguments.threads)

    contestants = jaxgen_turns(arguments.num, arguments.steps)
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: jaxgen alone")
    else:
        import torch
        import torch_unet

        torch.set_num_threads(arguments.threads)
        contestants |= {
            f"torch {'compiled' if compiled else 'eager'}, DDIM, {steps} steps": torch_unet.sampling_turn(
                arguments.num, steps, compiled
            )
            for steps in arguments.steps
            for compiled in (False, True)
        }
    found = harness.compete(contestants, arguments.repetitions)
    harness.report(f"samples/s, UNet at 28 x 28, {arguments.num} at once", "samples/s", found)
    for name, result in found.items():
        print(f"  {name}: {1000 / result['rate']:.1f} ms per sample")


if __name__ == "__main__":
    main()
