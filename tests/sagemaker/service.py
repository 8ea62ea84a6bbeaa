"""SageMaker as far as a test needs it, in front of moto's: each job is run on this machine in a container's layout."""

import io
import json
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import boto3
from botocore.validate import ParamValidator

from tests.remote.server import Bucket
from tests.sagemaker.container import Container, lay_out

MODEL = boto3.client("sagemaker", "eu-central-1").meta.service_model


class Service:
    """Answers what moto does not: a job is ``InProgress`` until its process has ended.

    Args:
        bucket: whose server it is; S3 and CloudWatch are moto's.
        folder: for the containers.
        failure: jobs end so at once, without a container.
    """

    def __init__(self, bucket: Bucket, folder: Path, failure: str = "") -> None:
        self.bucket, self.folder, self.failure = bucket, folder, failure
        self.requests: list[dict[str, Any]] = []
        self.jobs: dict[str, Job] = {}
        self.hold = True
        """Whether :data:`tests.sagemaker.container.HELD` waits; else it finds its word at once."""
        self.most = 0
        self._lock = threading.Lock()
        bucket.fault = self._answer

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any], truth: Callable[[], Iterable[bytes]]
    ) -> Iterable[bytes] | None:
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if service != "SageMaker":
            return None
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        request = json.loads(body)
        with self._lock:
            if operation == "CreateTrainingJob":
                check(request)
                self.requests.append(request)
                self.jobs[request["TrainingJobName"]] = Job(self, request)
                self.most = max(self.most, sum(job.status == "InProgress" for job in self.jobs.values()))
                return None  # moto keeps it, too
            if operation == "ListTrainingJobs" and "StatusEquals" in request:
                there = [job for job in self.jobs.values() if job.status == request["StatusEquals"]]
                named = [job for job in there if request["NameContains"] in job.name]
                answer: dict[str, Any] = {"TrainingJobSummaries": [{"TrainingJobName": job.name} for job in named]}
            elif operation in ("DescribeTrainingJob", "StopTrainingJob") and request["TrainingJobName"] in self.jobs:
                job = self.jobs[request["TrainingJobName"]]
                if operation == "StopTrainingJob":
                    job.stop()
                answer = job.describe()
            else:
                return None
        start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps(answer).encode()]


class Job:
    """One training job: channels and checkpoints are copied in, and what it leaves is copied out."""

    def __init__(self, service: Service, request: dict[str, Any]) -> None:
        self.service, self.request, self.name = service, request, request["TrainingJobName"]
        self.stopped = False
        self.base = service.folder / self.name
        if service.failure:
            return
        channels = [channel["ChannelName"] for channel in request["InputDataConfig"]]
        lay_out(self.base, request["HyperParameters"], channels)
        for channel in request["InputDataConfig"]:
            source = channel["DataSource"]["S3DataSource"]["S3Uri"]
            self._copy_in(source, self.base / "input" / "data" / channel["ChannelName"])
        self._copy_in(request["CheckpointConfig"]["S3Uri"] + "/", self.base / "checkpoints")
        algorithm = request["AlgorithmSpecification"]
        command = [*algorithm["ContainerEntrypoint"], *algorithm["ContainerArguments"]]
        (self.base / "work").mkdir()
        if not service.hold:
            (self.base / "work" / "go").touch()
        self.container = Container(self.base, command, self.base / "work", **request["Environment"])
        self.sent = False

    def _copy_in(self, uri: str, folder: Path) -> None:
        prefix = uri.removeprefix("s3://roads/")
        for key in self.service.bucket.keys(prefix):
            path = folder / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.service.bucket.get(key))

    @property
    def status(self) -> str:
        if self.service.failure:
            return "Failed"
        code = self.container.process.poll()
        if code is None:
            return "InProgress"
        if not self.sent:
            self.sent = True
            self.service.bucket.put_tree(
                self.base / "checkpoints", self.request["CheckpointConfig"]["S3Uri"].removeprefix("s3://roads/")
            )
        return "Stopped" if self.stopped else "Failed" if code else "Completed"

    def stop(self) -> None:
        self.stopped = True
        self.container.terminate()

    def describe(self) -> dict[str, Any]:
        status = self.status
        failure = self.base / "output" / "failure"
        reason = failure.read_text() if failure.exists() else self.service.failure
        about = {
            "TrainingJobStatus": status,
            "SecondaryStatus": {"InProgress": "Training"}.get(status, status),
            "BillableTimeInSeconds": 60,
            "TrainingTimeInSeconds": 180,
        }
        keys = ("TrainingJobName", "CheckpointConfig")
        return {key: self.request[key] for key in keys} | about | ({"FailureReason": reason} if reason else {})


def check(request: dict[str, Any]) -> None:
    """Hold a request against botocore's model, with the patterns that botocore itself leaves to the service."""
    shape = MODEL.operation_model("CreateTrainingJob").input_shape
    assert ParamValidator().validate(request, shape).generate_report() == ""
    _check(request, shape, "")


def _check(value: Any, shape: Any, where: str) -> None:
    if shape.type_name == "structure":
        assert value.keys() <= shape.members.keys(), where
        for key, item in value.items():
            _check(item, shape.members[key], f"{where}.{key}")
        return
    if "max" in shape.metadata:
        size = value if isinstance(value, int) else len(value)
        assert shape.metadata.get("min", 0) <= size <= shape.metadata["max"], where
    if shape.type_name == "map":
        for key, item in value.items():
            _check(key, shape.key, f"{where} key")
            _check(item, shape.value, f"{where}.{key}")
    elif shape.type_name == "list":
        for item in value:
            _check(item, shape.member, f"{where}[]")
    elif "pattern" in shape.metadata:
        pattern = re.sub(r"\\p\{\w\}", r"\\w", shape.metadata["pattern"])  # which Python does not know
        assert re.fullmatch(pattern, value), f"{where}={value}"
    elif getattr(shape, "enum", None):
        assert value in shape.enum, f"{where}={value}"
