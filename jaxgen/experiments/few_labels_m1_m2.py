"""Few labels on the codes of a VAE: features without labels (M1), a classifier on them, and M2 on them (M1 + M2)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from jaxgen import vae
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, few_labels
from jaxgen.experiments import _codes, _few_labels
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, pictures
from jaxgen.vae import semi_supervised


@dataclass(frozen=True)
class Config(_few_labels.Config):
    """Settings of few_labels_m1_m2.

    Args:
        features: Folder of a run of a VAE, whose codes are learned from; None for one that is trained first and kept in
            the cache.
        m1: Configuration of that VAE.
        m1_steps: Its training steps.
        model: Configuration of the VAE and the classifier on the codes.
    """

    paths: ClassVar[tuple[str, ...]] = ("data", "features")

    features: str | None = None
    m1: vae.Config = vae.Config(latent_dim=16, hidden=(256, 256), optimizer=Adam(1e-3, Cosine()))
    m1_steps: int = 3000
    model: semi_supervised.Config = semi_supervised.Config(
        vae=vae.Config(
            latent_dim=8, hidden=(128,), likelihood=vae.Normal(1.0, learn=True), optimizer=Adam(1e-3, Cosine())
        ),
        classifier=(128,),
        alpha=1.0,
        labelled=0.05,
    )
    steps: int = 3000
    log_every: int = 100
    checkpoint_every: int = 1500

    def __post_init__(self):
        super().__post_init__()
        self.require(m1_steps=1)

    def codes(self) -> _codes.Codes:
        """M1: the VAE of the run, or the one that is trained here."""
        if self.features is not None:
            return _codes.of_run(self.features)
        return _codes.trained(self.loaded(), self.m1, self.m1_steps, self.batch_size, self.seed)

    def dataset(self) -> Dataset:
        """Codes of the images with few labels, those of the same images as in the other experiments."""
        return self._coded(self.codes())

    def _coded(self, codes: _codes.Codes) -> Dataset:
        return few_labels(_codes.coded(self.loaded(), codes), self.root(), self.per_class, self.draws)

    def one(self, spec: Spec) -> GenerativeModel:
        """The model of one draw of the labels."""
        config = self.model.lasting(self.steps)
        return _codes.model(semi_supervised.objective(config, spec), config.vae)

    def build(self) -> Experiment:
        codes, images = self.codes(), self.loaded()
        dataset = self._coded(codes)
        model = self.one(dataset.spec)
        title = f"M1 + M2 on {images.name}, seed {self.seed}"

        def shown(x: Any, said: str) -> Any:
            return pictures.examples({"": host(codes.decode(x))}, images.spec, title=said)

        def picture(key: PRNGKey, state: Any) -> Any:
            variables = jax.tree.map(lambda leaf: leaf[0], state.variables)
            num_classes = images.spec.num_classes
            columns = [host(codes.decode(model.sample(key, variables, 6, label=y))) for y in range(num_classes)]
            x = np.stack(columns, axis=1).reshape(-1, *images.spec.event_shape)
            said = f"{title} after {int(state.step)} steps: columns are labels, rows are z"
            return pictures.examples({"": x}, images.spec, title=said, columns=num_classes)

        whole = _few_labels.experiment(self, model, dataset, "M1 + M2", picture)
        of_members = whole.report

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = of_members(key, variables, split)
            if split is not dataset.test or rehearsing():
                return found
            # A classifier on the codes alone: x is the code here.
            found["error/m1"] = found["error/pixels"]._replace(unit=f"share wrong, M1 {codes.digest[:8]}")
            pixels = few_labels(images, self.root(), self.per_class, self.draws)
            flat = _few_labels.probed(lambda x: x.reshape(len(x), -1), pixels.train, pixels.test, self.draws)
            return {**found, "error/pixels": flat}

        return whole._replace(report=report, samples=shown, pictures={})
