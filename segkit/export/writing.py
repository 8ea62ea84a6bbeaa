"""An exported network as files, in each format."""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.export import ExportedProgram

from segkit import __version__
from segkit.config.trained_schema import EXPORT_ENDINGS
from segkit.data.picture_input import PictureInput
from segkit.errors import UserError
from segkit.export.deployed import Deployed
from segkit.export.half import halved
from segkit.export.onnx import to_onnx
from segkit.export.program import graph_of
from segkit.export.quantise import quantised
from segkit.predict.runtimes import ABOUT

if TYPE_CHECKING:
    from onnx import ModelProto


def write_network(
    network: nn.Module,
    shown: PictureInput,
    about: Mapping[str, str],
    path: Path,
    logits: bool = False,
    half: bool = False,
    calibration: Sequence[Path] = (),
) -> None:
    """Write the network to ``path``, whose ending says the format; it is taken over, and changed.

    Args:
        network: pictures uint8 (N, 3, H, W) to logits (N, C, H, W), on the CPU, in evaluation mode.
        shown: how pictures come to it.
        about: what is said of it, in the file.
        path: ``.onnx``, ``.pt2``, or ``.xml`` (beside which the weights are written as ``.bin``).
        logits: whether these are an output too.
        half: weights and feature maps in fp16.
        calibration: pictures; with any, convolutions are in int8. Of ``.onnx`` alone.

    Raises:
        UserError: a package of the format is missing, or the network cannot be written in it.
    """
    program = graph_of(Deployed(halved(network) if half else network, shown, logits))
    if path.suffix == EXPORT_ENDINGS["torch"]:
        write_torch(program, about, path)
        return
    model = to_onnx(program)
    if path.suffix == EXPORT_ENDINGS["openvino"]:
        write_openvino(model, about, path)
    else:
        write_onnx(quantised(model, calibration) if calibration else model, about, path)


def write_torch(program: ExportedProgram, about: Mapping[str, str], path: Path) -> None:
    """Write a graph as torch.export's own file."""
    program.example_inputs = None  # pictures of zeros, larger than the graph
    program._guards_code = []  # they forbid lengths of 1, which the graph computes as any other
    content = BytesIO()  # given a path, torch ends the whole process where the disk is full
    torch.export.save(program, content, extra_files={ABOUT: json.dumps(dict(about))})
    path.write_bytes(content.getbuffer())


def write_onnx(model: "ModelProto", about: Mapping[str, str], path: Path) -> None:
    """Write an ONNX model, with ``about`` as its ``metadata_props``."""
    del model.metadata_props[:]
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name, model.producer_version = "segkit", __version__
    path.write_bytes(model.SerializeToString())


def write_openvino(model: "ModelProto", about: Mapping[str, str], path: Path) -> None:
    """Write an ONNX model as OpenVINO's two files.

    Raises:
        UserError: OpenVINO is missing.
    """
    try:
        import openvino
    except ImportError as error:
        raise UserError("format=openvino needs OpenVINO: pip install -e '.[openvino]'") from error
    converted = openvino.Core().read_model(model.SerializeToString())
    converted.set_rt_info(json.dumps(dict(about)), ABOUT)
    openvino.save_model(converted, path, compress_to_fp16=False)
