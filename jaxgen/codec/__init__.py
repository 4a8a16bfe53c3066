"""Lossless compression with a trained model: bits-back coding over an entropy coder.

    latents = model.parts.latents()                                 # of a VAE, or of the chain of a diffusion model
    codec.compress("digits.jg", images, latents, state.variables, spec)

    read = codec.Read("digits.jg")                                  # refuses a damaged file
    codec.belongs(read, latents, state.variables, spec)             # refuses another model
    codec.decompress(read, out, latents, state.variables)           # fills out, [num, *shape] uint8

The file takes as many bits as the model's negative bound says, beside a header, checksums and the bits that the first
image needs (`bits_back`). The stack of bits is the package constriction's (`stack`), the format of the file is that of
`container`. With a run in the place of model and variables: `jaxgen.runs.compress`, `jaxgen.runs.decompress`.
"""

from jaxgen.codec.bits_back import Codec, batch_sizes
from jaxgen.codec.container import Header, Read, Written
from jaxgen.codec.message import Compressed, Images, belongs, compress, decompress
from jaxgen.codec.stack import Below, Stack, initial_words, installed

__all__ = [
    "Below",
    "Codec",
    "Compressed",
    "Header",
    "Images",
    "Read",
    "Stack",
    "Written",
    "batch_sizes",
    "belongs",
    "compress",
    "decompress",
    "initial_words",
    "installed",
]
