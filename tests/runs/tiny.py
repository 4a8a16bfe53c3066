"""A run of four steps, for tests that look at its folder."""

import json
from pathlib import Path
from typing import Any

from jaxgen import vae
from jaxgen.experiments import digits_vae
from jaxgen.optimizers import Adam

TINY = digits_vae.Config(
    steps=4, batch_size=16, log_every=2, checkpoint_every=2,
    model=vae.Config(latent_dim=2, hidden=(8,), optimizer=Adam(1e-2)),
)  # fmt: skip


def manifest(path: Path) -> Any:
    """The manifest of a run."""
    return json.loads((path / "manifest.json").read_text())
