"""The former place of the U-Net, by which the manifests of earlier runs name it; it is in `jaxgen.nn.unet`."""

from jaxgen.nn.unet import UNet

__all__ = ["UNet"]
