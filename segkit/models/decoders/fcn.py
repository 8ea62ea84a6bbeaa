"""Fully convolutional networks FCN-32s, FCN-16s and FCN-8s (Long, Shelhamer, Darrell 2015)."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import nn

from segkit.models.encoders.vgg import IMAGENET_MEAN, IMAGENET_STD, EncoderName, VGGEncoder

DecoderStride = Literal[8, 16, 32]
DecoderInit = Literal["normal", "bilinear"]

_INIT_STD = 0.01
_SIZE_MULTIPLE = 32  # the encoder halves a picture five times


class FCNDecoder(nn.Module):
    """1×1 scores per feature map, brought together by transposed convolutions.

    Stride 32 enlarges the top's scores by 32 (kernel 64). Stride 16 doubles them (4/2), adds pool4's scores and
    enlarges by 16 (32/16). Stride 8 doubles once more, adds pool3's scores and enlarges by 8 (16/8).

    Args:
        channels: channel counts of the feature maps pool3, pool4 and top.
        num_classes: channels of the logits.
        stride: 8, 16 or 32: that of the finest feature map used.
        skip_scale: factors on pool4 and on pool3 before their 1×1 convolutions. The FCN authors' values for training
            all strides at once are 0.01 and 0.0001: pool activations are far larger than scores.
        init: start of the transposed convolutions: ``bilinear`` is exact bilinear upsampling of each class on its own,
            ``normal`` has standard deviation 0.01. The 1×1 convolutions start normal in both, all biases at zero.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        stride: DecoderStride = 8,
        skip_scale: tuple[float, float] = (0.01, 0.0001),
        init: DecoderInit = "normal",
    ) -> None:
        super().__init__()
        pool3, pool4, top = channels
        skip_channels = {32: [], 16: [pool4], 8: [pool4, pool3]}[stride]
        self.skip_scale = tuple(skip_scale)
        self.score = nn.Conv2d(top, num_classes, 1)
        self.skip_scores = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in skip_channels)
        self.doubles = nn.ModuleList(_enlarge(num_classes, 2) for _ in skip_channels)
        self.upsample = _enlarge(num_classes, stride)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=_INIT_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, nn.ConvTranspose2d) and init == "bilinear":
                _fill_bilinear(module)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (B, num_classes, H, W) from the maps pool3 (H/8, W/8), pool4 (H/16, W/16) and top (H/32, W/32)."""
        *pools, top = maps
        logits = self.score(top)
        for double, score, pool, scale in zip(
            self.doubles, self.skip_scores, reversed(pools), self.skip_scale, strict=False
        ):
            logits = double(logits) + score(pool * scale)
        return self.upsample(logits)


class FCN(nn.Module):
    """Pictures in, logits of the same size out.

    Args:
        num_classes: channels of the logits.
        stride: 8 for FCN-8s, 16 for FCN-16s, 32 for FCN-32s.
        encoder: ``vgg16`` or ``vgg16_bn``.
        fc_channels: width of fc6 and fc7; ``None`` leaves both out.
        dropout: probability of the encoder's dropout after fc6 and fc7.
        skip_scale: see `FCNDecoder`.
        init: see `FCNDecoder`.

    Attributes:
        encoder: gives the feature maps; its ``channels`` says how wide they are.
        decoder: takes the list of feature maps; another that gives logits at the encoder's input size may replace it.
        mean, std: normalisation for values 0…255, buffers saved with the weights, so that a checkpoint always sees the
            input it was trained with.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        num_classes: int,
        stride: DecoderStride = 8,
        encoder: EncoderName = "vgg16",
        fc_channels: int | None = 4096,
        dropout: float = 0.2,
        skip_scale: tuple[float, float] = (0.01, 0.0001),
        init: DecoderInit = "normal",
    ) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(3, 1, 1))
        self.encoder = VGGEncoder(encoder, fc_channels, dropout)
        self.decoder: nn.Module = FCNDecoder(self.encoder.channels, num_classes, stride, skip_scale, init)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of a batch of pictures.

        Args:
            image: RGB (B, 3, H, W) of any size from 1×1, uint8 or float, values 0…255. It is normalised, then padded
                with zeros (ImageNet's mean colour) on the right and at the bottom to multiples of 32.

        Returns:
            Logits (B, num_classes, H, W) in the weights' dtype, or in autocast's dtype under autocast.
        """
        height, width = image.shape[-2:]
        image = (image.to(self.mean.dtype) - self.mean) / self.std
        image = nn.functional.pad(image, (0, -width % _SIZE_MULTIPLE, 0, -height % _SIZE_MULTIPLE))
        return self.decoder(self.encoder(image))[..., :height, :width]

    def decoder_kernels(self) -> Iterator[torch.Tensor]:
        """Weights, not biases, of the decoder's convolutions: the parameters on which its L2 penalty acts."""
        for module in self.decoder.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                yield module.weight


def _enlarge(num_classes: int, factor: int) -> nn.ConvTranspose2d:
    """A transposed convolution that multiplies height and width by exactly ``factor``, an even number."""
    return nn.ConvTranspose2d(num_classes, num_classes, 2 * factor, stride=factor, padding=factor // 2)


@torch.no_grad()
def _fill_bilinear(layer: nn.ConvTranspose2d) -> None:
    """Make a transposed convolution with kernel 2·stride upsample every channel bilinearly, without cross terms."""
    factor = layer.stride[0]
    offsets = (torch.arange(2 * factor) - (factor - 0.5)) / factor
    triangle = 1 - offsets.abs()
    layer.weight.zero_()
    for channel in range(layer.in_channels):
        layer.weight[channel, channel] = torch.outer(triangle, triangle)
