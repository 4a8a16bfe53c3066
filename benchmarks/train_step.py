"""How many training steps per second, beside the same network in PyTorch?

    python benchmarks/train_step.py [mlp_vae | conv_vae | dcgan | unet] [--steps N] [--threads 2]

On uint8 images of MNIST's size, drawn at random from 60,000, scaled and binarised anew at every step; Adam. Both sides
do all of that. jaxgen runs as `fit` runs it, many steps per call, and step by step from Python: a training step must
not fall off a cliff inside a loop. PyTorch, where it is installed, runs eagerly and compiled, with its foreach and its
fused optimizer, channels last. For the dense network the matrix products of a step are timed by themselves as well: a
step cannot be faster than they are.

    mlp_vae     784-400-20, tanh, batch 128
    conv_vae    the network of the experiment mnist_vae_conv, batch 128
    dcgan       gan.DCGAN(64): a round of D (spectrally normalised), G and its average, non-saturating loss, batch 64
    unet        ddpm.UNet(): L_simple at T = 1000, gradient clipped, with its average, batch 32
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import harness
import products

BATCH = {"mlp_vae": 128, "conv_vae": 128, "dcgan": 64, "unet": 32}
STEPS = {"mlp_vae": 400, "conv_vae": 40, "dcgan": 8, "unet": 8}
"""Steps of a turn, so that one takes a second or two on two cores."""

MLP_VAE_LAYERS = ((784, 400), (400, 40), (20, 400), (400, 784))


def images(count: int = 60_000):
    """uint8 [count, 28, 28, 1]: a fifth of the pixels bright, as in MNIST; what they show does not matter here."""
    import numpy as np

    rng = np.random.default_rng(0)
    return (rng.random((count, 28, 28, 1)) < 0.2).astype(np.uint8) * rng.integers(1, 256, (count, 28, 28, 1), np.uint8)


def jaxgen_model(network: str, spec: Any) -> Any:
    from dataclasses import replace

    from jaxgen import ddpm, gan, vae
    from jaxgen.experiments import mnist_vae_conv
    from jaxgen.optimizers import Adam

    match network:
        case "mlp_vae":
            return vae.model(vae.Config(latent_dim=20, hidden=(400,)), spec)
        case "conv_vae":
            return vae.model(replace(mnist_vae_conv.Config().model, optimizer=Adam(1e-3)), spec)
        case "unet":
            return ddpm.model(ddpm.Config(), spec)
        case _:
            return gan.model(gan.Config(latent_dim=64, network=gan.DCGAN(64)), spec)


def jaxgen_turns(network: str, x: Any, steps: int) -> dict[str, Callable[[], float]]:
    import jax

    from jaxgen import data, train

    dataset = data.from_arrays(x, valid=None, test=0.01)
    model = jaxgen_model(network, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=BATCH[network])
    key = jax.random.key(0)
    initial = model.init(key, batches(0))

    def in_a_loop() -> float:
        _, history = train.fit(model, batches, key, steps, state=initial, progress=False)
        return history.steps_per_second

    def step_by_step() -> float:
        state = initial
        begin = time.perf_counter()
        for i in range(steps):
            state, _ = model.step(jax.random.fold_in(key, i), state, batches(i))
        jax.block_until_ready(state)
        return steps / (time.perf_counter() - begin)

    return {"jaxgen, fit": in_a_loop, "jaxgen, step by step": step_by_step}


def torch_turns(network: str, x: Any, steps: int, threads: int) -> dict[str, Callable[[], float]]:
    import torch
    import torch_peers
    import torch_unet

    torch.set_num_threads(threads)
    peers = {
        "mlp_vae": partial(torch_peers.vae_step, torch_peers.dense_vae),
        "conv_vae": partial(torch_peers.vae_step, torch_peers.conv_vae),
        "dcgan": partial(torch_peers.dcgan_step, 64),
        "unet": torch_unet.unet_step,
    }
    return torch_peers.turns(peers[network], x, steps, BATCH[network])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network", nargs="?", default="mlp_vae", choices=list(BATCH))
    parser.add_argument("--steps", type=int, default=None, help="steps per turn; by default a second or two of them")
    parser.add_argument("--threads", type=int, default=2, help="cores for each contestant")
    parser.add_argument("--repetitions", type=int, default=harness.REPETITIONS, help="turns per contestant")
    arguments = parser.parse_args()
    harness.pin(arguments.threads)

    x, steps = images(), arguments.steps or STEPS[arguments.network]
    contestants = jaxgen_turns(arguments.network, x, steps)
    has_torch = importlib.util.find_spec("torch") is not None
    if has_torch:
        contestants |= torch_turns(arguments.network, x, steps, arguments.threads)
    else:
        print("PyTorch is not installed: jaxgen alone")
    if arguments.network == "mlp_vae":
        alone = (MLP_VAE_LAYERS, BATCH["mlp_vae"], steps)
        contestants["matrix products alone, jax"] = products.jax_turn(*alone)
        if has_torch:
            contestants["matrix products alone, torch"] = products.torch_turn(*alone)
    harness.report(
        f"training steps/s, {arguments.network}, batch {BATCH[arguments.network]}",
        "steps/s",
        harness.compete(contestants, arguments.repetitions),
    )


if __name__ == "__main__":
    main()
