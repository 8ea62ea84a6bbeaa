"""What a network computes for prediction where nothing makes it fast."""

import copy

import pytest
import torch

from segkit.models.fcn import FCN
from segkit.predict import predictor


@pytest.mark.parametrize("bf16", [False, True])
def test_without_the_room_of_speed_a_network_predicts_the_same(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, image = FCN(3, fc_channels=8).eval(), torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    device = torch.device("cpu")
    fast = predictor._for_prediction(copy.deepcopy(network), device, bf16)
    monkeypatch.setattr(predictor, "find_spec", lambda name: None)
    plain = predictor._for_prediction(copy.deepcopy(network), device, bf16)
    assert type(plain) is not type(fast)
    with torch.inference_mode():
        found, expected = plain(image).float(), fast(image).float()
        own = network(image)
    largest = float(own.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=largest * (2**-4 if bf16 else 1e-5))
    assert (float((found - own).abs().max()) > 1e-4 * largest) == bf16
