"""How long does compilation take, against the number of steps T and the depth of the network?

    python benchmarks/compile_time.py [--repetitions 3] [--threads 2]

Of `ddpm.UNet` at 28 x 28, batch 32: a training step against the number of residual blocks, and ancestral sampling
against T, which must not matter. Every repetition compiles anew, without a cache.
"""

import argparse
import json
import statistics
import time
from typing import Any

import harness


def compile_seconds(function: Any, *arguments: Any) -> tuple[float, int]:
    """Seconds to trace, lower and compile, and the number of instructions, constants left out."""
    import jax

    jax.clear_caches()
    begin = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - begin
    return seconds, sum(" = " in s and " constant(" not in s for s in (compiled.as_text() or "").splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=3, help="compilations of each program")
    parser.add_argument("--threads", type=int, default=2, help="cores")
    arguments = parser.parse_args()
    harness.pin(arguments.threads)

    import jax
    import numpy as np

    from jaxgen import ddpm
    from jaxgen.core import Spec
    from jaxgen.runs import environment

    jax.config.update("jax_enable_compilation_cache", False)
    spec, key = Spec((28, 28, 1), "uint8", 256), jax.random.key(0)
    batch = {"x": np.zeros((32, 28, 28, 1), np.uint8)}

    def program(num_blocks: int, num_timesteps: int, what: str) -> tuple[Any, tuple[Any, ...]]:
        config = ddpm.Config(schedule=ddpm.Cosine(num_timesteps), network=ddpm.UNet(num_blocks=num_blocks))
        model = ddpm.model(config, spec)
        state = jax.eval_shape(model.init, key, batch)
        if what == "step":
            return model.step.__wrapped__, (key, state, batch)  # pyright: ignore[reportFunctionMemberAccess]
        return lambda key, state: model.sample(key, state.variables, 16), (key, state)

    programs = {f"step, {n} blocks per level": (n, 1000, "step") for n in (1, 2, 3)}
    programs |= {f"sample, T = {t}": (1, t, "sample") for t in (10, 100, 1000)}
    found = {}
    for name, choice in programs.items():
        runs = [compile_seconds(function, *rest) for function, rest in (program(*choice),) * arguments.repetitions]
        seconds = [round(s, 2) for s, _ in runs]
        found[name] = {"seconds": seconds, "median": statistics.median(seconds), "instructions": runs[0][1]}
        print(f"  {name:28}  {found[name]['median']:6.1f} s  {runs[0][1]} instructions", flush=True)
    print(json.dumps({"question": "compile seconds", "found": found, "environment": dict(environment.describe())}))


if __name__ == "__main__":
    main()
