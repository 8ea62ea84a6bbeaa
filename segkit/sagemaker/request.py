"""What CreateTrainingJob is asked for, in its own terms.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
"""

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segkit.config.schema import JobSettings
from segkit.errors import UserError
from segkit.remote.address import is_address
from segkit.runs.find import BUNDLED
from segkit.sagemaker.source import Source

MOST_PARAMETERS, LONGEST_PARAMETER = 100, 2500
"""Hyperparameters of a job, and characters of the value of one."""

DATA_CHANNEL, CODE_CHANNEL = "data", "code"
NUMBER = r"([-+0-9.e]+|nan)"
METRICS = {
    "train/loss": f"^Epoch \\d+ loss: {NUMBER}",
    "train/epoch_loss": f"^Epoch \\d+ .* mean {NUMBER}",
    "train/images_per_second": f"^Epoch \\d+ .* {NUMBER} images/s",
    "val/loss": f"^Epoch \\d+ .* validation loss {NUMBER}",
    "val/iou": f"^Epoch \\d+ .* IoU {NUMBER}",
    "val/accuracy": f"^Epoch \\d+ .* accuracy {NUMBER}",
}
"""What of an epoch's line is shown as a metric, under TensorBoard's names."""

SCRIPT = "tar xzf ${SAGEMAKER_BASE_DIR:-/opt/ml}/input/data/code/source.tar.gz && exec "
"""With ``exec``, the training is process 1, the one that gets SIGTERM before a spot instance is taken away."""


def training_job(
    job: JobSettings,
    name: str,
    run: str,
    words: Iterable[str],
    settings: Mapping[str, Any],
    source: Source,
) -> dict[str, Any]:
    """The request for one training job.

    Args:
        job: the settings ``sagemaker``.
        name: the job's.
        run: the address of its run folder.
        words: the settings as typed, without those of ``sagemaker`` and without ``data.root``.
        settings: what they come to.
        source: what it runs.

    Raises:
        UserError: a setting is missing, or something is not where a job can reach it.
    """
    if not (job.role and job.image and job.output):
        missing = next(key for key in ("role", "image", "output") if not getattr(job, key))
        raise UserError(f"sagemaker.{missing} is missing: give sagemaker.{missing}=… (docs/aws.md)")
    output = str(job.output).rstrip("/")
    if not output.startswith("s3://"):
        raise UserError(f"sagemaker.output={output}: should be s3://<bucket>/<folder>")
    parameters = _hyperparameters(words)
    channels = [_channel(CODE_CHANNEL, f"{output}/{source.place}/", "File")]
    root = _reachable(settings, "data.root")
    # An archive is unpacked by train.py itself.
    if root.startswith("s3://") and not re.search(r"\.(zip|tar|tar\.gz|tgz)$", root):
        channels.append(_channel(DATA_CHANNEL, root.rstrip("/") + "/", job.input_mode))
    else:
        parameters["data.root"] = root
    if settings["init_from"] != BUNDLED:  # that one comes with the job's source
        _reachable(settings, "init_from")
    weights = settings["model"].get("weights")
    if isinstance(weights, str) and Path(weights).exists() and weights not in source.names:  # else a name of theirs
        _reachable(settings, "model.weights")
    if not is_address(run):
        raise UserError(f"resume={run}: a job goes on with what lies in S3: s3://<bucket>/<folder>")
    monitor = str(settings["trainer"]["monitor"])
    metrics = METRICS | ({} if monitor in METRICS else {monitor: f"^Epoch \\d+ .* {re.escape(monitor)} {NUMBER}"})
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": job.role,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "-ec"],
            "ContainerArguments": [SCRIPT + ("python train.py" if "train.py" in source.names else "segkit train")],
            "MetricDefinitions": [{"Name": key, "Regex": regex} for key, regex in metrics.items()],
        },
        "HyperParameters": parameters,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": f"{output}/output"},
        "CheckpointConfig": {"S3Uri": run},
        "TensorBoardOutputConfig": {"S3OutputPath": f"{output}/tensorboard"},
        "ResourceConfig": {
            "InstanceType": job.instance,
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": job.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": round(job.max_hours * 3600)},
        "EnableManagedSpotTraining": job.spot,
        "Environment": {"SEGKIT_COMMIT": source.commit, "PYTHONUNBUFFERED": "1"},
        "Tags": [{"Key": key, "Value": value} for key, value in (job.tags or {}).items()],
    }
    if job.spot:
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = round(max(job.max_hours, job.max_wait_hours) * 3600)
    if job.keep_alive_minutes:
        request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = round(job.keep_alive_minutes * 60)
    return _merged(request, job.request or {})


def job_name(name: str) -> str:
    """A name that no other job of the account has had: with the time, letters, digits and - alone, at most 63."""
    stamp = time.strftime("%Y%m%d-%H%M%S") + f"-{time.time_ns() // 1_000_000 % 1000:03}"
    return f"{name_part(name)[: 62 - len(stamp)].rstrip('-')}-{stamp}"


def name_part(text: str) -> str:
    """``text`` as it may stand in a job's name."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-") or "segkit"


def estimate(job: JobSettings) -> str:
    """What a job is at most, and costs at most on demand, for people."""
    each = price(job)
    cost = "cost unknown (price_per_hour)" if each is None else f"at most ${each * job.max_hours:.2f} on demand"
    return f"{job.instance_count} × {job.instance} for at most {job.max_hours:g} h, {cost}"


def price(job: JobSettings) -> float | None:
    """US dollars per hour, on demand, of all of a job's instances."""
    table = job.price_per_hour
    each = table.get(job.instance) if isinstance(table, dict) else table
    return None if each is None else each * job.instance_count


def _hyperparameters(words: Iterable[str]) -> dict[str, str]:
    parameters = {key: value for key, _, value in (word.partition("=") for word in words)}
    if len(parameters) >= MOST_PARAMETERS:
        raise UserError(
            f"SageMaker takes {MOST_PARAMETERS} hyperparameters; put some in a file conf/experiment/<name>.yaml"
        )
    for key, value in parameters.items():
        if len(value) > LONGEST_PARAMETER:
            raise UserError(
                f"{key}: SageMaker takes {LONGEST_PARAMETER} characters; put it in conf/experiment/<name>.yaml"
            )
    return parameters


def _channel(name: str, uri: str, mode: str) -> dict[str, Any]:
    place = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": place}, "InputMode": mode}


def _reachable(settings: Mapping[str, Any], key: str) -> str:
    value: Any = settings
    for part in key.split("."):
        value = value.get(part)
    if value is not None and not is_address(value):
        raise UserError(
            f"{key}={value}: a training job does not see this machine's disk; copy it (aws s3 sync {value} "
            f"s3://<bucket>/<folder>) and give {key}=s3://<bucket>/<folder>"
        )
    return str(value)


def _merged(request: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: (request.get(key), value) for key, value in more.items()}
    return request | {
        key: _merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
        for key, (own, value) in both.items()
    }
