"""Any network of timm that gives feature maps, as an encoder (``pip install 'segkit[models]'``)."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from segkit.errors import UserError
from segkit.models.encoders.features import normalisation


class TimmEncoder(nn.Module):
    """timm's ``features_only`` network, started as timm starts it.

    Args:
        name: ``timm/<name>``, the name as ``timm.list_models()`` knows it.
        in_channels: of the input.
        output_stride: of the coarsest map: 32 is the network's own, 16 dilates, where timm can for this one.

    Attributes:
        channels, strides, in_channels, mean, std: see `segkit.models.base.Encoder`; mean and std are of timm's weights.

    Raises:
        UserError: timm is not installed, has no network of that name, or none with feature maps or dilation; pictures
            of a size that the network does not take.
    """

    def __init__(self, name: str, in_channels: int = 3, output_stride: int = 32) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise UserError(f"model.encoder={name} needs timm: pip install 'segkit[models]'.") from error
        own_name = name.removeprefix("timm/")
        if not timm.is_model(own_name):
            close = get_close_matches(own_name, timm.list_models(), 3) or ["resnet18", "efficientnet_b0"]
            raise UserError(f"model.encoder={name}: timm has no such network; it has {', '.join(close)} ….")
        options: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
        options |= {"features_only": True, "in_chans": in_channels}
        published = timm.get_pretrained_cfg(own_name)
        fixed = published is not None and published.fixed_input_size
        self._only_size: tuple[int, int] | None = None
        try:
            try:  # Swin's kinds take other sizes where they are asked to
                self.features = timm.create_model(own_name, **options, **({"strict_img_size": False} if fixed else {}))
            except TypeError:
                self.features = timm.create_model(own_name, **options)
                self._only_size = published.input_size[1:] if fixed else None
        except (AssertionError, AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
            raise UserError(
                f"model.encoder={name}: timm gives no feature maps of it with model.output_stride={output_stride} "
                f"({error}).\nGive another encoder, or the other of model.output_stride=16|32."
            ) from error
        self.name = name
        self.channels_last = str(getattr(self.features, "output_fmt", None) or "").endswith("NHWC")
        self.in_channels = in_channels
        self.channels: list[int] = self.features.feature_info.channels()
        self.strides: list[int] = self.features.feature_info.reduction()
        config = self.features.pretrained_cfg
        self.mean, self.std = normalisation(in_channels, config["mean"], config["std"])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps of float (B, in_channels, H, W), normalised: one (B, C, H/stride, W/stride) per stride."""
        try:
            maps = self.features(image)
        except (AssertionError, RuntimeError) as error:
            size = tuple(image.shape[-2:])
            if self._only_size in (None, size):
                raise
            raise UserError(
                f"model.encoder={self.name}: does not take pictures of {size[0]}×{size[1]}; set "
                f"data.image_shape=[{self._only_size[0]},{self._only_size[1]}], or give another encoder"
            ) from error
        return [each.permute(0, 3, 1, 2) for each in maps] if self.channels_last else maps

    def sources(self, names: Iterable[str]) -> dict[str, str]:
        """Own names, and for each timm's, where some of the underscores are points."""
        with_points = {name.replace("_", "."): name for name in names}
        own = {key: key.removeprefix("features.").removeprefix("model.") for key in self.state_dict()}
        return {key: with_points.get(name.replace("_", "."), name) for key, name in own.items()}

    def published(self) -> Mapping[str, Tensor]:
        """State dict of the weights that timm has for this network: downloaded once, or an exception."""
        import timm

        return timm.create_model(self.name.removeprefix("timm/"), features_only=True, pretrained=True).state_dict()
