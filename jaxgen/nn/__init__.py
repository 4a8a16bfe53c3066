"""Network blocks that the families share: linen modules, channels last, float32 parameters.

All are stateless but batch and spectral normalisation, which keep variables beside their parameters.
"""

from jaxgen.nn.attention import CrossAttention, SelfAttention, attention
from jaxgen.nn.condition_layers import (
    AppendConditions,
    ConditionVector,
    Context,
    EmbedConditions,
    PooledTokens,
    TokenConditions,
)
from jaxgen.nn.conditions import Concat, Condition, Conditions, CrossAttend, Embed
from jaxgen.nn.convolution import Conv, conv_general_dilated
from jaxgen.nn.dense import MLP
from jaxgen.nn.network import Network, network
from jaxgen.nn.normalisation import BatchNorm, GroupNorm
from jaxgen.nn.phases import channels_to_phases, phases_to_channels
from jaxgen.nn.pyramid import ConvDecoder, ConvEncoder, ConvTranspose, Downsample, Upsample, halvings
from jaxgen.nn.spectral import SpectralConv, SpectralDense, SpectralEmbed
from jaxgen.nn.time import TimeEmbedding, fourier_embedding, sinusoidal_embedding
from jaxgen.nn.transformer import Transformer, TransformerEncoder
from jaxgen.nn.unet import UNet

__all__ = [
    "MLP",
    "AppendConditions",
    "BatchNorm",
    "Concat",
    "Condition",
    "ConditionVector",
    "Conditions",
    "Context",
    "Conv",
    "ConvDecoder",
    "ConvEncoder",
    "ConvTranspose",
    "CrossAttend",
    "CrossAttention",
    "Downsample",
    "Embed",
    "EmbedConditions",
    "GroupNorm",
    "Network",
    "PooledTokens",
    "SelfAttention",
    "SpectralConv",
    "SpectralDense",
    "SpectralEmbed",
    "TimeEmbedding",
    "TokenConditions",
    "Transformer",
    "TransformerEncoder",
    "UNet",
    "Upsample",
    "attention",
    "channels_to_phases",
    "conv_general_dilated",
    "fourier_embedding",
    "halvings",
    "network",
    "phases_to_channels",
    "sinusoidal_embedding",
]
