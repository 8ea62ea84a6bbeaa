"""Fully convolutional networks FCN-32s, FCN-16s and FCN-8s (Long, Shelhamer, Darrell 2015)."""

from functools import partial
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from segkit.errors import UserError
from segkit.models.base import EncoderDecoder
from segkit.models.decoders.fcn import FCNDecoder
from segkit.models.encoders import VGG_NAMES
from segkit.models.encoders.features import Channels
from segkit.models.encoders.vgg import VGGEncoder


class FCN(EncoderDecoder):
    """FCN on VGG16, its classifier's hidden layers made convolutions; on another encoder without them.

    Args:
        num_classes: channels of the logits.
        stride: 8 for FCN-8s, 16 for FCN-16s, 32 for FCN-32s.
        encoder: ``vgg16``, ``vgg16_bn``, or with ``fc_channels=None`` any other, see
            `segkit.models.encoders.build_encoder`.
        weights: see `segkit.models.base.EncoderDecoder`.
        fc_channels, dropout, batch_norm_fc: of VGG's fc6 and fc7, see `segkit.models.encoders.vgg.VGGEncoder`.
        skip_scale, init: see `segkit.models.decoders.fcn.FCNDecoder`.

    Raises:
        UserError: ``fc_channels`` with an encoder that has no fc6 and fc7; see `EncoderDecoder` too.
    """

    def __init__(
        self,
        num_classes: Annotated[int, Gt(0)],
        stride: Literal[8, 16, 32] = 8,
        encoder: str = "vgg16",
        weights: str | None = None,
        fc_channels: Channels | None = 4096,
        batch_norm_fc: bool = False,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
        skip_scale: tuple[Annotated[float, Ge(0)], Annotated[float, Ge(0)]] = (0.01, 0.0001),
        init: Literal["normal", "bilinear"] = "normal",
    ) -> None:
        decoder = partial(FCNDecoder, stride=stride, skip_scale=skip_scale, init=init)
        if encoder in VGG_NAMES:
            vgg = VGGEncoder(encoder, fc_channels, dropout, batch_norm_fc)  # type: ignore[arg-type]
            super().__init__(num_classes, vgg, decoder, weights)
        elif fc_channels is not None or batch_norm_fc:
            raise UserError(
                f"model.encoder={encoder} has no fc6 and fc7: give model.fc_channels=null and "
                "model.batch_norm_fc=false with it, or model.encoder=vgg16|vgg16_bn."
            )
        else:
            super().__init__(num_classes, encoder, decoder, weights)
