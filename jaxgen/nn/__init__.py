"""Network blocks that the families share. Stateless linen modules, channels last, float32 parameters."""

from jaxgen.nn.convolution import Conv, conv_general_dilated
from jaxgen.nn.dense import MLP
from jaxgen.nn.normalisation import GroupNorm
from jaxgen.nn.pyramid import ConvDecoder, ConvEncoder, ConvTranspose, Downsample, Upsample, halvings

__all__ = [
    "MLP",
    "Conv",
    "ConvDecoder",
    "ConvEncoder",
    "ConvTranspose",
    "Downsample",
    "GroupNorm",
    "Upsample",
    "conv_general_dilated",
    "halvings",
]
