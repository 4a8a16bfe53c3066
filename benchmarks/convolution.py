"""How long do a convolution and both its gradients take, by lax and by jaxgen, by itself and inside a scan?

    python benchmarks/convolution.py [--threads 2] [--repetitions 5]

The table in docs/results.md is this one. lax inside a scan takes seconds for some of them. For the difference that
`jaxgen.nn.cpu` makes by itself, run it with JAXGEN_CPU_FORMS=0 as well.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import harness

# input [batch, *space, in], kernel [*space, in, out], stride, dilation of the input (a transposed convolution)
CASES = [
    ((32, 28, 28, 64), (3, 3, 64, 64), 1, 1),
    ((32, 14, 14, 128), (3, 3, 128, 128), 1, 1),
    ((64, 28, 28, 1), (3, 3, 1, 32), 2, 1),
    ((64, 14, 14, 32), (3, 3, 32, 64), 2, 1),
    ((64, 14, 14, 64), (4, 4, 64, 128), 2, 1),
    ((64, 28, 28, 32), (3, 3, 32, 1), 1, 1),
    ((64, 7, 7, 64), (4, 4, 64, 32), 1, 2),
]


def turns(case: tuple[Any, ...]) -> dict[str, Callable[[], float]]:
    """By name, steps per second of a convolution and both gradients."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from jaxgen.nn import conv_general_dilated

    shape, kernel_shape, stride, dilation = case
    padding = "SAME" if dilation == 1 else ((2, 2), (2, 2))
    key_x, key_kernel = jax.random.split(jax.random.key(0))
    start = jax.random.normal(key_x, shape), 0.1 * jax.random.normal(key_kernel, kernel_shape)

    def turn(convolution: Callable[..., Any], looped: bool) -> Callable[[], float]:
        def step(carry: Any, _: Any = None) -> Any:
            def loss(x: Any, kernel: Any) -> Any:
                strides, spacing = (stride, stride), (dilation, dilation)
                layout = ("NHWC", "HWIO", "NHWC")
                return jnp.sum(jnp.sin(convolution(x, kernel, strides, padding, spacing, None, layout)))

            # What comes out goes in again, so that nothing can be left out.
            return jax.tree.map(lambda v, g: v + 1e-6 * g, carry, jax.grad(loss, argnums=(0, 1))(*carry)), None

        steps = 4
        run = jax.jit(lambda carry: lax.scan(step, carry, length=steps)[0] if looped else step(carry)[0])

        def timed() -> float:
            carry = start
            begin = time.perf_counter()
            for _ in range(1 if looped else steps):
                carry = run(carry)
            jax.block_until_ready(carry)
            return steps / (time.perf_counter() - begin)

        return timed

    pair = {"lax": lax.conv_general_dilated, "jaxgen": conv_general_dilated}
    return {f"{name}, {where}": turn(f, where == "scan") for name, f in pair.items() for where in ("itself", "scan")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=harness.REPETITIONS)
    options = parser.parse_args()
    harness.pin(options.threads)

    from jaxgen.runs import environment

    print("milliseconds per step, by itself / inside a scan")
    milliseconds = {}
    for case in CASES:
        found = harness.compete(turns(case), options.repetitions)
        name = f"{' x '.join(map(str, case[0]))}, {case[0][-1]} -> {case[1][-1]}, stride {case[2]}, dilation {case[3]}"
        milliseconds[name] = {turn: 1e3 / result["rate"] for turn, result in found.items()}
        columns = [
            " / ".join(f"{milliseconds[name][f'{who}, {where}']:.3g}" for where in ("itself", "scan"))
            for who in ("lax", "jaxgen")
        ]
        print(f"  {name:55}  lax {columns[0]:>14}  jaxgen {columns[1]:>14}", flush=True)
    print(json.dumps({"milliseconds": milliseconds, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
