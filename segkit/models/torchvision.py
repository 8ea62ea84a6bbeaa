"""torchvision's segmentation networks as they are."""

from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models.segmentation.deeplabv3 import ASPPPooling
from torchvision.models.segmentation.lraspp import LRASPP

from segkit.errors import UserError, choices
from segkit.models.encoders.features import IMAGENET_MEAN, IMAGENET_STD
from segkit.models.resampling import resize
from segkit.models.weights import find_state, take_state


class TorchvisionNetwork(nn.Module):
    """A whole network of torchvision for pictures of 0…255, with its auxiliary head where it has one.

    Args:
        num_classes: channels of the logits.
        name: torchvision's: ``deeplabv3_resnet50``, ``fcn_resnet50``, ``lraspp_mobilenet_v3_large``, ….
        weights: a name of torchvision's weights, or a file with such a state dict: of the whole network
            (``COCO_WITH_VOC_LABELS_V1``), of which the last layers start random where the number of classes differs, or
            of the classification network that it is built on (``IMAGENET1K_V1``). ``None`` = random.

    Attributes:
        network: torchvision's.
        mean, std: normalisation for values 0…255, (3, 1, 1), buffers saved with the weights.

    Raises:
        UserError: an unknown name, weights that cannot be loaded or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, num_classes: Annotated[int, Gt(0)], name: str = "deeplabv3_resnet50", weights: str | None = None
    ) -> None:
        super().__init__()
        names = models.list_models(module=models.segmentation)
        if name not in names:
            raise UserError(f"model.name={name}: torchvision has no such network{choices(name, names, 'give')}")
        options = {} if name.startswith("lraspp") else {"aux_loss": True}
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(3, 1, 1))
        self.network: Any = models.get_model(
            name, weights=None, weights_backbone=None, num_classes=num_classes, **options
        )
        for pooling in (m for m in self.network.modules() if isinstance(m, ASPPPooling)):
            pooling[2] = PooledBatchNorm(pooling[2].num_features)
        if weights is not None:
            self._load(name, weights)

    def forward(self, image: Tensor) -> Any:
        """Logits (B, num_classes, H, W) of RGB (B, 3, H, W), uint8 or float, values 0…255.

        In training, of a network with an auxiliary head: the logits, and a list of its logits of the same shape.
        """
        size = image.shape[-2:]
        # Not torchvision's own forward: that computes the auxiliary head in evaluation too.
        maps = self.network.backbone((image.to(self.mean.dtype) - self.mean) / self.std)
        logits = self.network.classifier(maps if isinstance(self.network, LRASPP) else maps["out"])
        logits = resize(logits, size)
        if self.training and "aux" in maps:
            return logits, [resize(self.network.aux_classifier(maps["aux"]), size)]
        return logits

    def _load(self, name: str, weights: str) -> None:
        state_dict = find_state(weights, f"model.name={name}", name, name.partition("_")[2])
        own = self.network.state_dict()
        if any(key.startswith("backbone.") for key in state_dict):
            other_classes = {
                key
                for key, value in state_dict.items()
                if key in own and value.shape[:1] != own[key].shape[:1] and value.shape[1:] == own[key].shape[1:]
            }
            state_dict = {key: value for key, value in state_dict.items() if key not in other_classes}
            sources = {key: key for key in own if key not in other_classes}
        else:
            prefix = "features." if "mobilenet" in name else ""
            sources = {key: prefix + key.removeprefix("backbone.") for key in own if key.startswith("backbone.")}
        take_state(self.network, state_dict, sources, f"model.name={name}")


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch normalisation after a mean over whole pictures: of one picture alone it takes the running statistics.

    A single value per channel has no variance, and torch refuses it; a last batch of one picture must not end training.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, 1, 1) to the same shape; the running statistics learn nothing of a single picture."""
        if self.training and input.shape[0] == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
