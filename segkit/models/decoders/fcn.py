"""The decoders of FCN-32s, FCN-16s and FCN-8s (Long, Shelhamer, Darrell 2015)."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import nn

from segkit.errors import UserError

DecoderStride = Literal[8, 16, 32]
DecoderInit = Literal["normal", "bilinear"]
SkipScale = tuple[Annotated[float, Ge(0)], Annotated[float, Ge(0)]]

_INIT_STD = 0.01


class FCNDecoder(nn.Module):
    """1×1 scores per feature map, brought together by transposed convolutions.

    Stride 32 enlarges the top's scores by 32 (kernel 64). Stride 16 doubles them (4/2), adds pool4's scores and
    enlarges by 16 (32/16). Stride 8 doubles once more, adds pool3's scores and enlarges by 8 (16/8).

    Args:
        channels, strides: of the feature maps, fine to coarse; the coarsest is the top.
        num_classes: channels of the logits.
        stride: 8, 16 or 32: that of the finest feature map used.
        skip_scale: factors on pool4 and on pool3 before their 1×1 convolutions. The FCN authors' values for training
            all strides at once are 0.01 and 0.0001: pool activations are far larger than scores.
        init: start of the transposed convolutions: ``bilinear`` is exact bilinear upsampling of each class on its own,
            ``normal`` has standard deviation 0.01. The 1×1 convolutions start normal in both, all biases at zero.

    Raises:
        UserError: the strides lack one that is needed: 32, and 16 and 8 for the skips.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: Annotated[int, Gt(0)],
        stride: DecoderStride = 8,
        skip_scale: SkipScale = (0.01, 0.0001),
        init: DecoderInit = "normal",
    ) -> None:
        super().__init__()
        needed = {32: (32,), 16: (32, 16), 8: (32, 16, 8)}[stride]
        if not set(needed) <= set(strides):
            raise UserError(
                f"model.stride={stride} needs feature maps of strides {', '.join(map(str, needed))}, not of "
                f"{', '.join(map(str, strides))}.\nGive model.encoder=vgg16|vgg16_bn|resnet34 with output_stride 32."
            )
        self._top, *self._skips = (list(strides).index(s) for s in needed)
        self.skip_scale = tuple(skip_scale)
        self.score = nn.Conv2d(channels[self._top], num_classes, 1)
        self.skip_scores = nn.ModuleList(nn.Conv2d(channels[i], num_classes, 1) for i in self._skips)
        self.doubles = nn.ModuleList(_enlarge(num_classes, 2) for _ in self._skips)
        self.upsample = _enlarge(num_classes, stride)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=_INIT_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, nn.ConvTranspose2d) and init == "bilinear":
                _fill_bilinear(module)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (B, num_classes, H, W) from maps (B, channels[i], H/strides[i], W/strides[i])."""
        logits = self.score(maps[self._top])
        for double, score, i, scale in zip(self.doubles, self.skip_scores, self._skips, self.skip_scale, strict=False):
            logits = double(logits) + score(maps[i] * scale)
        return self.upsample(logits)


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
