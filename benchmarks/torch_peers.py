"""The same networks in PyTorch, to stand beside; imported only where torch is installed.

Each peer is a training step of a uint8 batch that returns the loss; scaling and binarisation included, since the other
side does them in its step as well.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class VAE(nn.Module):
    """From uint8 images to the negative ELBO."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.bias = nn.Parameter(torch.zeros(1, 1, 28, 28))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        x = torch.bernoulli(raw.float() / 255)
        mu, log_var = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        logits = self.decoder(z) + self.bias
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * (log_var.exp() + mu.square() - 1 - log_var).sum()
        return (distortion + rate) / x.shape[0]


def dense_vae() -> VAE:
    """784-400-20."""
    return VAE(
        nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.Tanh(), nn.Linear(400, 40)),
        nn.Sequential(nn.Linear(20, 400), nn.Tanh(), nn.Linear(400, 784, bias=False), nn.Unflatten(1, (1, 28, 28))),
    )


def conv_vae() -> VAE:
    """The network of the experiment mnist_vae_conv: levels of 16 and 32 channels, a dense layer of 128, z of 32."""
    return VAE(
        nn.Sequential(
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
        ),
        nn.Sequential(
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
        ),
    )


Step = Callable[[torch.Tensor], torch.Tensor]
"""uint8 batch [B, c, h, w] -> loss; what is trained moves."""


def adam(module: nn.Module, rate: float, fused: bool, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=rate, betas=betas, fused=fused, foreach=not fused)


def channels_last(module: nn.Module) -> nn.Module:
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def vae_step(make: Callable[[], nn.Module], compiled: bool, fused: bool) -> Step:
    """One step of a VAE."""
    model = channels_last(make())
    optimizer = adam(model, 1e-3, fused)
    loss_of = torch.compile(model) if compiled else model

    def step(raw: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(raw)
        loss.backward()
        optimizer.step()
        return loss

    return step


def dcgan_step(features: int, compiled: bool, fused: bool) -> Step:
    """One round of `gan.DCGAN(features)` on 28 x 28: D on data and samples in one pass, then G, then G's average."""
    wide = 2 * features
    generator = channels_last(
        nn.Sequential(
            nn.Linear(64, 7 * 7 * wide, bias=False),
            nn.Unflatten(1, (wide, 7, 7)),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.ConvTranspose2d(wide, features, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(),
            nn.ConvTranspose2d(features, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )
    )
    normalised = nn.utils.parametrizations.spectral_norm
    discriminator = channels_last(
        nn.Sequential(
            normalised(nn.Conv2d(1, features, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            normalised(nn.Conv2d(features, wide, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            normalised(nn.Linear(7 * 7 * wide, 1)),
        )
    )
    of_generator, of_discriminator = (adam(module, 2e-4, fused, (0.5, 0.999)) for module in (generator, discriminator))
    average = [p.detach().clone() for p in generator.parameters()]
    g, d = (torch.compile(m) if compiled else m for m in (generator, discriminator))

    def step(raw: torch.Tensor) -> torch.Tensor:
        x = (raw.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        num = x.shape[0]
        with torch.no_grad():
            fake = g(torch.randn(num, 64))
        of_discriminator.zero_grad(set_to_none=True)
        real_logits, fake_logits = d(torch.cat([x, fake])).chunk(2)
        loss = (F.softplus(-real_logits) + F.softplus(fake_logits)).mean()
        loss.backward()
        of_discriminator.step()
        of_generator.zero_grad(set_to_none=True)
        discriminator.requires_grad_(False)
        discriminator.eval()  # no power iteration in the generator's update
        F.softplus(-d(g(torch.randn(num, 64)))).mean().backward()
        discriminator.train()
        discriminator.requires_grad_(True)
        of_generator.step()
        with torch.no_grad():
            for kept, parameter in zip(average, generator.parameters(), strict=True):
                kept.lerp_(parameter, 0.001)
        return loss

    return step


def turns(make: Callable[[bool, bool], Step], x: Any, steps: int, batch_size: int) -> dict[str, Callable[[], float]]:
    """One contestant per way to run the peer: eager and compiled, with the foreach and the fused optimizer.

    Args:
        make: (compiled, fused) -> the peer's step.
        x: uint8 images [n, 28, 28, 1].
        steps: Per turn.
        batch_size: Examples per step.
    """
    images = torch.from_numpy(x).permute(0, 3, 1, 2)  # [n, c, h, w], in memory channels last

    def turn_of(compiled: bool, fused: bool) -> Callable[[], float]:
        torch.manual_seed(0)
        step_of = make(compiled, fused)

        def turn() -> float:
            order = torch.randperm(len(images))
            loss = torch.zeros(())
            begin = time.perf_counter()
            for step in range(steps):
                index = order[(step * batch_size) % (len(images) - batch_size) :][:batch_size]
                loss = step_of(images[index])
            seconds = time.perf_counter() - begin
            assert math.isfinite(loss.item())
            return steps / seconds

        return turn

    return {
        f"torch {'compiled' if compiled else 'eager'}, {'fused' if fused else 'foreach'} Adam": turn_of(compiled, fused)
        for compiled in (False, True)
        for fused in (False, True)
    }
