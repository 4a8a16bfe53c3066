"""How many training steps per second, beside the same network in PyTorch?

    python benchmarks/train_step.py [--steps 500] [--threads 2]

The MLP VAE 784-400-20 with batch 128 on uint8 images of MNIST's size, drawn at random from 60,000, scaled and
binarised anew at every step, tanh, Adam. Both sides do all of that. PyTorch, where it is installed, runs eagerly and
compiled, with its foreach and its fused optimizer.
"""

import argparse
import time
from collections.abc import Callable

import harness


def images(count: int = 60_000):
    """uint8 [count, 28, 28, 1]: a fifth of the pixels bright, as in MNIST; what they show does not matter here."""
    import numpy as np

    rng = np.random.default_rng(0)
    return (rng.random((count, 28, 28, 1)) < 0.2).astype(np.uint8) * rng.integers(1, 256, (count, 28, 28, 1), np.uint8)


def jaxgen_vae(x, steps: int) -> Callable[[], float]:
    import jax

    from jaxgen import data, train, vae

    dataset = data.from_arrays(x, valid=None, test=0.01)
    model = vae.model(vae.Config(latent_dim=20, hidden=(400,)), dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=128)
    state = model.init(jax.random.key(0), batches(0))

    def turn() -> float:
        _, history = train.fit(model, batches, jax.random.key(0), steps, state=state, progress=False)
        return history.steps_per_second

    return turn


def torch_vae(x, steps: int, *, compiled: bool, fused: bool) -> Callable[[], float]:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.both = nn.Linear(784, 400), nn.Linear(400, 40)
            self.back, self.out = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, x):
            mu, log_var = self.both(torch.tanh(self.hidden(x))).chunk(2, dim=1)
            z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
            logits = self.out(torch.tanh(self.back(z)))
            distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            rate = 0.5 * (log_var.exp() + mu.square() - 1 - log_var).sum()
            return (distortion + rate) / x.shape[0]

    torch.manual_seed(0)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused, foreach=not fused)
    loss_of = torch.compile(model) if compiled else model
    data = torch.from_numpy(x.reshape(len(x), 784))

    def turn() -> float:
        order = torch.randperm(len(data))
        begin = time.perf_counter()
        for step in range(steps):
            index = order[(step * 128) % (len(data) - 128) :][:128]
            batch = torch.bernoulli(data[index].float() / 255)
            optimizer.zero_grad(set_to_none=True)
            loss_of(batch).backward()
            optimizer.step()
        return steps / (time.perf_counter() - begin)

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=500, help="steps per turn")
    parser.add_argument("--threads", type=int, default=2, help="cores for each contestant")
    arguments = parser.parse_args()
    harness.pin(arguments.threads)

    x = images()
    contestants = {"jaxgen": jaxgen_vae(x, arguments.steps)}
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: jaxgen alone")
    else:
        torch.set_num_threads(arguments.threads)
        for compiled in (False, True):
            for fused in (False, True):
                name = f"torch {'compiled' if compiled else 'eager'}, {'fused' if fused else 'foreach'} Adam"
                contestants[name] = torch_vae(x, arguments.steps, compiled=compiled, fused=fused)
    found = harness.compete(contestants)
    harness.report("training steps/s, MLP VAE 784-400-20, batch 128", "steps/s", found)


if __name__ == "__main__":
    main()
