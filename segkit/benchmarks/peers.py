"""Other programs that compute a trained network: torch.compile, ONNX Runtime, OpenVINO."""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from segkit.distributed.cores import cores
from segkit.errors import UserError
from segkit.export.program import quietly

Network = Callable[[Tensor], Tensor]
"""Logits (B, C, H, W) of uint8 (B, 3, H, W)."""

KNOWN = ("compile", "onnxruntime", "openvino")

ON_CPU = ("onnxruntime", "openvino")
"""Measured on a CPU alone: their usual packages compute nowhere else."""


def peers(names: Sequence[str], network: nn.Module, image: Tensor, bf16: bool, scratch: Path) -> dict[str, Network]:
    """Programs by their names and precision, made for pictures of one shape.

    Args:
        names: of ``compile``, ``onnxruntime``, ``openvino``. With ``bf16`` OpenVINO is there in both precisions; ONNX
            Runtime knows fp32 alone on a CPU.
        network: in fp32 and evaluation mode; it is left as it is.
        image: uint8 (B, 3, H, W), on the network's device.
        bf16: what segkit is measured in.
        scratch: an existing folder.

    Raises:
        UserError: a package that is not installed; a program that is not measured here.
    """
    if other := [name for name in names if name not in KNOWN]:
        raise UserError(f"peers: {', '.join(other)} does not predict; what=predict knows {', '.join(KNOWN)}")
    if image.device.type != "cpu" and (unfit := [name for name in names if name in ON_CPU]):
        raise UserError(f"peers: {', '.join(unfit)} is measured on a CPU alone; leave it out, or give gpus=0")
    made: dict[str, Network] = {}
    if "compile" in names:
        made[f"torch.compile, {'bf16' if bf16 else 'fp32'}"] = _compiled(network, image.device, bf16)
    if chosen := [name for name in names if name in ON_CPU]:
        file = scratch / "peer.onnx"
        with quietly():
            torch.onnx.export(network, (image,), file, dynamo=True, verbose=False)
        if "onnxruntime" in chosen:
            made["ONNX Runtime, fp32"] = _onnxruntime(file)
        if "openvino" in chosen:
            made |= {f"OpenVINO, {name}": run for name, run in _openvino(file, bf16)}
    return made


def _compiled(network: nn.Module, device: torch.device, bf16: bool) -> Network:
    """With its weights frozen on a CPU, as CUDA graphs on a GPU: the fastest that torch offers of itself."""
    own = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = torch.compile(own, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else None)

    def run(image: Tensor) -> Tensor:
        with (
            torch._inductor.config.patch(freezing=device.type == "cpu"),
            torch.autocast(device.type, torch.bfloat16, enabled=bf16),
        ):
            result: Tensor = compiled(image)
            return result

    return run


def _onnxruntime(file: Path) -> Network:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("peers=[onnxruntime]: it is not installed; pip install -e '.[export]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: torch.from_numpy(session.run(None, {name: image.contiguous().numpy()})[0])


def _openvino(file: Path, bf16: bool) -> Iterator[tuple[str, Network]]:
    try:
        import openvino
    except ImportError as error:
        raise UserError("peers=[openvino]: it is not installed; pip install -e '.[openvino]'") from error
    core = openvino.Core()
    model = core.read_model(file)
    for precision in ("f32", "bf16") if bf16 else ("f32",):
        hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": cores()}
        request = core.compile_model(model, "CPU", hints).create_infer_request()

        def run(image: Tensor, request: "openvino.InferRequest" = request) -> Tensor:
            request.infer([image.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(request.get_output_tensor(0).data)

        yield precision.replace("f32", "fp32"), run
