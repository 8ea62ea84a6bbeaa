"""Exported files and what computes them: ONNX Runtime, torch, OpenVINO. A file is data; no code of its is run."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segkit.errors import UserError
from segkit.predict.pt2 import check_program
from segkit.runs.regular import open_regular

INPUT = "image"
ABOUT = "segkit"
"""Where formats that hold one text keep what is said of a file: JSON texts by name, as JSON."""

KEYS = ("segkit", "classes", "input", "precision")
"""What every exported file says of itself, among other things."""


@dataclass(frozen=True)
class Runtime:
    """An exported file, ready to compute.

    Attributes:
        about: what it says of itself, JSON texts by name.
        compute: RGB uint8 (N, 3, H, W) to outputs by name, on the device.
    """

    about: Mapping[str, str]
    compute: Callable[[NDArray[np.uint8]], Mapping[str, torch.Tensor]]


def open_runtime(path: Path, key: str, device: torch.device) -> Runtime:
    """Read an exported file.

    Raises:
        UserError: naming ``key``: the package that computes it is missing, or it is damaged or not of segkit's.
    """
    opened, extra = {".onnx": (_onnx, "export"), ".pt2": (_torch, ""), ".xml": (_openvino, "openvino")}[
        path.suffix.lower()
    ]
    try:
        runtime = opened(path, device)
    except ImportError as error:
        raise UserError(f"{key}: {path} needs {error.name}: pip install -e '.[{extra}]'") from error
    except UserError as error:
        raise UserError(f"{key}: {path} {error}") from error
    except Exception as error:  # the runtimes meet any byte sequence, and fail in as many ways
        raise UserError(
            f"{key}: {path} is damaged, or no {path.suffix} file that can be read here ({type(error).__name__}); "
            "export it again"
        ) from error
    if missing := [name for name in KEYS if name not in runtime.about]:
        raise UserError(f"{key}: {path} was not written by segkit export (it does not say its {missing[0]})")
    return runtime


def _onnx(path: Path, device: torch.device) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is wrong is raised, too
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    there = onnxruntime.get_available_providers()
    providers = [name for name in (*wanted, "CPUExecutionProvider") if name in there]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    names = [output.name for output in session.get_outputs()]

    def compute(images: NDArray[np.uint8]) -> dict[str, torch.Tensor]:
        results = session.run(names, {INPUT: images})
        return {name: torch.from_numpy(result).to(device) for name, result in zip(names, results, strict=True)}

    return Runtime(session.get_modelmeta().custom_metadata_map, compute)


def _openvino(path: Path, device: torch.device) -> Runtime:
    import openvino

    with open_regular(path) as file:
        if not file.read(256).lstrip().startswith(b"<"):  # what is no XML it takes for the files of other programs
            raise ValueError("it is no XML")
    core = openvino.Core()
    model = core.read_model(path)
    # What the CPU plugin would choose by itself depends on the machine: bf16 where there is such a unit.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled = core.compile_model(model, "CPU", options)
    about = json.loads(model.get_rt_info(ABOUT).astype(str)) if model.has_rt_info(ABOUT) else {}

    def compute(images: NDArray[np.uint8]) -> dict[str, torch.Tensor]:
        results = compiled({INPUT: images})
        return {output.any_name: torch.from_numpy(results[output].copy()).to(device) for output in compiled.outputs}

    return Runtime(about, compute)


def _torch(path: Path, device: torch.device) -> Runtime:
    check_program(path)
    held = {ABOUT: "{}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of the way in which it reads weights
        program = torch.export.load(path, extra_files=held)
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    module = program.module()
    outputs = ("mask", "confidence", "logits")

    @torch.inference_mode()
    def compute(images: NDArray[np.uint8]) -> dict[str, torch.Tensor]:
        results = module(torch.from_numpy(np.ascontiguousarray(images)).to(device))
        return dict(zip(outputs, results, strict=False))

    return Runtime(json.loads(held[ABOUT]), compute)
