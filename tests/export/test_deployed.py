"""The whole way of a picture in one module, against the way that predictions take."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segkit.data.picture_input import PictureInput
from segkit.export.deployed import Deployed
from segkit.models.full_size import to_confidence
from segkit.predict.averaging import Averaging
from segkit.predict.predictor import Predictor

WAYS: dict[str, Any] = {
    "resized": {},
    "larger than the window": {"resize": (50, 70)},
    "smaller than the window": {"resize": (20, 50)},
    "its own size, whole": {"resize": None, "window": "whole"},
    "its own size, windows": {"resize": None},
    "a share, windows": {"resize": 0.5, "overlap": 0.8},
    "a share, whole": {"resize": 1.5, "window": "whole"},
    "its longer side, whole": {"resize": 64, "window": "whole"},
    "its longer side, windows": {"resize": 90},
}


class Network(nn.Module):
    """Logits that depend on a pixel's neighbours and on its place in what is shown."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, classes, 5, padding=2)

    def forward(self, image: Tensor) -> Tensor:
        down = torch.arange(image.shape[2])[:, None] / 30
        return self.layer(image.float() / 64 - 2) * (1 + down)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("classes", [2, 3])
def test_as_predictions_have_it(way: dict[str, Any], classes: int) -> None:
    network, shown = Network(classes).eval(), PictureInput.of((32, 48), **way)
    deployed, averaging = Deployed(network, shown, logits=True), Averaging()
    for size in [(41, 60), (75, 130), (33, 47), (9, 7)]:
        pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
        with torch.inference_mode():
            masks, sure, logits = deployed(torch.from_numpy(pictures).permute(0, 3, 1, 2))
            for number, picture in enumerate(pictures):
                views = averaging.views(picture, shown)
                own = averaging.probabilities(network, views, size, shown, torch.device("cpu"))
                expected_mask, expected_sure = Predictor.decide(own)
                # A grey level of the resized picture may be another one.
                assert (masks[number] != expected_mask).float().mean() < 0.005
                assert (sure[number].int() - expected_sure.int()).abs().max() <= 3
                found = logits[number].softmax(0)
                assert (found - own).abs().max() < 0.012
                assert torch.equal(sure[number], to_confidence(found[1] if classes == 2 else found.max(0).values))
