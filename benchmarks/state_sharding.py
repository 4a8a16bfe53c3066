"""How many bytes does each device hold when the state is divided among them? (`shard_state`)

    python benchmarks/state_sharding.py [--devices 8] [--batch-size 128]

The training step of the CIFAR-10 U-Net (`ddpm.UNet.cifar10()`, 35.7 million parameters) is compiled for virtual devices
of this CPU, from shapes alone: no array is made. Two compilations, of a minute or two each.
"""

import argparse
import math
import os
import time
from collections import Counter


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    options = parser.parse_args()
    # The sizes of buffers do not depend on how well LLVM optimises the code.
    os.environ["XLA_FLAGS"] = (
        f"--xla_force_host_platform_device_count={options.devices} --xla_backend_optimization_level=0"
    )
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from jaxgen import ddpm
    from jaxgen.core import Spec
    from jaxgen.train import compiled, parallel

    spec = Spec((32, 32, 3), "uint8", 256)
    model = ddpm.model(ddpm.Config(network=ddpm.UNet.cifar10()), spec)
    mesh = parallel.mesh(options.devices)
    batch = {
        "x": jax.ShapeDtypeStruct((options.batch_size, *spec.event_shape), spec.dtype),
        "index": jax.ShapeDtypeStruct((options.batch_size,), "int32"),
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(model.init, key, batch)
    whole = jax.tree.map(lambda _: parallel.replicated(mesh), state)
    divided = parallel.state_sharding(mesh, state)

    def megabytes(part, sharding) -> float:
        def size(leaf, at) -> int:
            return leaf.dtype.itemsize * math.prod(at.shard_shape(leaf.shape))

        return sum(jax.tree.leaves(jax.tree.map(size, part, sharding))) / 1e6

    parts = ("params", "opt_state", "ema")
    print(f"{options.devices} devices, batch {options.batch_size}; MB per device")
    for name in parts:
        before, after = (megabytes(getattr(state, name), getattr(at, name)) for at in (whole, divided))
        print(f"{name:12} {before:8.1f} {after:8.1f}  {after / before:.4f}")
    for shard_state, sharding in ((False, whole), (True, divided)):

        def step(key, state, batch, shard_state=shard_state):
            if not shard_state:
                return model.step(key, state, batch)
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                after, metrics = model.step(key, parallel.in_use(state, mesh), batch)
            return parallel.at_rest(after, mesh), metrics

        places = (parallel.replicated(mesh), sharding, parallel.sharded(mesh))
        begin = time.perf_counter()
        program = jax.jit(step, in_shardings=places, donate_argnums=1).lower(key, state, batch).compile()
        sizes = program.memory_analysis()
        assert sizes is not None
        collectives = Counter(found.kind for found in compiled.collectives(program))
        print(
            f"shard_state={shard_state}: arguments {sizes.argument_size_in_bytes / 1e6:.1f}, temporary "
            f"{sizes.temp_size_in_bytes / 1e6:.1f}, {dict(collectives)}, {time.perf_counter() - begin:.0f} s to compile"
        )


if __name__ == "__main__":
    main()
