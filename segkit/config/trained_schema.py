"""As ``schema``: settings of the commands that use a trained network."""

import re
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import field_validator, model_validator

from segkit.config.check import Strict
from segkit.config.schema import Count, Names, PaintSettings, Places, Positive, Seconds, Seed, Target, check_gpus
from segkit.errors import did_you_mean


def check_average(average: Any) -> Any:
    """``flip`` and scales other than 1, each once; raises ValueError for anything else."""

    def is_view(view: Any) -> bool:
        return view == "flip" or (type(view) in (int, float) and 0.25 <= view <= 4 and view != 1)

    if isinstance(average, list) and all(is_view(view) and average.count(view) == 1 for view in average):
        return average
    raise ValueError("should be a list of flip and scales from 0.25 to 4, each once, 1 left out: it is always there")


FORMATS = ("overlay", "mask", "confidence", "bev", "video", "sheet", "submission", "cityscapes")


class DataRootSettings(Strict):
    root: str | None


class PredictDataSettings(DataRootSettings):
    max_megapixels: Annotated[float, Gt(0), Le(170)]


class NetworkSettings(Strict):
    """A trained network, or several, and how they compute."""

    checkpoint: Places
    average: Any
    gpus: Any
    precision: Literal["auto", "fp32", "bf16"]
    trust: Names

    _gpus = field_validator("gpus")(check_gpus)
    _average = field_validator("average")(check_average)


class PredictSettings(NetworkSettings):
    input: str | Count
    output: str
    format: Any
    container: Literal["webm", "mp4"]
    stride: Positive
    start: Seconds
    end: Seconds | None
    fps: Annotated[float, Gt(0), Le(1000)] | None
    smooth: Annotated[float, Ge(0), Lt(1)]
    calibration: str | None
    paint: PaintSettings
    data: PredictDataSettings

    @field_validator("format")
    @classmethod
    def _format(cls, value: Any) -> Any:
        words = value if isinstance(value, list) else [value]
        if value == "auto" or (words and all(word in FORMATS and words.count(word) == 1 for word in words)):
            return value
        near = "".join(did_you_mean(word, FORMATS) for word in words if word not in FORMATS)
        raise ValueError(f"should be one or more of {', '.join(FORMATS)}, each once{near}")


class ServeSettings(NetworkSettings):
    host: Annotated[str, Len(1)]
    port: Annotated[int, Ge(0), Le(65535)]
    calibration: str | None
    batch: Annotated[int, Gt(0), Le(64)]
    queue: Annotated[int, Gt(0), Le(65536)]
    max_megapixels: Annotated[float, Gt(0), Le(170)]
    max_megabytes: Annotated[float, Gt(0), Le(4096)]
    timeout: Annotated[float, Gt(0), Le(86400)]


class EvaluateSettings(Strict):
    checkpoint: Places | None
    predictions: str | None
    average: Any
    compare: dict[str, list[str]] | None
    part: Literal["val", "train", "test", "all"]
    view: Literal["perspective", "bev", "both"]
    corruption: Literal["shadow", "fog", "rain", "night", "blur"] | None
    severity: Annotated[int, Ge(1), Le(5)]
    seed: Seed
    gpus: Any
    data: Target
    paint: PaintSettings
    augment: None
    trust: Names

    _gpus = field_validator("gpus")(check_gpus)
    _average = field_validator("average")(check_average)


class AverageSettings(Strict):
    checkpoint: Annotated[list[str], Len(2)]
    output: str

    @field_validator("output")
    @classmethod
    def _output(cls, value: str) -> str:
        if value.endswith(".ckpt"):
            return value
        raise ValueError("should be the name of a new file, ending in .ckpt")


EXPORT_ENDINGS = {"onnx": ".onnx", "torch": ".pt2", "openvino": ".xml"}


class ExportSettings(Strict):
    checkpoint: str
    format: Literal["onnx", "torch", "openvino"]
    output: str | None
    logits: bool
    half: bool
    quantise: Literal["int8"] | None
    against: str | None
    tolerance: Annotated[float, Ge(0), Le(1)] | None
    data: DataRootSettings
    trust: Names

    @model_validator(mode="after")
    def _fits(self) -> "ExportSettings":
        ending = EXPORT_ENDINGS[self.format]
        if self.output is not None and not self.output.endswith(ending):
            raise ValueError(f"output={self.output} should end in {ending}, as files of format={self.format} do")
        if self.quantise is not None and self.format != "onnx":
            raise ValueError(f"quantise={self.quantise} is of format=onnx alone")
        if self.quantise is not None and self.half:
            raise ValueError(f"quantise={self.quantise} and half=true exclude each other")
        return self


class PackageSettings(Strict):
    checkpoint: str
    output: str
    license: str
    pictures: Count
    half: bool
    about: Annotated[str, Len(1)] | None
    evaluations: Names

    @field_validator("license")
    @classmethod
    def _license(cls, value: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", value):
            return value
        raise ValueError("should be a term of model hubs: apache-2.0, mit, cc-by-nc-4.0, other, unknown, …")
