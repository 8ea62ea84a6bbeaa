"""What a network consists of: an encoder gives feature maps, a decoder makes logits of them.

`Encoder` and `Decoder` say what is asked of each; any module that keeps to it fits.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.errors import UserError
from segkit.models.encoders import build_encoder
from segkit.models.encoders.features import Channels
from segkit.models.resampling import resize
from segkit.models.weights import load_pretrained


class Encoder(Protocol):
    """A picture in, feature maps out: a module with these attributes.

    Attributes:
        channels: of each feature map, fine to coarse.
        strides: of each feature map, fine to coarse, powers of 2: a map is (B, channels[i], H/strides[i],
            W/strides[i]). With dilation the coarsest stride may come twice.
        in_channels: of the input.
        mean, std: per input channel, for values 0…1: the normalisation that the weights were trained under.
    """

    channels: Sequence[int]
    strides: Sequence[int]
    in_channels: int
    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Feature maps of float (B, in_channels, H, W), normalised; H and W multiples of the coarsest stride."""


class Decoder(Protocol):
    """Feature maps in, logits out: a module built as ``decoder(channels=…, strides=…, num_classes=…)``."""

    def __call__(self, maps: Sequence[Tensor]) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits (B, num_classes, h, w) at the stride of the finest map used, or finer.

        In training, logits and a list of auxiliary logits (B, num_classes, …), of any size, if there are such heads.
        """


class EncoderDecoder(nn.Module):
    """Pictures in, logits of the same size out.

    Args:
        num_classes: channels of the logits.
        encoder: a name (see `segkit.models.encoders.build_encoder`), or an `Encoder`.
        decoder: what gives a `Decoder` when called with ``channels``, ``strides`` and ``num_classes``.
        weights: pretrained weights of the encoder, see `segkit.models.weights.load_pretrained`; ``None`` = random.
        in_channels: of the input; of a named encoder only, another has its own.
        output_stride: of the encoder's top: 16 dilates its last stage (Chen 2017); of a named encoder only.

    Attributes:
        encoder, decoder: the two parts.
        mean, std: normalisation for values 0…255, (in_channels, 1, 1), buffers saved with the weights, so that a
            checkpoint always sees the input it was trained with.

    Raises:
        UserError: an unknown encoder, one that does not fit the decoder, weights that cannot be loaded.
    """

    encoder: Any
    decoder: nn.Module
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        num_classes: Annotated[int, Gt(0)],
        encoder: str | nn.Module,
        decoder: Callable[..., Any],
        weights: str | None = None,
        in_channels: Channels = 3,
        output_stride: Literal[16, 32] = 32,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, in_channels, output_stride) if isinstance(encoder, str) else encoder
        if not isinstance(self.encoder, nn.Module):
            raise UserError(
                f"model.encoder={self.encoder}: is neither a name nor an encoder; give model.encoder=resnet34"
            )
        if weights is not None:
            load_pretrained(self.encoder, weights)
        self.register_buffer("mean", 255 * torch.tensor(self.encoder.mean).view(-1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(self.encoder.std).view(-1, 1, 1))
        self.decoder = decoder(channels=self.encoder.channels, strides=self.encoder.strides, num_classes=num_classes)

    def forward(self, image: Tensor) -> Any:
        """Logits of a batch of pictures.

        Args:
            image: (B, in_channels, H, W) of any size from 1×1, uint8 or float, values 0…255. It is normalised, then
                padded with zeros (the mean colour) on the right and at the bottom to the encoder's coarsest stride.

        Returns:
            Logits (B, num_classes, H, W) in the weights' dtype, or in autocast's dtype under autocast. In training, of
            a decoder with auxiliary heads: the logits, and a list of auxiliary logits of the same shape.
        """
        height, width = image.shape[-2:]
        multiple = max(self.encoder.strides)
        image = (image.to(self.mean.dtype) - self.mean) / self.std
        image = F.pad(image, (0, -width % multiple, 0, -height % multiple))
        padded = image.shape[-2:]
        result = self.decoder(self.encoder(image))
        if isinstance(result, Tensor):
            return resize(result, padded)[..., :height, :width]
        logits, *auxiliary = (resize(r, padded)[..., :height, :width] for r in (result[0], *result[1]))
        return logits, auxiliary
