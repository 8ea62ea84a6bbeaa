"""Exported files: the shipped networks in each format, held against PyTorch."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from segkit import __version__
from segkit.benchmarks.datasets import labelled_pictures
from segkit.benchmarks.table import Table, file_name
from segkit.config.compose import composed, resolved
from segkit.config.instantiate import build
from segkit.data.images import decode_image, resize_image
from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.distributed.cores import cores
from segkit.export.description import as_texts
from segkit.export.held import hold
from segkit.export.writing import write_network
from segkit.models.trained import describe
from segkit.predict.exported import Exported
from segkit.predict.predictor import Predictor

NETWORKS = (
    *(f"model=fcn8 model.encoder={encoder}" for encoder in ("vgg16", "vgg16_bn")),
    *(f"model=unet model.encoder={encoder}" for encoder in ("resnet34", "mobilenet_v3_large")),
    *(f"model=fpn model.encoder={encoder}" for encoder in ("resnet34", "convnext_tiny")),
    "model=deeplabv3plus model.encoder=resnet50",
    *(f"model=torchvision model.name={name}" for name in ("fcn_resnet50", "deeplabv3_resnet50")),
)
"""Settings that choose them."""

FORMATS = {
    "onnx": (".onnx", False),
    "torch": (".pt2", False),
    "openvino": (".xml", False),
    "onnx, fp16": (".onnx", True),
}
"""Ending, and whether in fp16."""

CLASSES = tuple(SegmentationClass(f"class {number}", None) for number in range(11))
SHAPE = (160, 576)
PICTURES = 4


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """One table, a row for each network and format. Weights are random; ``cases`` may give another [height, width, _].

    Raises:
        UserError: a package of a format is missing; a data set that is not there.
    """
    shape = (settings["cases"][0][0], settings["cases"][0][1]) if settings["cases"] else SHAPE
    shown = PictureInput.of(shape)
    scratch = folder / "scratch"
    paths = [record.image for record in labelled_pictures(settings, scratch)][:PICTURES]
    pictures = [decode_image(path) for path in paths]
    seen = torch.from_numpy(np.stack([resize_image(picture, shape) for picture in pictures])).permute(0, 3, 1, 2)
    rows: list[dict[str, Any]] = []
    for words in NETWORKS:
        model = resolved(composed("bench", [*words.split(), "model.weights=null"]))["model"]
        torch.manual_seed(settings["seed"])
        network = accustomed(build("model", model, nn.Module, num_classes=len(CLASSES)), seen)
        entry = describe(model, CLASSES, shown)
        state = {f"network.{name}": value for name, value in network.state_dict().items()}
        plain = Predictor({"state_dict": state, "segkit": entry}, None, "fp32")
        for name, (ending, half) in FORMATS.items():
            file = scratch / "exported" / f"network{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            about = {
                "segkit": __version__,
                "classes": entry["classes"],
                "input": entry["input"],
                "precision": "fp16" if half else "fp32",
            }
            write_network(copy.deepcopy(network), shown, as_texts(about), file, half=half)
            held = hold(Exported(file, "export"), plain, pictures, lambda: None)
            rows.append(
                {
                    "network": words.replace("model=", "").replace("model.", ""),
                    "format": name,
                    "mbytes": sum(path.stat().st_size for path in written(file)) / 1e6,
                    "masks_differing_percent": 100 * held.differing,
                    "confidence_differing": held.confidence,
                    "images_per_second": held.per_second,
                    "ratio_to_pytorch": held.per_second / held.plain_per_second,
                }
            )
            for path in written(file):
                path.unlink()
    about_all = [
        f"{cores()} CPU cores; random weights, batch normalisation after the pictures; {len(CLASSES)} classes; "
        f"{len(pictures)} pictures of {pictures[0].shape[1]}×{pictures[0].shape[0]}, shown at {shown}",
        "masks_differing_percent: share of pixels of another class than PyTorch's in fp32; confidence_differing: the "
        "largest, of 255",
        "Of random weights the classes lie so close together that roundings decide: trained networks' masks differ "
        "less",
    ]
    return [Table(file_name("export", "fp32", "nchw", None), "Exported files beside PyTorch", rows, about_all)]


def accustomed(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """The network in evaluation mode, its batch normalisation's statistics those of ``images``, uint8 (N, 3, H, W):
    without them values grow from layer to layer as in no trained network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.inference_mode():
        network.train()(images)
    return network.eval()


def written(file: Path) -> Iterator[Path]:
    """The file, and what OpenVINO writes beside it."""
    return (path for path in file.parent.iterdir() if path.stem == file.stem)
