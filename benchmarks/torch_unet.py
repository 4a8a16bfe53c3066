"""`ddpm.UNet` in PyTorch, channels last, to stand beside; imported only where torch is installed.

Block by block the same network and the same number of parameters: what is timed is the framework.
"""

import itertools
import math
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch_peers import Step, adam, channels_last


class Block(nn.Module):
    """A residual block that is told the time."""

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.norm_1, self.conv_1 = nn.GroupNorm(groups, inputs, 1e-6), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.told = nn.Linear(embedding, outputs)
        self.norm_2, self.conv_2 = nn.GroupNorm(groups, outputs, 1e-6), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.past = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        h = self.conv_1(F.silu(self.norm_1(x))) + self.told(embedding)[:, :, None, None]
        return self.past(x) + self.conv_2(self.dropout(F.silu(self.norm_2(h))))


class Attention(nn.Module):
    """Self-attention over all positions."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, 1e-6)
        self.inner, self.outer = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        rows = self.norm(x).permute(0, 2, 3, 1).reshape(b, h * w, c)
        q, k, v = self.inner(rows)[:, None].chunk(3, dim=-1)
        attended = F.scaled_dot_product_attention(q, k, v)[:, 0]
        return x + self.outer(attended).reshape(b, h, w, c).permute(0, 3, 1, 2)


class UNet(nn.Module):
    """That of `ddpm.UNet`, of the same arguments, for images of sizes that halve evenly down to the last level's."""

    def __init__(
        self,
        features: int = 32,
        multipliers: tuple[int, ...] = (1, 2, 2),
        num_blocks: int = 1,
        attention: tuple[int, ...] = (2,),
        num_groups: int = 8,
        dropout: float = 0.0,
        channels: int = 1,
    ):
        super().__init__()
        widths = [features * m for m in multipliers]
        last, embedding = len(widths) - 1, 4 * features
        self.features, self.num_blocks = features, num_blocks
        self.time = nn.Sequential(nn.Linear(features, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.start = nn.Conv2d(channels, features, 3, padding=1)
        self.down, self.attend_down, self.halved = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.up, self.attend_up, self.doubled = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()

        def block(inputs: int, outputs: int) -> Block:
            return Block(inputs, outputs, embedding, num_groups, dropout)

        def attend(level: int) -> nn.Module:
            return Attention(widths[level], num_groups) if level in attention else nn.Identity()

        across, now = [features], features
        for level, width in enumerate(widths):
            for _ in range(num_blocks):
                self.down.append(block(now, width))
                self.attend_down.append(attend(level))
                across.append(width)
                now = width
            if level != last:
                # Padded below and to the right where the size is even, as XLA pads; see `forward`.
                self.halved.append(nn.Conv2d(width, width, 3, stride=2))
                across.append(width)
        self.middle = nn.ModuleList([block(now, now) for _ in range(2)])
        self.attend_middle = Attention(now, num_groups)
        for level in reversed(range(len(widths))):
            for _ in range(num_blocks + 1):
                self.up.append(block(now + across.pop(), widths[level]))
                self.attend_up.append(attend(level))
                now = widths[level]
            if level:
                self.doubled.append(nn.Conv2d(now, now, 3, padding=1))
        self.end = nn.Sequential(nn.GroupNorm(num_groups, now, 1e-6), nn.SiLU(), nn.Conv2d(now, channels, 3, padding=1))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        half = self.features // 2
        frequencies = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half, device=x.device))
        angles = t.float()[:, None] * frequencies
        embedding = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        h = self.start(x)
        across = [h]
        for i, block in enumerate(self.down):
            h = self.attend_down[i](block(h, embedding))
            across.append(h)
            level, left = divmod(i + 1, self.num_blocks)
            if left == 0 and level <= len(self.halved):
                h = self.halved[level - 1](F.pad(h, (0, 1, 0, 1)))
                across.append(h)
        h = self.middle[1](self.attend_middle(self.middle[0](h, embedding)), embedding)
        for i, block in enumerate(self.up):
            h = self.attend_up[i](block(torch.cat([h, across.pop()], dim=1), embedding))
            level, left = divmod(i + 1, self.num_blocks + 1)
            if left == 0 and level <= len(self.doubled):
                h = self.doubled[level - 1](F.interpolate(h, scale_factor=2))
        return self.end(h)


def alpha_bars() -> torch.Tensor:
    """Of the linear schedule of 1000 steps, entry 0 the data."""
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, 0)]).float()


def unet_step(compiled: bool, fused: bool) -> Step:
    """One step of `ddpm.UNet()`."""
    return training_step(channels_last(UNet()), compiled, fused)


def training_step(
    network: nn.Module, compiled: bool, fused: bool, device: str = "cpu", half: bool = False, flip: bool = False
) -> Step:
    """One step of L_simple, with the moving average.

    Args:
        network: A U-Net on the device.
        compiled: Whether torch compiles it.
        fused: Whether Adam is fused.
        device: Where the network is.
        half: Whether it computes in bfloat16, with float32 parameters.
        flip: Whether images are mirrored at random.
    """
    optimizer = adam(network, 2e-4, fused)
    average = [p.detach().clone() for p in network.parameters()]
    eps_of = torch.compile(network) if compiled else network
    alpha_bar = alpha_bars().to(device)

    def step(raw: torch.Tensor) -> torch.Tensor:
        x_0 = (raw.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        if flip:
            x_0 = torch.where(torch.rand(len(x_0), 1, 1, 1, device=device) < 0.5, x_0.flip(3), x_0)
        t = torch.randint(1, 1001, (len(x_0),), device=device)
        eps = torch.randn_like(x_0)
        kept = alpha_bar[t][:, None, None, None]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            found = eps_of(kept.sqrt() * x_0 + (1 - kept).sqrt() * eps, t)
        loss = F.mse_loss(found.float(), eps)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(network.parameters()), 1e-4)
        return loss

    return step


def sampling_turn(num: int, num_steps: int, compiled: bool) -> Callable[[], float]:
    """Samples per second of DDIM with eta = 0, a loop of `num_steps` calls of the network on `num` images."""
    network = channels_last(UNet()).eval()
    eps_of = torch.compile(network) if compiled else network
    alpha_bar = alpha_bars()
    levels = [1000 - i * 1000 // num_steps for i in range(num_steps)] + [0]

    def turn() -> float:
        begin = time.perf_counter()
        with torch.inference_mode():
            x = torch.randn(num, 1, 28, 28).contiguous(memory_format=torch.channels_last)
            for t, s in itertools.pairwise(levels):
                a_t, a_s = alpha_bar[t], alpha_bar[s]
                eps = eps_of(x, torch.full((num,), t))
                x_0 = ((x - (1 - a_t).sqrt() * eps) / a_t.sqrt()).clamp(-1, 1)
                eps = (x - a_t.sqrt() * x_0) / (1 - a_t).sqrt()
                x = a_s.sqrt() * x_0 + (1 - a_s).sqrt() * eps
        assert torch.isfinite(x).all()
        return num / (time.perf_counter() - begin)

    return turn
