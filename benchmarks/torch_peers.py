"""The same networks in PyTorch, to stand beside; imported only where torch is installed.

Each peer is a module whose `forward` takes a uint8 batch and returns the loss; scaling and binarisation included, since
the other side does them in its step as well.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Sampled(nn.Module):
    """What both VAEs share: from uint8 images to the negative ELBO."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        x = torch.bernoulli(raw.float() / 255)
        mu, log_var = self.encode(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        distortion = F.binary_cross_entropy_with_logits(self.decode(z), x, reduction="sum")
        rate = 0.5 * (log_var.exp() + mu.square() - 1 - log_var).sum()
        return (distortion + rate) / x.shape[0]


class DenseVAE(Sampled):
    """784-400-20."""

    def __init__(self):
        super().__init__()
        self.hidden, self.both = nn.Linear(784, 400), nn.Linear(400, 40)
        self.back, self.out = nn.Linear(20, 400), nn.Linear(400, 784)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.both(torch.tanh(self.hidden(x.flatten(1))))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.back(z))).reshape(-1, 1, 28, 28)


class ConvVAE(Sampled):
    """The network of the experiment mnist_vae_conv: levels of 16 and 32 channels, a dense layer of 128, z of 32."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(8, 16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(8, 32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(7 * 7 * 32, 128),
            nn.Tanh(),
            nn.Linear(128, 64),
        )
        self.decoder = nn.Sequential(
            nn.Linear(32, 128),
            nn.Tanh(),
            nn.Linear(128, 7 * 7 * 32, bias=False),
            nn.Unflatten(1, (32, 7, 7)),
            nn.GroupNorm(8, 32),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(32, 16, 3, padding=1, bias=False),
            nn.GroupNorm(8, 16),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, 1, 3, padding=1),
        )
        self.bias = nn.Parameter(torch.zeros(1, 1, 28, 28))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z) + self.bias


def turns(make: Callable[[], nn.Module], x: Any, steps: int, batch_size: int) -> dict[str, Callable[[], float]]:
    """One contestant per way to run the peer: eager and compiled, with the foreach and the fused optimizer.

    Args:
        make: The module.
        x: uint8 images [n, 28, 28, 1].
        steps: Per turn.
        batch_size: Examples per step.
    """
    images = torch.from_numpy(x).permute(0, 3, 1, 2)  # [n, c, h, w], in memory channels last

    def turn_of(compiled: bool, fused: bool) -> Callable[[], float]:
        torch.manual_seed(0)
        model = make().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused, foreach=not fused)
        loss_of = torch.compile(model) if compiled else model

        def turn() -> float:
            order = torch.randperm(len(images))
            begin = time.perf_counter()
            for step in range(steps):
                index = order[(step * batch_size) % (len(images) - batch_size) :][:batch_size]
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(images[index])
                loss.backward()
                optimizer.step()
            assert math.isfinite(loss.item())
            return steps / (time.perf_counter() - begin)

        return turn

    return {
        f"torch {'compiled' if compiled else 'eager'}, {'fused' if fused else 'foreach'} Adam": turn_of(compiled, fused)
        for compiled in (False, True)
        for fused in (False, True)
    }
