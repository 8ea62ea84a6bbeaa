"""DeepLabV3+'s decoder (Chen et al. 2018): atrous spatial pyramid pooling, refined by a fine feature map."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Len, Lt
from torch import Tensor, nn

from segkit.errors import UserError
from segkit.models.decoders.layers import PooledBlock, auxiliary_head, conv_block
from segkit.models.encoders.features import Channels
from segkit.models.resampling import resize

LOW_STRIDE = 4


class DeepLabV3PlusDecoder(nn.Module):
    """The top seen by convolutions of several dilations and by its mean, then beside the map of stride 4.

    Args:
        channels, strides: of the feature maps, fine to coarse; used are the coarsest and that of stride 4.
        num_classes: channels of the logits.
        rates: dilations of the 3×3 convolutions over the top: the paper's for a top of stride 16; halve them for 32.
        width: channels of the convolutions.
        low_width: channels that the map of stride 4 is brought to.
        dropout: probability of dropping a value after the pyramid.
        auxiliary: whether training has an auxiliary FCN head on the second coarsest map.

    Raises:
        UserError: no map of stride 4.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: Annotated[int, Gt(0)],
        rates: Annotated[Sequence[Annotated[int, Gt(0)]], Len(1)] = (6, 12, 18),
        width: Channels = 256,
        low_width: Channels = 48,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        if LOW_STRIDE not in strides:
            raise UserError(
                f"DeepLabV3+ needs a feature map of stride {LOW_STRIDE}, not of {', '.join(map(str, strides))} alone.\n"
                "Give model.encoder=resnet50, or another that halves its input step by step."
            )
        self._low = list(strides).index(LOW_STRIDE)
        top = channels[-1]
        self.pyramid = nn.ModuleList(
            [
                conv_block(top, width, kernel=1),
                *(conv_block(top, width, dilation=rate) for rate in rates),
                PooledBlock(top, width, bins=1),
            ]
        )
        self.project = nn.Sequential(conv_block(width * len(self.pyramid), width, kernel=1), nn.Dropout(dropout))
        self.low = conv_block(channels[self._low], low_width, kernel=1)
        self.refine = nn.Sequential(conv_block(width + low_width, width), conv_block(width, width))
        self.score = nn.Conv2d(width, num_classes, 1)
        self.auxiliary = auxiliary_head(channels[-2], num_classes) if auxiliary else None

    def forward(self, maps: Sequence[Tensor]) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits (B, num_classes, H/4, W/4) from one map (B, C, H/stride, W/stride) per stride.

        In training with an auxiliary head also its logits, at the second coarsest map's size.
        """
        top = self.project(torch.cat([branch(maps[-1]) for branch in self.pyramid], dim=1))
        low = self.low(maps[self._low])
        logits = self.score(self.refine(torch.cat([resize(top, low.shape[-2:]), low], dim=1)))
        if self.training and self.auxiliary is not None:
            return logits, [self.auxiliary(maps[-2])]
        return logits
