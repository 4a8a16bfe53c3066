"""The parts of `accelerator.py`: each is a generator of what it finds, so that a cut loses nothing that came before."""

import importlib.util
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import harness

PEAK = {
    "H100 PCIe": {"tf32": 378e12, "bf16": 756e12},
    "H100": {"tf32": 494.7e12, "bf16": 989.4e12},
    "H200": {"tf32": 494.7e12, "bf16": 989.4e12},
    "A100": {"tf32": 156e12, "bf16": 312e12},
    "L4": {"tf32": 60e12, "bf16": 121e12},
    "TPU v5 lite": {"tf32": None, "bf16": 197e12},
    "TPU v6 lite": {"tf32": None, "bf16": 918e12},
}
"""Dense peak operations per second, from the makers' data sheets, by words of the device's name."""

Found = Iterator[dict[str, Any]]


def environment(smoke: bool) -> Found:
    """Versions and device."""
    del smoke
    from jaxgen.runs import environment

    yield dict(environment.describe())


def peak(precision: str) -> float | None:
    import jax

    kind = jax.devices()[0].device_kind
    return next((of[precision] for name, of in PEAK.items() if re.search(rf"\b{name}\b", kind)), None)


def images(num: int, size: int, channels: int) -> Any:
    """uint8 images [num, size, size, channels] of noise; what they show does not matter here."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (num, size, size, channels), dtype=np.uint8)


def speed(batch: int, precision: str, smoke: bool) -> Found:
    """Images per second of a training step, alone and then beside PyTorch."""
    import jax

    from jaxgen import data, ddpm, train
    from jaxgen.experiments import cifar10_ddpm

    # As the paper has it; attention keeps its one head.
    tiny: dict[str, Any] = {"features": 4, "num_groups": 2, "multipliers": (1,), "num_blocks": 1, "attention": (0,)}
    network = ddpm.UNet.cifar10(**(tiny if smoke else {}))
    batch, steps, turns = (4, 2, 1) if smoke else (batch, max(4, 4096 // batch), 3)
    config = replace(
        cifar10_ddpm.Config().model, network=network, dtype="bfloat16" if precision == "bf16" else "float32"
    )
    x = images(64, 4, 3) if smoke else images(20_000, 32, 3)
    dataset = data.from_arrays(x, valid=None, test=0.1)
    model = ddpm.model(config, dataset.spec)
    batches, key = dataset.train.batches(seed=0, batch_size=batch), jax.random.key(0)
    state = model.init(key, batches(0))
    num = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    flops, limit = _flops(model.step, key, state, batches(0)), peak(precision)
    counts = {"parameters": num, "batch": batch, "precision": precision, "flops_per_step": flops, "peak_flops": limit}

    def ours() -> float:
        _, history = train.fit(model, batches, key, steps, state=state, progress=False, chunk_steps=steps)
        return batch * history.steps_per_second

    def found(contestants: dict[str, Callable[[], float]]) -> dict[str, Any]:
        rates = harness.compete(contestants, turns)
        for result in rates.values():
            result["model_flops_per_s"] = result["rate"] / batch * flops
            result["share_of_peak"] = None if limit is None else round(result["model_flops_per_s"] / limit, 4)
        memory = jax.local_devices()[0].memory_stats() or {}
        return {**counts, "images_per_s": rates, "peak_bytes": memory.get("peak_bytes_in_use")}

    contestants: dict[str, Callable[[], float]] = {"jaxgen, fit": ours}
    alone = found(contestants)
    yield alone
    why = _no_peer(jax.default_backend())
    if why is None:
        name = f"torch, {'eager' if smoke else 'compiled'}, fused Adam"
        try:
            turn = _torch_turn(network, x, batch, steps, precision, num, not smoke)
            yield found({**contestants, name: turn})
        except Exception as error:  # no memory, no compiler: ours stands alone
            why = f"{type(error).__name__}: {error}"[:1000]
    if why is not None:
        yield {**alone, "peer": why}


def _flops(step: Callable[..., Any], *arguments: Any) -> float:
    """FLOPs of a step as XLA counts those of its program for a CPU: a GPU's client counts none before it compiles."""
    import jax

    shapes = jax.eval_shape(lambda: arguments)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return float((jax.jit(step).lower(*shapes).cost_analysis() or {}).get("flops", float("nan")))


def _no_peer(backend: str) -> str | None:
    """Reason why there is nothing to compare with; None if there is."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    if backend != "cpu" and not torch.cuda.is_available():
        return "torch sees no GPU"
    return None


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


def repeat(smoke: bool) -> Found:
    """Digests of a run with a pause and of one without, in a process with deterministic operations."""
    import jax

    from jaxgen import data, ddpm, train
    from jaxgen.experiments import mnist_ddpm

    n, batch = (3, 8) if smoke else (100, 128)
    dataset = data.from_arrays(images(256, 4, 1) if smoke else images(5000, 28, 1), valid=None, test=0.1)
    config = mnist_ddpm.Config().model.lasting(2 * n)
    if smoke:
        config = replace(config, network=ddpm.UNet(4, (1,), attention=(), num_groups=2), num_draws=1)
    model = ddpm.model(config, dataset.spec)
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
    yield {"steps": 2 * n, "digest": whole, "same_again": whole == again, "same_resumed": whole == resumed}


def _calls_per_s(loss: Callable[..., Any], start: Any, calls: int) -> Callable[[], float]:
    """A turn: the gradient of a loss for all its arguments, many times in one program."""
    import jax

    def step(_: Any, carry: Any) -> Any:
        # What comes out goes in again, so that nothing can be left out.
        gradients = jax.grad(loss, argnums=tuple(range(len(start))))(*carry)
        return jax.tree.map(lambda v, g: v + 1e-6 * g, carry, gradients)

    run = jax.jit(lambda carry: jax.lax.fori_loop(0, calls, step, carry))

    def turn() -> float:
        begin = time.perf_counter()
        jax.block_until_ready(run(start))
        return calls / (time.perf_counter() - begin)

    return turn


def upsample(smoke: bool) -> Found:
    """Calls per second of a transposed convolution with both gradients, by lax and by phases."""
    import jax
    import jax.numpy as jnp

    from jaxgen.nn.cpu import convolution as by_phases
    from jaxgen.nn.window import Window, native

    shapes = [((128, 16, 16, 256), (4, 4, 256, 256)), ((128, 7, 7, 64), (4, 4, 64, 32))]
    shapes = [((2, 4, 4, 4), (4, 4, 4, 4))] if smoke else shapes
    window = Window((1, 1), ((2, 2), (2, 2)), (2, 2), (1, 1), None)
    ways = {"lax": native, "by phases": partial(by_phases.convolution, convolve=native)}
    for shape, kernel_shape in shapes:
        for dtype in (jnp.float32,) if smoke else (jnp.float32, jnp.bfloat16):
            key_x, key_kernel = jax.random.split(jax.random.key(0))
            start = jax.random.normal(key_x, shape, dtype), 0.1 * jax.random.normal(key_kernel, kernel_shape, dtype)
            turns: dict[str, Callable[[], float]] = {}
            for name, way in ways.items():

                def loss(x: Any, kernel: Any, way: Callable[..., Any] = way) -> Any:
                    return jnp.sum(jnp.sin(way(x, kernel, window=window).astype(jnp.float32)))

                turns[name] = _calls_per_s(loss, start, 2 if smoke else 50)
            rates = harness.compete(turns, 1 if smoke else 5)
            yield {"case": f"{shape} {kernel_shape} {jnp.dtype(dtype).name}", "calls_per_s": rates}


def attention(smoke: bool) -> Found:
    """Calls per second of each form of attention with all gradients; values and gradients beside those of "einsum"."""
    import jax
    import jax.numpy as jnp

    from jaxgen.nn import attention

    # ddpm.UNet.cifar10() with one head; larger images with narrower heads.
    shapes = [(2, 16, 1, 8)] if smoke else [(128, 256, 1, 256), (128, 256, 4, 64), (16, 4096, 4, 64)]
    for shape in shapes:
        for dtype in ("bfloat16",) if smoke else ("float32", "bfloat16"):
            start = tuple(jax.random.normal(key, shape, dtype) for key in jax.random.split(jax.random.key(0), 3))
            first: list[Any] = []
            for kernel in ("einsum", "dot_product", *(("cudnn",) if dtype == "bfloat16" else ())):

                def loss(q: Any, k: Any, v: Any, kernel: str = kernel) -> Any:
                    return jnp.sum(jnp.square(attention(q, k, v, kernel=kernel).astype(jnp.float32)))

                case = {"case": f"{shape} {dtype} {kernel}"}
                try:
                    value = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(*start)
                    values = [x.astype(jnp.float32) for x in jax.tree.leaves(value)]
                    first = first or values
                    apart = [float(jnp.abs(x - y).max() / jnp.abs(y).max()) for x, y in zip(values, first, strict=True)]
                    rates = harness.compete({kernel: _calls_per_s(loss, start, 2 if smoke else 50)}, 1 if smoke else 5)
                    yield {**case, "calls_per_s": rates, "largest_relative_difference": max(apart)}
                except Exception as error:  # what one card cannot, another can
                    yield {**case, "error": f"{type(error).__name__}: {error}"[:500]}


def quality(smoke: bool) -> Found:
    """Bits/dim and Fréchet distance of a diffusion model on MNIST, after some minutes of training."""
    import jax

    from jaxgen import data, ddpm, evaluate, train
    from jaxgen.experiments import mnist_ddpm
    from jaxgen.optimizers import Adam

    moments = (0.05,) if smoke else (60.0, 120.0, 240.0)
    try:
        dataset = data.load("digits" if smoke else "mnist", seed=0)
    except (FileNotFoundError, ConnectionError, ImportError) as error:
        yield {"skipped": f"MNIST is not at hand: {error}"[:500]}
        return
    config = mnist_ddpm.Config().model
    tiny = ddpm.MLP((8,), time_features=8)
    network = tiny if smoke else ddpm.UNet(64, (1, 2, 2), attention=(1, 2))
    # A constant rate: the moments are moments of the clock, and the average does what a falling rate would.
    config = replace(config, network=network, optimizer=Adam(4e-4, clip_norm=1.0), num_draws=1)
    model = ddpm.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=16 if smoke else 256)
    num = 32 if smoke else len(dataset.test)
    judge = evaluate.trained_judge(dataset, num_steps=20 if smoke else 1000)
    features = evaluate.classifier_features(judge)
    real = evaluate.reference(dataset, features, num=num, judge=judge)
    key = jax.random.key(0)
    state, trained = model.init(key, batches(0)), 0.0
    _, history = train.fit(model, batches, key, 1, state=state, progress=False)
    compile_s = round(history.compile_seconds, 1)
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
        yield {
            "trained_s": moment,
            "compile_s": compile_s,
            "steps": int(state.step),
            "bits_per_dim": [bits.value, bits.standard_error],
            "frechet_distance": scores["frechet_distance"].value.value,
            "of_real_images": scores["frechet_distance"].floor.value,
            "samples": num,
        }


PARTS: dict[str, Callable[[bool], Found]] = {
    "environment": environment,
    "speed_128_bf16": partial(speed, 128, "bf16"),
    "repeat": repeat,
    "upsample": upsample,
    "attention": attention,
    "quality": quality,
    "speed_128_tf32": partial(speed, 128, "tf32"),
    "speed_512_bf16": partial(speed, 512, "bf16"),
    "speed_512_tf32": partial(speed, 512, "tf32"),
}
