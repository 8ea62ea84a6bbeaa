"""A network as ONNX."""

import re
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from segkit.errors import UserError
from segkit.export.deployed import OUTPUTS
from segkit.export.program import INPUT, quietly

if TYPE_CHECKING:
    from onnx import ModelProto

AXES = {0: "N", 2: "H", 3: "W"}
"""Names of the input's axes that may have any length."""

LARGEST = 2**31 - 1
"""Bytes of a single ONNX file: the format's own limit."""


def to_onnx(program: ExportedProgram) -> "ModelProto":
    """The graph as an ONNX model: ``image`` in, ``mask``, ``confidence`` and, where the graph has them, ``logits`` out.

    Raises:
        UserError: ``onnx`` or ``onnxscript`` is missing, or ONNX has no operator for something in the network.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError("format=onnx|openvino needs onnx and onnxscript: pip install -e '.[export]'") from error
    count = len(program.graph_signature.user_outputs)
    try:
        with quietly():
            made = torch.onnx.export(
                program, (), dynamo=True, input_names=[INPUT], output_names=OUTPUTS[:count], verbose=False
            )
    except Exception as error:  # the exporter wraps whatever its many parts raise
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise UserError(f"format: this network cannot be written as ONNX ({reason}); format=torch may do") from error
    assert made is not None
    model = made.model_proto
    if model.ByteSize() > LARGEST:
        raise UserError("format: the network is larger than the 2 GB that one ONNX file can hold; use format=torch")
    _name_axes(model)
    return model


def _name_axes(model: "ModelProto") -> None:
    """Call the axes of any length N, H and W, wherever the graph speaks of them, instead of by torch's symbols."""
    shape = model.graph.input[0].type.tensor_type.shape
    names = {shape.dim[axis].dim_param: name for axis, name in AXES.items()}
    words = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in names))
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = words.sub(lambda found: names[found[0]], dim.dim_param)
