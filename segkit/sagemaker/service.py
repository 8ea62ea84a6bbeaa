"""Talking to SageMaker: starting a training job, looking how far it is, its lines, its end, and its run folder."""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segkit.errors import UserError
from segkit.remote.address import Address, check_names
from segkit.remote.copying import copy
from segkit.remote.local import alone, found
from segkit.remote.s3 import S3, SIGN_IN
from segkit.runs.folder import CONFIG, LOCK
from segkit.runs.read import read_result

LOGS = "/aws/sagemaker/TrainingJobs"
ENDED = ("Completed", "Failed", "Stopped")

log = logging.getLogger(__name__)


class SageMaker:
    """The training jobs of an account. Credentials, region and endpoint are those that every AWS tool finds.

    Raises:
        UserError: boto3 is missing, or the configuration of AWS is wrong.
    """

    def __init__(self) -> None:
        try:
            import boto3
        except ModuleNotFoundError as error:
            raise UserError("SageMaker: needs boto3: pip install 'segkit[aws]'") from error
        logging.getLogger("botocore").setLevel(logging.WARNING)
        with told():
            self.client: Any = boto3.client("sagemaker")
            self.logs: Any = boto3.client("logs")

    def check(self, request: Mapping[str, Any]) -> None:
        """Hold a request against botocore's model of it, without sending it.

        Raises:
            UserError: what is wrong.
        """
        from botocore.validate import ParamValidator

        shape = self.client.meta.service_model.operation_model("CreateTrainingJob").input_shape
        report = ParamValidator().validate(request, shape)
        if report.has_errors():
            raise UserError(f"sagemaker: {'; '.join(report.generate_report().splitlines())}")

    def start(self, request: Mapping[str, Any]) -> None:
        with told():
            self.client.create_training_job(**request)

    def describe(self, job: str) -> dict[str, Any]:
        with told(f"job={job}"):
            return dict(self.client.describe_training_job(TrainingJobName=job))

    def stop(self, job: str) -> bool:
        """Ask a job to end: SIGTERM, and two minutes later SIGKILL. Returns False for one that has ended already."""
        if self.describe(job)["TrainingJobStatus"] in ENDED:
            return False
        with told(f"job={job}"):
            self.client.stop_training_job(TrainingJobName=job)
        return True

    def latest(self, count: int = 20, **filters: str) -> list[dict[str, Any]]:
        """The latest jobs, the latest first; ``filters`` are those of ListTrainingJobs."""
        with told():
            answer = self.client.list_training_jobs(
                SortBy="CreationTime", SortOrder="Descending", MaxResults=count, **filters
            )
        return list(answer["TrainingJobSummaries"])

    def follow(self, job: str, poll: float, say: Callable[[str], None]) -> dict[str, Any]:
        """Say each status and each line of a job until it has ended. Returns its last description."""
        lines, status = Lines(self.logs, job), ""
        while True:
            about = self.describe(job)
            now = f"{about['TrainingJobStatus']}: {about['SecondaryStatus']}"
            if now != status:
                status = now
                say(f"{job}: {status}")
            for line in lines.new():
                say(line)
            if about["TrainingJobStatus"] in ENDED:
                return about
            time.sleep(poll)


def run_of(about: Mapping[str, Any]) -> str:
    """The address of a job's run folder. Raises UserError for a job that has none: not every job is segkit's."""
    if "CheckpointConfig" not in about:
        name = about["TrainingJobName"]
        raise UserError(f"job={name}: has no CheckpointConfig, so no run folder in S3; look at its OutputDataConfig")
    return str(about["CheckpointConfig"]["S3Uri"])


class Lines:
    """What a job has printed, from CloudWatch; one stream for each host."""

    def __init__(self, client: Any, job: str) -> None:
        self.client, self.job = client, job
        self._tokens: dict[str, str] = {}

    def new(self) -> Iterator[str]:
        """The lines since the last call. Without a permission to read them there are none."""
        from botocore.exceptions import BotoCoreError, ClientError

        with suppress(ClientError, BotoCoreError):
            streams = self.client.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix=f"{self.job}/")
            for stream in sorted(item["logStreamName"] for item in streams["logStreams"]):
                while True:
                    token = self._tokens.get(stream)
                    more = {"nextToken": token} if token else {}
                    answer = self.client.get_log_events(
                        logGroupName=LOGS, logStreamName=stream, startFromHead=True, **more
                    )
                    yield from (event["message"] for event in answer["events"])
                    self._tokens[stream] = answer["nextForwardToken"]
                    if answer["nextForwardToken"] == token or not answer["events"]:
                        break


def fetch(run: str, folder: Path, but: Sequence[str] = ()) -> None:
    """Bring the run folder at the address ``run`` to ``folder``, except for the files ``but``.

    Raises:
        UserError: there is none, or the run has been gone on with on this machine.
    """
    setting = f"the run folder {run}"
    address = Address.parse(run, setting)
    store = S3(address, setting)
    entries, _ = found(store, address, setting)
    files = [entry for entry in entries if entry.name not in (LOCK, *but) and not entry.name.endswith(".part")]
    check_names(files, setting)
    home = folder.with_name(f".{folder.name}.copying")
    with alone(home, setting):
        copy(store, files, home / "run", setting)
        theirs, own = read_result(home / "run"), read_result(folder)
        if own.get("started", 0.0) > theirs.get("started", 0.0):
            raise UserError(f"{folder} has been gone on with here since; move it away to fetch {run}")
        shutil.copytree(home / "run", folder, dirs_exist_ok=True)
        shutil.rmtree(home)
    with suppress(OSError):
        os.unlink(home.with_name(f"{home.name}.lock"))


def send(folder: Path, run: str) -> None:
    """Bring what a run needs to go on in a training job to the address ``run``, unless there is a run there."""
    setting = f"the run folder {run}"
    store = S3(Address.parse(run, setting), setting)
    names = {entry.name for entry in store.entries()[0]}
    files = [*sorted((folder / CONFIG).glob("*.yaml")), folder / "result.json", folder / "checkpoints" / "best.ckpt"]
    for path in [*files, folder / "checkpoints" / "last.ckpt"]:
        name = str(path.relative_to(folder))
        if path.exists() and name not in names:
            with path.open("rb") as file:
                store.send(name, file)


@contextmanager
def told(setting: str = "SageMaker") -> Iterator[None]:
    """Turns boto3's errors into a line that says what the user can do."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ParamValidationError as error:
        raise UserError(f"{setting}: {'; '.join(str(error).splitlines()[1:])}") from error
    except exceptions.ClientError as error:
        code, said = (
            error.response["Error"].get("Code", ""),
            " ".join(error.response["Error"].get("Message", "").split()),
        )
        hint = {
            "ResourceLimitExceeded": "ask for more under Service Quotas, or give another sagemaker.instance",
            "AccessDeniedException": "your user or role needs what docs/aws.md lists",
            "UnrecognizedClientException": SIGN_IN,
            "ExpiredTokenException": SIGN_IN,
            "InvalidSignatureException": SIGN_IN,
        }.get(code)
        raise UserError(f"{setting}: {said or code}" + (f"; {hint}" if hint else "")) from error
    except exceptions.BotoCoreError as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{setting}: {said}; {SIGN_IN}, set AWS_REGION, or look at AWS_ENDPOINT_URL") from error


def ask(question: str) -> bool:
    """Yes without asking where there is no terminal to answer on; no at the end of what is typed (Ctrl-D)."""
    try:
        return not sys.stdin.isatty() or input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
