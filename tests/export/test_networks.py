"""Every shipped network in every format: the table of docs/export.md."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segkit.data.picture_input import PictureInput
from segkit.export.deployed import Deployed
from segkit.export.description import as_texts
from segkit.export.onnx import to_onnx
from segkit.export.program import graph_of
from segkit.export.writing import write_onnx, write_openvino, write_torch
from segkit.models.base import EncoderDecoder
from segkit.models.decoders.deeplabv3plus import DeepLabV3PlusDecoder
from segkit.models.decoders.fcn import FCNDecoder
from segkit.models.decoders.fpn import FPNDecoder
from segkit.models.decoders.unet import UNetDecoder
from segkit.models.fcn import FCN
from segkit.models.torchvision import TorchvisionNetwork
from segkit.predict.exported import Exported
from tests.models.test_networks import Steps, shortened

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
FORMATS = {".onnx": 1e-4, ".pt2": 1e-4, ".xml": 1e-2}
"""Largest difference of logits, as a share of the largest. OpenVINO resizes in float32: a grey level may be another."""
FPN = partial(FPNDecoder, width=8, head_width=8)
DEEPLAB = partial(DeepLabV3PlusDecoder, width=8, low_width=4)
Build = Callable[[], nn.Module]
NETWORKS: dict[str, Build] = {
    "`fcn8`, `vgg16_bn`": partial(FCN, 3, 8, "vgg16_bn", fc_channels=8, batch_norm_fc=True, skip_scale=(1, 1)),
    "`fcn16`, `vgg16`": partial(FCN, 3, 16, "vgg16", fc_channels=8, skip_scale=(1, 1)),
    "`fcn32`, `resnet18`": partial(FCN, 3, 32, "resnet18", fc_channels=None),
    "`unet`, `mobilenet_v3_large`": partial(EncoderDecoder, 3, "mobilenet_v3_large", partial(UNetDecoder, width=4)),
    "`fpn`, `convnext_tiny`": partial(EncoderDecoder, 3, "convnext_tiny", FPN),
    "`fpn` with pyramid pooling, `resnet34`": partial(
        EncoderDecoder, 3, "resnet34", partial(FPN, pyramid_pooling=True)
    ),
    "`deeplabv3plus`, `resnet50` of stride 16": partial(EncoderDecoder, 3, "resnet50", DEEPLAB, output_stride=16),
    "`unet`, `timm/resnet10t`": partial(EncoderDecoder, 3, "timm/resnet10t", partial(UNetDecoder, width=4)),
    "`torchvision`, `deeplabv3_mobilenet_v3_large`": partial(TorchvisionNetwork, 3, "deeplabv3_mobilenet_v3_large"),
    "`torchvision`, `lraspp_mobilenet_v3_large`": partial(TorchvisionNetwork, 3, "lraspp_mobilenet_v3_large"),
}
ABOUT = as_texts(
    {
        "segkit": "0",
        "classes": [{"name": name, "colour": None, "background": False} for name in "abc"],
        "input": PictureInput.of((48, 64)).as_dict(),
        "precision": "fp32",
        "logits": True,
    }
)


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_the_files_of_every_format_give_what_pytorch_gives(build: Build, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[export]'")
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install -e '.[openvino]'")
    torch.manual_seed(0)
    network, shown = shortened(build()).eval(), PictureInput.of((48, 64))
    pictures = [
        np.random.default_rng(0).integers(0, 256, (n, 3, h, w), np.uint8) for n, h, w in ((1, 61, 90), (3, 33, 47))
    ]
    with torch.inference_mode():
        expected = [Deployed(network, shown, logits=True)(torch.from_numpy(images)) for images in pictures]
    for path in write_all(network, shown, tmp_path):
        file = Exported(path, "checkpoint")
        for images, (_, _, logits) in zip(pictures, expected, strict=True):
            found = file.compute(images)
            assert (found["logits"] - logits).abs().max() <= FORMATS[path.suffix] * logits.abs().max(), path.suffix
            own = found["logits"].softmax(1)
            chosen = own.gather(1, found["mask"].long()[:, None])[:, 0]
            assert (own.max(1).values - chosen).max() < 1e-6
            assert (found["confidence"] / 255 - chosen).abs().max() < 0.51 / 255
            assert found["confidence"].shape == (len(images), *images.shape[2:])


def write_all(network: nn.Module, shown: PictureInput, folder: Path) -> list[Path]:
    paths = [folder / f"network{ending}" for ending in FORMATS]
    program = graph_of(Deployed(network, shown, logits=True))
    model = to_onnx(program)
    write_onnx(model, ABOUT, paths[0])
    write_torch(program, ABOUT, paths[1])
    write_openvino(model, ABOUT, paths[2])
    return paths


def test_the_table_of_the_docs_has_these_networks_and_formats() -> None:
    rows = re.findall(r"^\| (`.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert [row.split(" | ")[0] for row in rows if "✓" in row] == list(NETWORKS)
    assert all(row.count("✓") == len(FORMATS) for row in rows if "✓" in row)


@pytest.mark.parametrize(
    "shown",
    [PictureInput.of((48, 64), None, "whole"), PictureInput.of((48, 64), 0.5), PictureInput.of((48, 64), 96, "whole")],
    ids=str,
)
def test_pictures_that_are_not_resized_to_one_shape(shown: PictureInput, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install -e '.[openvino]'")
    torch.manual_seed(0)
    network = EncoderDecoder(3, Steps(), partial(FCNDecoder, skip_scale=(1, 1))).eval()
    files = [Exported(path, "checkpoint") for path in write_all(network, shown, tmp_path)]
    for size in [(1, 70, 101), (2, 150, 301), (1, 20, 9)]:
        images = np.random.default_rng(0).integers(0, 256, (size[0], 3, *size[1:]), np.uint8)
        with torch.inference_mode():
            logits = Deployed(network, shown, logits=True)(torch.from_numpy(images))[2]
        for file in files:  # graphs divide lengths in float32: a grey level of the resized picture may be another
            assert (file.compute(images)["logits"] - logits).abs().max() <= 1e-2 * logits.abs().max()
