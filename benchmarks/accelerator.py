"""One call on one accelerator: speed, quality for the minute, repeatability; a line of JSON after each part.

    python benchmarks/accelerator.py              # under 9 minutes on a GPU; what does not fit in any more is skipped
    python benchmarks/accelerator.py --smoke      # under a minute on a CPU: the same parts, tiny
    python benchmarks/accelerator.py --parts speed_128_bf16 repeat

    speed_B_P   a training step of ddpm.UNet.cifar10() at batch B in precision P (tf32, bf16), as `fit` runs it, beside
                torch.compile of the same network (the numbers of parameters are asserted equal), alternated: images/s,
                FLOPs of the lowered step as XLA counts them, share of the card's peak
    repeat      2 N steps = N steps, checkpoint, restore, N steps, bit for bit, with deterministic operations
    upsample    a transposed convolution and both gradients: lax's own beside the form by phases
    quality     mnist_ddpm after 1, 2 and 4 minutes of training: bits/dim and Fréchet distance on the test set; MNIST
                is found as `jaxgen.data.load` finds it (JAXGEN_DATA_DIR)

On a GPU float32 products are made in TF32 on both sides, unless jax is told otherwise; bf16 keeps parameters, losses
and normalisations in float32 on both sides. `--smoke` leaves the peer uncompiled.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import harness

LIMIT = 520.0
"""Seconds after which no further part is begun."""

PEAK = {
    "H100": {"tf32": 494.7e12, "bf16": 989.4e12},
    "H200": {"tf32": 494.7e12, "bf16": 989.4e12},
    "A100": {"tf32": 156e12, "bf16": 312e12},
    "L4": {"tf32": 60e12, "bf16": 121e12},
    "TPU v5": {"tf32": None, "bf16": 197e12},
    "TPU v6": {"tf32": None, "bf16": 918e12},
}
"""Dense peak operations per second, from the makers' data sheets, by a part of the device's name."""


def peak(precision: str) -> float | None:
    import jax

    kind = jax.devices()[0].device_kind
    return next((of[precision] for name, of in PEAK.items() if name in kind), None)


def images(num: int, size: int, channels: int) -> Any:
    """uint8 images [num, size, size, channels] of noise; what they show does not matter here."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (num, size, size, channels), dtype=np.uint8)


def speed(batch: int, precision: str, smoke: bool) -> dict[str, Any]:
    """Images per second of a training step, beside PyTorch."""
    import jax

    from jaxgen import data, ddpm, train
    from jaxgen.experiments import cifar10_ddpm

    # As the paper has it; attention keeps its one head.
    sizes: dict[str, Any] = {"features": 8, "num_groups": 4, "multipliers": (1, 2), "num_blocks": 1} if smoke else {}
    network = ddpm.UNet.cifar10(**sizes)
    batch, steps, turns = (4, 2, 1) if smoke else (batch, max(4, 4096 // batch), 3)
    config = replace(
        cifar10_ddpm.Config().model, network=network, dtype="bfloat16" if precision == "bf16" else "float32"
    )
    x = images(64, 8, 3) if smoke else images(20_000, 32, 3)
    dataset = data.from_arrays(x, valid=None, test=0.1)
    model = ddpm.model(config, dataset.spec)
    batches, key = dataset.train.batches(seed=0, batch_size=batch), jax.random.key(0)
    state = model.init(key, batches(0))
    num = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    lowered = jax.jit(model.step).lower(key, state, batches(0))
    flops = float((lowered.cost_analysis() or {}).get("flops", float("nan")))

    def ours() -> float:
        _, history = train.fit(model, batches, key, steps, state=state, progress=False, chunk_steps=steps)
        return batch * history.steps_per_second

    contestants: dict[str, Callable[[], float]] = {"jaxgen, fit": ours}
    if importlib.util.find_spec("torch") is not None:
        way = "eager" if smoke else "compiled"
        contestants[f"torch, {way}, fused Adam"] = _torch_turn(network, x, batch, steps, precision, num, not smoke)
    found = harness.compete(contestants, turns)
    limit = peak(precision)
    for result in found.values():
        result["model_flops_per_s"] = result["rate"] / batch * flops
        result["share_of_peak"] = None if limit is None else round(result["model_flops_per_s"] / limit, 4)
    memory = jax.local_devices()[0].memory_stats() or {}
    return {
        "parameters": num,
        "batch": batch,
        "precision": precision,
        "flops_per_step": flops,
        "peak_flops": limit,
        "images_per_s": found,
        "peak_bytes": memory.get("peak_bytes_in_use"),
    }


def _torch_turn(
    network: Any, x: Any, batch: int, steps: int, precision: str, num: int, compiled: bool
) -> Callable[[], float]:
    import torch
    import torch_unet

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    sizes = {name: getattr(network, name) for name in ("features", "multipliers", "num_blocks", "attention")}
    peer = torch_unet.UNet(**sizes, num_groups=network.num_groups, dropout=network.dropout, channels=3).to(device)
    theirs = sum(p.numel() for p in peer.parameters())
    if theirs != num:
        raise AssertionError(f"the networks must have the same number of parameters, got {num} and {theirs}")
    peer = peer.to(memory_format=torch.channels_last)
    step = torch_unet.training_step(peer, compiled, True, device, half=precision == "bf16", flip=True)
    on_device = torch.from_numpy(x).to(device).permute(0, 3, 1, 2)

    def turn() -> float:
        order = torch.randperm(len(on_device), device=device)
        begin = time.perf_counter()
        for i in range(steps):
            loss = step(on_device[order[(i * batch) % (len(order) - batch) :][:batch]])
        value = loss.item()  # waits for the device
        if value != value:
            raise AssertionError("the loss of the peer is not a number")
        return batch * steps / (time.perf_counter() - begin)

    return turn


def repeat(smoke: bool) -> dict[str, Any]:
    """Compare digests of a run with a pause and one without, in a process with deterministic operations."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    command = [sys.executable, __file__, "--repeated", *(["--smoke"] if smoke else [])]
    done = subprocess.run(command, env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def repeated(smoke: bool) -> dict[str, Any]:
    """The digests, in this process."""
    import jax

    from jaxgen import data, ddpm, train
    from jaxgen.experiments import mnist_ddpm

    n, batch = (3, 8) if smoke else (100, 128)
    dataset = data.from_arrays(images(256 if smoke else 5000, 28, 1), valid=None, test=0.1)
    model = ddpm.model(mnist_ddpm.Config().model.lasting(2 * n), dataset.spec)
    batches, key = dataset.train.batches(seed=0, batch_size=batch), jax.random.key(0)

    def fit(steps: int, state: Any = None) -> Any:
        return train.fit(model, batches, key, steps, state=state, progress=False)[0]

    whole, again = (train.digest(fit(2 * n)) for _ in range(2))
    half = fit(n)
    like = jax.eval_shape(lambda: half)
    with tempfile.TemporaryDirectory() as folder:
        with train.Checkpoints(Path(folder)) as checkpoints:
            checkpoints.save(n, half, {})
        with train.Checkpoints(Path(folder)) as checkpoints:
            restored, _ = checkpoints.restore(like)
    resumed = train.digest(fit(2 * n, restored))
    return {"steps": 2 * n, "digest": whole, "same_again": whole == again, "same_resumed": whole == resumed}


def upsample(smoke: bool) -> dict[str, Any]:
    """Calls per second of a transposed convolution with both gradients, by lax and by phases."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from jaxgen.nn.cpu import convolution as by_phases
    from jaxgen.nn.window import Window, native

    shapes = [((2, 4, 4, 8), (4, 4, 8, 8))] if smoke else [((128, 16, 16, 256), (4, 4, 256, 256))]
    shapes += [] if smoke else [((128, 7, 7, 64), (4, 4, 64, 32))]
    window = Window((1, 1), ((2, 2), (2, 2)), (2, 2), (1, 1), None)
    ways = {"lax": native, "by phases": partial(by_phases.convolution, convolve=native)}
    found, calls = {}, 2 if smoke else 50
    for shape, kernel_shape in shapes:
        for dtype in (jnp.float32, jnp.bfloat16):
            key_x, key_kernel = jax.random.split(jax.random.key(0))
            start = jax.random.normal(key_x, shape, dtype), 0.1 * jax.random.normal(key_kernel, kernel_shape, dtype)

            def turn(way: Callable[..., Any], start: Any = start) -> Callable[[], float]:
                def loss(x: Any, kernel: Any) -> Any:
                    return jnp.sum(jnp.sin(way(x, kernel, window=window).astype(jnp.float32)))

                def step(_: Any, carry: Any) -> Any:
                    # What comes out goes in again, so that nothing can be left out.
                    return jax.tree.map(lambda v, g: v + 1e-6 * g, carry, jax.grad(loss, argnums=(0, 1))(*carry))

                run = jax.jit(lambda carry: lax.fori_loop(0, calls, step, carry))

                def timed() -> float:
                    begin = time.perf_counter()
                    jax.block_until_ready(run(start))
                    return calls / (time.perf_counter() - begin)

                return timed

            rates = harness.compete({name: turn(way) for name, way in ways.items()}, 1 if smoke else 5)
            found[f"{shape} {kernel_shape} {jnp.dtype(dtype).name}"] = rates
    return {"calls_per_s": found}


def quality(smoke: bool) -> dict[str, Any]:
    """Bits/dim and Fréchet distance of a diffusion model on MNIST, after some minutes of training."""
    import jax

    from jaxgen import data, ddpm, evaluate, train
    from jaxgen.experiments import mnist_ddpm
    from jaxgen.optimizers import Adam

    moments = (0.05,) if smoke else (60.0, 120.0, 240.0)
    dataset = data.load("digits" if smoke else "mnist", seed=0)
    config = mnist_ddpm.Config().model
    network = ddpm.UNet(8, (1, 2), attention=(1,), patch=2) if smoke else ddpm.UNet(64, (1, 2, 2), attention=(1, 2))
    # A constant rate: the moments are moments of the clock, and the average does what a falling rate would.
    config = replace(config, network=network, optimizer=Adam(4e-4, clip_norm=1.0), num_draws=1)
    model = ddpm.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=16 if smoke else 256)
    num = 32 if smoke else len(dataset.test)
    judge = evaluate.trained_judge(dataset, num_steps=20 if smoke else 1000)
    features = evaluate.classifier_features(judge)
    real = evaluate.reference(dataset, features, num=num, judge=judge)
    key = jax.random.key(0)
    state, found, trained = model.init(key, batches(0)), {}, 0.0
    _, history = train.fit(model, batches, key, 1, state=state, progress=False)
    compile_s = history.compile_seconds
    for moment in moments:
        begin, base = time.perf_counter(), trained

        def over(*_: Any, begin: float = begin, base: float = base, moment: float = moment) -> Any:
            return train.Stop("time") if base + time.perf_counter() - begin >= moment else None

        state, _ = train.fit(
            model, batches, key, 2**31 - 1, state=state, hooks=[train.Hook(over, every=5 if smoke else 50)],
            progress=False, log_every=10**6,
        )  # fmt: skip
        trained += time.perf_counter() - begin
        nats = evaluate.per_example(model, key, state.variables, dataset.test)["negative_bound"]
        bits = evaluate.bits_per_dim(nats, dataset.spec.num_dimensions)
        sampler = ddpm.DDIM(2 if smoke else 50)
        x = evaluate.samples(model, key, state.variables, num, sampler=sampler)
        scores = evaluate.fidelity(x, real).scores
        found[f"{moment:g} s"] = {
            "steps": int(state.step),
            "bits_per_dim": [bits.value, bits.standard_error],
            "frechet_distance": scores["frechet_distance"].value.value,
            "of_real_images": scores["frechet_distance"].floor.value,
            "samples": num,
        }
    return {"compile_s": round(compile_s, 1), "trained": found}


PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "speed_128_bf16": partial(speed, 128, "bf16"),
    "repeat": repeat,
    "upsample": upsample,
    "speed_128_tf32": partial(speed, 128, "tf32"),
    "quality": quality,
    "speed_512_bf16": partial(speed, 512, "bf16"),
    "speed_512_tf32": partial(speed, 512, "tf32"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see on a CPU that it runs")
    parser.add_argument("--parts", nargs="*", default=None, choices=list(PARTS), metavar="PART")
    parser.add_argument("--repeated", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # Processes share the device: PyTorch's memory and that of the part `repeat`.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if arguments.repeated:
        print(json.dumps(repeated(arguments.smoke)))
        return
    from jaxgen.runs import environment

    print(json.dumps({"part": "environment", **environment.describe()}), flush=True)
    begin = time.perf_counter()
    for name in arguments.parts or [name for name in PARTS if not (arguments.smoke and "512" in name)]:
        start = time.perf_counter()
        if start - begin > LIMIT:
            print(json.dumps({"part": name, "skipped": "no time left"}), flush=True)
            continue
        try:
            found = PARTS[name](arguments.smoke)
        except Exception as error:  # the other parts are worth having
            found = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps({"part": name, "seconds": round(time.perf_counter() - start, 1), **found}), flush=True)


if __name__ == "__main__":
    main()
