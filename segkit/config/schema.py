"""Types and ranges of every setting, checked before anything heavy is imported.

The defaults and the meaning of each setting stand in ``conf/``; here stands what a value may be. A group whose
``_target_`` is not one of segkit's own classes is left to that class's constructor.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from segkit.errors import UserError

Positive = Annotated[int, Gt(0)]
Count = Annotated[int, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]


class Strict(BaseModel):
    """Unknown keys are refused and values are taken as they are: ``"3"`` is not 3, ``true`` is not 1."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TargetSettings(Strict):
    """A group that names the class which takes its keys."""

    import_path: str = Field(alias="_target_")


class DataSettings(TargetSettings):
    """What every data module takes."""

    root: str
    image_shape: Annotated[list[Positive], Len(2, 2)]
    batch_size: Positive
    augment: list[dict[str, Any]]
    workers: Count | None
    cache_dir: str
    seed: Count
    resize: Annotated[list[Positive], Len(2, 2)] | Annotated[float, Gt(0), Le(1)] | Literal["image_shape"] | None
    window: Literal["sliding", "whole"]
    overlap: Annotated[float, Ge(0), Le(0.9)]


class KittiRoadSettings(DataSettings):
    url: str
    target: Literal["road", "lane"]
    unscored: Literal["ignore", "road"]
    split: Literal["kittiseg", "fold", "fraction", "none"]
    fold: Annotated[int, Ge(0), Le(4)]
    val_fraction: Annotated[float, Gt(0), Lt(1)]


class CamVidSettings(DataSettings):
    classes: Literal["all", "road"]


class ModelSettings(TargetSettings):
    stride: Literal[8, 16, 32]
    encoder: Literal["vgg16", "vgg16_bn"]
    weights: str | None
    fc_channels: Positive | None
    dropout: Share
    skip_scale: Annotated[list[Annotated[float, Gt(0)]], Len(2, 2)]
    init: Literal["normal", "bilinear"]
    learning_rate: Annotated[float, Gt(0)]
    decoder_decay: Annotated[float, Ge(0)]
    schedule: Literal["constant", "cosine"]
    warmup: Share


def check_gpus(gpus: Any) -> Any:
    """``auto``, a count or a list of distinct device numbers; raises ValueError for anything else."""
    numbers = gpus if isinstance(gpus, list) else [gpus]
    whole = all(type(n) is int and n >= 0 for n in numbers)
    if gpus == "auto" or (whole and numbers and len(set(numbers)) == len(numbers)):
        return gpus
    raise ValueError("should be auto, 0 (the CPU), how many, or the devices' numbers in brackets such as [1]")


class TrainerSettings(Strict):
    gpus: Any
    num_nodes: Positive
    cpu_processes: Positive
    monitor: Annotated[str, Len(1)]
    max_epochs: Positive
    precision: Literal["auto", "fp32", "bf16"]
    compile: bool
    accumulate: Positive
    clip: Annotated[float, Gt(0)] | None
    deterministic: bool

    _gpus = field_validator("gpus")(check_gpus)


class AugmentSettings(Strict):
    """A file under ``conf/augment/``; numbers beside the transforms are for these to refer to, and for sweeps."""

    transforms: list[dict[str, Any]]
    shadows: Annotated[float, Ge(0), Le(1)] | None = None
    light: Annotated[float, Ge(0), Le(1)] | None = None


class SweepSettings(Strict):
    name: str | None
    gpus_per_job: Annotated[float, Ge(0)] | None
    cpus_per_job: Positive
    address: str | None

    @field_validator("name")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is None or re.fullmatch(r"\w[\w.-]*", value):
            return value
        raise ValueError("should be a folder's name of letters, digits, _ - and . alone")


class TrainSettings(Strict):
    name: Annotated[str, Len(1)]
    seed: Count
    predictions: Annotated[int, Ge(-1)]
    data: dict[str, Any]
    model: dict[str, Any]
    augment: AugmentSettings
    trainer: TrainerSettings
    sweep: SweepSettings


class BenchModelSettings(Strict):
    encoder: Literal["vgg16", "vgg16_bn"]
    fc_channels: Positive


class BenchDataSettings(Strict):
    root: str | None


class BenchSettings(Strict):
    what: Literal["train", "loader", "predict", "startup", "profile", "growth", "all"]
    into: Annotated[str, Len(1)]
    gpus: Any
    precision: Literal["auto", "fp32", "bf16"]
    seed: Count
    cases: Any
    model: BenchModelSettings
    data: BenchDataSettings
    pictures: Positive
    epochs: Annotated[int, Ge(3)]
    epoch_pictures: Positive
    epoch_steps: Positive
    cache_pictures: list[Positive]
    checkpoint: str | None

    _gpus = field_validator("gpus")(check_gpus)

    @field_validator("cases")
    @classmethod
    def _cases(cls, value: Any) -> Any:
        def is_case(case: Any) -> bool:
            return isinstance(case, list) and len(case) == 3 and all(type(n) is int and n > 0 for n in case)

        if value is None or (isinstance(value, list) and value and all(map(is_case, value))):
            return value
        raise ValueError("should be a list of cases, each [height,width,batch], such as [[160,576,16]]")


FORMATS = ("overlay", "mask", "confidence", "bev", "submission")


class DataRootSettings(Strict):
    root: str | None


class PredictSettings(Strict):
    checkpoint: str
    input: str
    output: str
    format: Any
    calibration: str | None
    data: DataRootSettings
    gpus: Any
    precision: Literal["auto", "fp32", "bf16"]

    _gpus = field_validator("gpus")(check_gpus)

    @field_validator("format")
    @classmethod
    def _format(cls, value: Any) -> Any:
        words = value if isinstance(value, list) else [value]
        if words and all(word in FORMATS and words.count(word) == 1 for word in words):
            return value
        raise ValueError(f"should be one or more of {', '.join(FORMATS)}, each once")


class EvaluateSettings(Strict):
    checkpoint: str | None
    predictions: str | None
    part: Literal["val", "train", "all"]
    view: Literal["perspective", "bev", "both"]
    corruption: Literal["shadow", "fog", "rain", "night", "blur"] | None
    severity: Annotated[int, Ge(1), Le(5)]
    seed: Count
    gpus: Any
    data: dict[str, Any]
    augment: AugmentSettings

    _gpus = field_validator("gpus")(check_gpus)


class ReportSettings(Strict):
    sweep: str | None
    run: str | Annotated[list[str], Len(1)] | None
    into: str
    question: str
    pictures: Count


class DataCommandSettings(Strict):
    action: Literal["stats", "verify", "show", "download", "generate"]
    count: Annotated[list[Count], Len(2, 2)]
    seed: Count
    data: dict[str, Any]
    augment: AugmentSettings


KNOWN_TARGETS: dict[str, type[TargetSettings]] = {
    "segkit.road.dataset.KittiRoadDataModule": KittiRoadSettings,
    "segkit.data.datasets.camvid.CamVidDataModule": CamVidSettings,
    "segkit.train.task.SegmentationTask": ModelSettings,
}

INHERITED = KNOWN_TARGETS | {"segkit.data.module.SegmentationDataModule": DataSettings}


def validate(schema: type[Strict], config: Mapping[str, Any]) -> None:
    """Check a composed config (plain dicts and lists) against ``schema`` and against its ``_target_`` groups.

    Raises:
        UserError: naming every key that is wrong, the value that it has, and what would be right.
    """
    problems = _problems(schema, config, ())
    for group in ("data", "model"):
        field = schema.model_fields.get(group)
        if field is None or field.annotation != dict[str, Any] or group not in config:
            continue
        target = config[group].get("_target_")
        if target is None:
            problems.append(f"{group}._target_ is missing: give {group}=<a file under conf/{group}/>")
        elif target in KNOWN_TARGETS:
            problems += _problems(KNOWN_TARGETS[target], config[group], (group,))
    if problems:
        raise UserError("\n".join(problems))


def validate_inherited(group: str, config: Mapping[str, Any], target: type) -> None:
    """Check the keys that a class of the user's own shares with the class of segkit's that it extends.

    Raises:
        UserError: as ``validate``.
    """
    paths = (f"{base.__module__}.{base.__qualname__}" for base in target.__mro__)
    schema = next((INHERITED[path] for path in paths if path in INHERITED), None)
    if schema is not None:
        shared = {key: value for key, value in config.items() if key in schema.model_fields or key == "_target_"}
        problems = [line for line in _problems(schema, shared, (group,)) if " is missing: " not in line]
        if problems:
            raise UserError("\n".join(problems))


def _problems(schema: type[Strict], config: Mapping[str, Any], prefix: tuple[str, ...]) -> list[str]:
    try:
        schema.model_validate(config)
    except ValidationError as error:
        return [_line(problem, config, prefix) for problem in error.errors()]
    return []


def _line(problem: Any, config: Mapping[str, Any], prefix: tuple[str, ...]) -> str:
    place = tuple(str(part) for part in problem["loc"] if part not in ("int", "float", "str"))
    key = ".".join(prefix + place)
    if problem["type"] == "missing":
        return f"{key} is missing: give {key}=…"
    if problem["type"] == "extra_forbidden":
        siblings: Any = config
        for part in problem["loc"][:-1]:
            siblings = siblings[part]
        others = [name for name in siblings if name != place[-1]]
        near = difflib.get_close_matches(place[-1], others, n=1)
        return f"{key}: no such setting" + (
            f"; did you mean {'.'.join((*prefix, *place[:-1], near[0]))}?" if near else ""
        )
    text = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return f"{key}={_shown(problem['input'])}: {text}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "null" if value is None else str(value).replace(" ", "")
