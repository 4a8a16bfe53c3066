"""Lossless compression of MNIST by bits-back coding with a VAE, beside gzip, PNG and WebP."""

from dataclasses import dataclass
from typing import Any

from jaxgen import data, vae
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.experiments import _compression, _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import rehearsing
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """A VAE of 50 latents on all 256 grey levels; `--data binarized_mnist model.likelihood:bernoulli` on binary ones.

    Args:
        data: Name of a data set of images; see `jaxgen.data.load` for where they come from.
        valid: Training images that are held out, as a number of them or a fraction; unless given 10,000 of MNIST and
            Fashion-MNIST, and a tenth of other data that come without a validation set.
        images: Test images that are compressed at the end, all where there are fewer; 0 for none.
        model: Configuration of the VAE, with a likelihood of the data as they are stored.

    Raises:
        ValueError: A negative number of images.
    """

    at_hand = (*Settings.at_hand, "images")

    data: str = "mnist"
    valid: int | float | None = None
    images: int = 10_000
    model: vae.Config = vae.Config(
        latent_dim=50,
        hidden=(400, 200),
        likelihood=vae.DiscretizedNormal(own_scale=True),
        path_gradient=True,
        optimizer=Adam(1e-3, schedule=Cosine()),
    )
    steps: int = 30_000
    batch_size: int = 100
    log_every: int = 500
    checkpoint_every: int = 5000

    def __post_init__(self):
        super().__post_init__()
        self.require(images=0)
        object.__setattr__(self, "valid", _images.held_out("valid", self.valid, 10_000, self.data))

    def model_for(self, spec: Spec) -> GenerativeModel:
        return vae.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, **_images.split_off(self.valid, 10_000, self.data))
        model = self.model_for(dataset.spec)
        model.parts.latents()  # what cannot be compressed is refused before it is trained for
        estimates = _images.estimates(model, dataset)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            x = split.x[: self.images]
            if split is dataset.test and len(x) and not rehearsing():
                found |= _compression.by_model(model, variables, x, dataset.spec)
                found |= _compression.by_others(x, dataset.spec)
            return found

        whole = {"x": dataset.train.x}  # the decoder's bias starts at their mean
        return Experiment(
            model=model._replace(init=lambda key, _: model.init(key, whole)),
            dataset=dataset,
            evaluate=estimates,
            picture=_images.reconstructed_and_sampled(model, dataset, "VAE", self.seed),
            samples=_images.samples(dataset.spec),
            report=report,
            best="negative_elbo",
            beside={"negative_elbo": "loss"},
        )
