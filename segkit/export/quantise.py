"""Convolutions of an ONNX model in 8 bit, calibrated on pictures."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from segkit.data.images import decode_image
from segkit.errors import UserError
from segkit.export.program import INPUT, quietly

if TYPE_CHECKING:
    from onnx import ModelProto

CALIBRATION = 32
"""Training pictures that are looked at."""

log = logging.getLogger(__name__)


def quantised(model: "ModelProto", pictures: Sequence[Path]) -> "ModelProto":
    """The model with its convolutions in int8: weights channel by channel, activations by their range on ``pictures``.

    What decides stays as it is: resizing, the convolution on the picture itself, whose few channels cost little, and
    the last one, whose results are the logits; so do transposed convolutions.

    Raises:
        UserError: onnxruntime is missing.
    """
    try:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise UserError("quantise=int8 needs onnxruntime: pip install -e '.[export]'") from error

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[Path] = iter(pictures)

        def get_next(self) -> dict[str, Any] | None:
            path = next(self.left, None)
            return None if path is None else {INPUT: decode_image(path).transpose(2, 0, 1)[None]}

    with TemporaryDirectory() as name, quietly():
        plain, ready, small = (Path(name) / f"{step}.onnx" for step in ("plain", "ready", "int8"))
        plain.write_bytes(model.SerializeToString())
        # Batch normalisation goes into the convolutions here.
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(ready).graph.node if node.op_type == "Conv"]
        quantize_static(
            ready,
            small,
            Pictures(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
        )
        return onnx.load(small)
