"""Every file under conf/model: its keys are its class's, and its network runs."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate

CONF = Path(__file__).parents[2] / "conf"


def build(name: str, *overrides: str) -> torch.nn.Module:
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose(f"model/{name}", [f"model.{change}" for change in ("weights=null", *overrides)])
    return instantiate(config.model, num_classes=3)


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "model").glob("*.yaml")))
def test_a_file_builds_a_network(name) -> None:
    with torch.device("meta"):
        network = build(name).eval()
        assert network(torch.zeros(1, 3, 40, 50, dtype=torch.uint8)).shape == (1, 3, 40, 50)


ENCODERS = ["vgg16", "vgg16_bn", "resnet18", "resnet34", "resnet50", "mobilenet_v3_large", "convnext_tiny"]
REMEDIES = {("fcn8", encoder): "fc_channels=null" for encoder in [*ENCODERS[2:], "timm/resnet10t"]}
REMEDIES |= {("deeplabv3plus", encoder): "output_stride=32" for encoder in ("vgg16", "vgg16_bn", "convnext_tiny")}


@pytest.mark.parametrize("name", ["fcn8", "unet", "fpn", "deeplabv3plus"])
@pytest.mark.parametrize("encoder", [*ENCODERS, "timm/resnet10t"])
def test_every_encoder_fits_or_the_message_says_what_would(name, encoder) -> None:
    overrides = [f"encoder={encoder}"]
    with torch.device("meta"):
        if remedy := REMEDIES.get((name, encoder)):
            with pytest.raises(InstantiationException, match=f"model.{remedy}"):
                build(name, *overrides)
            overrides.append(remedy)
        network = build(name, *overrides).eval()
        assert network(torch.zeros(1, 3, 40, 50, dtype=torch.uint8)).shape == (1, 3, 40, 50)
