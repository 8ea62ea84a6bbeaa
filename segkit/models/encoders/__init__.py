"""Encoders: a picture in, feature maps out."""

from typing import get_args

from torch import nn

from segkit.errors import UserError, choices
from segkit.models.encoders.vgg import EncoderName, VGGEncoder

VGG_NAMES: tuple[str, ...] = get_args(EncoderName)
TORCHVISION_NAMES = ("resnet18", "resnet34", "resnet50", "mobilenet_v3_large", "convnext_tiny")
DILATING = TORCHVISION_NAMES[:4]
"""Those whose last stage can be dilated."""


def build_encoder(name: str, in_channels: int = 3, output_stride: int = 32) -> nn.Module:
    """An encoder with random weights.

    Args:
        name: ``vgg16``, ``vgg16_bn``, ``resnet18``, ``resnet34``, ``resnet50``, ``mobilenet_v3_large``,
            ``convnext_tiny``, or ``timm/<name of a network of timm>``.
        in_channels: of its input.
        output_stride: of its coarsest feature map: 32, or 16 where its last stage can be dilated.

    Raises:
        UserError: an unknown name, an encoder that cannot be dilated, timm not installed.
    """
    if name.startswith("timm/"):
        from segkit.models.encoders.timm import TimmEncoder

        return TimmEncoder(name, in_channels, output_stride)
    known = (*VGG_NAMES, *TORCHVISION_NAMES)
    if name not in known:
        raise UserError(f"model.encoder={name}: no such encoder{choices(name, known, 'give')} or timm/<name>")
    if output_stride != 32 and name not in DILATING:
        raise UserError(
            f"model.output_stride={output_stride}: model.encoder={name} cannot be dilated.\n"
            f"Give model.output_stride=32, or model.encoder={'|'.join(DILATING)}|timm/<name>."
        )
    if name in VGG_NAMES:
        return VGGEncoder(name, in_channels=in_channels)  # type: ignore[arg-type]
    from segkit.models.encoders.torchvision import TorchvisionEncoder  # torchvision takes most of a second to import

    return TorchvisionEncoder(name, in_channels, output_stride)
