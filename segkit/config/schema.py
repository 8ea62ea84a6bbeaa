"""Types and ranges of the commands' own settings, checked before anything heavy is imported.

The defaults and the meaning of each setting stand in ``conf/``; here stands what a value may be. What a group with a
``_target_`` takes is said by the signature of the class that it names, and nowhere else.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import field_validator, model_validator

from segkit.config.check import Strict, impossible_values, nested_targets, schema_problems, target_problems
from segkit.config.names import keys_of
from segkit.errors import UserError

# Above stands what the libraries below, or a name's digits, have no room for: a number beyond it is a slip.
Positive = Annotated[int, Gt(0), Lt(2**31)]
Count = Annotated[int, Ge(0), Lt(2**31)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
"""numpy's seeds have 32 bits."""
Pictures = Annotated[int, Ge(0), Le(10**6)]
"""Of a generated set: the names of its files have six digits."""
Processes = Annotated[int, Gt(0), Le(4096)]
Seconds = Annotated[float, Ge(0), Le(10**9)]
Names = str | list[str]
Places = str | Annotated[list[str], Len(1)]


class Given:
    """Marks a group that has to name a class; ``names`` are the arguments which the program adds to the group's."""

    def __init__(self, *names: str) -> None:
        self.names = names


Target = Annotated[dict[str, Any], Given()]


def check_gpus(gpus: Any) -> Any:
    """``auto``, a count or a list of distinct device numbers; raises ValueError for anything else."""
    numbers = gpus if isinstance(gpus, list) else [gpus]
    whole = all(type(n) is int and n >= 0 for n in numbers)
    if gpus == "auto" or (whole and numbers and len(set(numbers)) == len(numbers)):
        return gpus
    raise ValueError("should be auto, 0 (the CPU), how many, or the devices' numbers in brackets such as [1]")


class TrainerSettings(Strict):
    gpus: Any
    num_nodes: Processes
    cpu_processes: Processes
    monitor: Annotated[str, Len(1)]
    max_epochs: Annotated[int, Gt(0), Le(10**7)]
    validate_every: Positive
    precision: Literal["auto", "fp32", "bf16"]
    compile: bool
    accumulate: Positive
    clip: Annotated[float, Gt(0), Le(10**9)] | None
    deterministic: bool
    ema: Annotated[float, Gt(0), Lt(1)] | None
    freeze: list[str]
    unfreeze_at: Count | None
    logger: Literal["tensorboard", "csv", "wandb", "mlflow"]
    callbacks: list[dict[str, Any]]
    limit_batches: Positive | None
    overfit: Positive | None
    profiler: Literal["simple", "advanced", "pytorch"] | None

    _gpus = field_validator("gpus")(check_gpus)


class PaintSettings(Strict):
    """As :class:`segkit.data.overlay.Painter`, but for the classes."""

    alpha: Annotated[float, Ge(0), Le(1)]
    outlines: bool
    legend: bool | Literal["auto"]
    colours: Literal["own", "colour_blind"]


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
    seed: Seed
    predictions: Annotated[int, Ge(-1), Lt(2**31)]
    data: Target
    model: Annotated[dict[str, Any], Given("num_classes")]
    loss: Target
    optimizer: Target
    augment: Target
    trainer: TrainerSettings
    paint: PaintSettings
    metrics: list[dict[str, Any]]
    sweep: SweepSettings
    init_from: str | None
    upload: str | None
    trust: Names

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        """Run folders lie below ``outputs/``."""
        if re.fullmatch(r"[\w][\w .-]{0,99}(/[\w][\w .-]{0,99}){0,4}", value):
            return value
        raise ValueError("should be a folder's name of letters, digits, blanks, _ - and . alone")


class JobSettings(Strict):
    """``conf/hydra/launcher/sagemaker.yaml``."""

    kind: Literal["sagemaker"]
    role: str | None
    image: str | None
    output: str | None
    instance: str
    instance_count: Positive
    volume_gb: Positive
    spot: bool
    max_hours: Annotated[float, Gt(0)]
    max_wait_hours: Annotated[float, Gt(0)]
    keep_alive_minutes: Annotated[float, Ge(0)]
    input_mode: Literal["File", "FastFile"]
    max_jobs: Positive
    poll_seconds: Annotated[float, Gt(0)]
    tags: dict[str, str] | None
    request: dict[str, Any] | None
    price_per_hour: dict[str, Annotated[float, Gt(0)]] | Annotated[float, Gt(0)]

    @model_validator(mode="after")
    def _warm_pool(self) -> "JobSettings":
        if self.spot and self.keep_alive_minutes:
            raise ValueError("a warm pool is not for spot instances; give spot=false with keep_alive_minutes")
        return self


class SagemakerSettings(TrainSettings):
    action: Literal["train", "list", "follow", "stop", "fetch"]
    job: str | None
    resume: str | None
    dry_run: bool
    sagemaker: JobSettings


class BenchDataSettings(Strict):
    root: str | None


class BenchSettings(Strict):
    what: Literal[
        "train", "loader", "predict", "startup", "profile", "growth", "scenes", "serve", "export", "s3", "soak", "all"
    ]
    into: Annotated[str, Len(1)]
    gpus: Any
    precision: Literal["auto", "fp32", "bf16"]
    seed: Seed
    cases: Any
    model: Annotated[dict[str, Any], Given("num_classes")]
    data: BenchDataSettings
    pictures: Positive
    epochs: Annotated[int, Ge(3)]
    epoch_pictures: Positive
    epoch_steps: Positive
    cache_pictures: list[Positive]
    seconds: Annotated[float, Gt(0)]
    checkpoint: str | None
    trust: Names
    algorithm: Literal["adam", "adamw"]
    ema: Annotated[float, Gt(0), Lt(1)] | None
    peers: list[Literal["compile", "onnxruntime", "openvino", "smp"]]

    _gpus = field_validator("gpus")(check_gpus)

    @field_validator("cases")
    @classmethod
    def _cases(cls, value: Any) -> Any:
        def is_case(case: Any) -> bool:
            return isinstance(case, list) and len(case) == 3 and all(type(n) is int and n > 0 for n in case)

        if value is None or (isinstance(value, list) and value and all(map(is_case, value))):
            return value
        raise ValueError("should be a list of cases, each [height,width,batch], such as [[160,576,16]]")


class ReportSettings(Strict):
    sweep: str | None
    run: Places | None
    into: str
    question: str
    pictures: Count


class DataCommandSettings(Strict):
    action: Literal["stats", "verify", "show", "init", "download", "generate"]
    count: Annotated[list[Pictures], Len(2, 2)]
    drive: Annotated[int, Gt(0), Le(10**6)] | None
    looks: Literal["kitti", "varied"]
    also: list[Literal["semantic", "instance", "depth"]]
    seed: Seed
    data: Target
    augment: Target
    paint: PaintSettings


def validate(schema: type[Strict], config: Mapping[str, Any]) -> None:
    """Check a composed config (plain dicts and lists) against ``schema``, and every group of it that names a class
    against that class's signature.

    Raises:
        UserError: naming every key that is wrong, the value that it has, and what would be right.
    """
    problems = impossible_values("", config) or schema_problems(schema, config)
    marks = {key: each for key, field in schema.model_fields.items() for each in field.metadata if type(each) is Given}
    groups = dict(nested_targets("", config))
    # That a group has a place of its own, and others refer to it, is said once.
    referring = [key for key, group in groups.items() if key not in marks and group in map(config.get, marks)]
    known = [key for key in keys_of(config) if not key.startswith(tuple(f"{other}." for other in referring))]
    for key in marks:
        if isinstance(config.get(key), dict) and "_target_" not in config[key]:
            problems.append(f"{key}._target_ is missing: give {key}=<a file under conf/{key}/>")
    for key in [key for key in groups if key not in referring]:
        given = marks[key].names if key in marks else ()
        problems += target_problems(key, groups[key], given, known)
    # A value that others refer to is wrong there too; the first line says enough.
    lines = {line.partition("=")[2] or line: line for line in reversed(problems)}
    if lines:
        raise UserError("\n".join(reversed(lines.values())))
