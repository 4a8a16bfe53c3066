"""Text to image by flow matching in place of a diffusion model: the same scenes, captions and scores."""

from dataclasses import dataclass

from jaxgen import flow, nn
from jaxgen.core import GenerativeModel, Spec
from jaxgen.data import captions
from jaxgen.experiments import text_to_image
from jaxgen.optimizers import Adam, Cosine


@dataclass(frozen=True)
class Config(text_to_image.Config):
    """Settings of text_to_image_flow, those of `text_to_image` but for the model.

    Args:
        sampler: Way from noise to a scene.
        model: Configuration of the model.
    """

    sampler: flow.AnySampler = flow.DPMSolver(10)  # pyright: ignore[reportIncompatibleVariableOverride]
    model: flow.Config = flow.Config(  # pyright: ignore[reportIncompatibleVariableOverride]
        times=flow.LogitNormal(),
        network=flow.UNet(features=32, multipliers=(1, 2, 2), attention=(1, 2), num_heads=4, patch=2),
        condition={"caption": nn.CrossAttend(padding=captions.PADDING, encoder=nn.Transformer(), pooled=True)},
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
    )

    def model_for(self, spec: Spec) -> GenerativeModel:
        return flow.model(self.model.lasting(self.steps), spec)
