"""``segkit sagemaker``: what is sent, what is said, what comes home."""

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from segkit.runs.read import read_result
from segkit.sagemaker import service as own_service
from tests.commands.in_process import Outcome, segkit
from tests.fixtures import write_kitti
from tests.remote.server import Bucket
from tests.sagemaker.projects import IMAGE, OUTPUT, ROLE, ROOT, SMALL, WHERE, documented
from tests.sagemaker.service import Service, check


def printed_request(told: Outcome) -> dict[str, Any]:
    assert told.code == 0, told.err
    request: dict[str, Any] = json.loads(told.out[told.out.index("{\n") :])
    return request


@pytest.mark.parametrize("recipe", ["kitti_fcn8", "seed", "kitti_best", "camvid_best", "demo"])
def test_requests_of_recipes_are_valid(bucket: Bucket, project: Path, recipe: str) -> None:
    words = [f"experiment={recipe}", "data.root=s3://roads/data_road", "dry_run=true"]
    request = printed_request(segkit("sagemaker", *words, *WHERE, cwd=project))
    check(request)
    assert request["HyperParameters"] == {"experiment": recipe}
    assert request["EnableManagedSpotTraining"]
    assert request["AlgorithmSpecification"]["ContainerArguments"][0].endswith("&& exec segkit train")
    places = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in request["InputDataConfig"]
    }
    assert places["data"] == "s3://roads/data_road/"
    name = request["TrainingJobName"]
    assert request["CheckpointConfig"]["S3Uri"].rpartition("/")[2] == name
    assert bucket.keys() == []


def test_everything_that_a_job_can_have(bucket: Bucket, project: Path) -> None:
    (project / "own.py").write_text("changed")
    (project / "new.py").touch()
    words = [
        "data.root=s3://roads/data_road.zip",
        "dry_run=true",
        "resume=s3://roads/segkit/train/earlier",
        "model.weights=own.py",  # as if it were weights: what is tracked is there
        "optimizer.learning_rate=1e-3",
        "trainer.monitor=val/road/bev/MaxF",
        "sagemaker.spot=false",
        "sagemaker.keep_alive_minutes=10",
        "sagemaker.max_hours=0.5",
        "sagemaker.instance_count=2",
        "sagemaker.tags={project: roads}",
        "sagemaker.request={VpcConfig:{Subnets:[subnet-1],SecurityGroupIds:[sg-1]},ResourceConfig:{VolumeKmsKeyId:key}}",
    ]
    told = segkit("sagemaker", *words, *WHERE, cwd=project)
    assert "not committed: own.py" in told.out
    assert "does not track them: new.py" in told.out
    request = printed_request(told)
    check(request)
    assert request["HyperParameters"] == {
        "data.root": "s3://roads/data_road.zip",
        "model.weights": "own.py",
        "optimizer.learning_rate": "1e-3",
        "trainer.monitor": "val/road/bev/MaxF",
    }
    assert request["CheckpointConfig"] == {"S3Uri": "s3://roads/segkit/train/earlier"}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}
    resources = request["ResourceConfig"]
    assert (resources["InstanceCount"], resources["KeepAlivePeriodInSeconds"]) == (2, 600)
    assert (resources["InstanceType"], resources["VolumeKmsKeyId"]) == ("ml.g6.xlarge", "key")
    assert request["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert request["Tags"] == [{"Key": "project", "Value": "roads"}]
    assert request["AlgorithmSpecification"]["MetricDefinitions"][-1]["Name"] == "val/road/bev/MaxF"
    assert [channel["ChannelName"] for channel in request["InputDataConfig"]] == ["code"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (WHERE, "data.root=data/data_road: a training job does not see this machine's disk"),
        ([ROOT], "sagemaker.role is missing: give sagemaker.role="),
        ([ROOT, *WHERE, "sagemaker.output=runs"], "sagemaker.output=runs: should be s3://<bucket>/<folder>"),
        ([ROOT, *WHERE, "init_from=outputs/train/a"], "init_from=outputs/train/a: a training job does not see"),
        ([ROOT, *WHERE, "sagemaker.keep_alive_minutes=5"], "a warm pool is not for spot instances"),
        ([ROOT, *WHERE, "sagemaker.request={Enable: true}"], 'Unknown parameter in input: "Enable"'),
        ([ROOT, *WHERE, "model.drop=1"], "model.drop: no such setting; did you mean model.dropout?"),
        ([ROOT, *WHERE, "--config-dir=."], "--config-dir: a job finds config files in conf/ of its source alone"),
        ([ROOT, *WHERE, f"name={'a' * 2501}"], None),
        ([ROOT, *WHERE, "model.weights=loose.pth"], "model.weights=loose.pth: a training job does not see"),
        ([ROOT, *WHERE, "resume=outputs/train/a"], "resume=outputs/train/a: a job goes on with what lies in S3"),
        (
            [ROOT, *WHERE, "sagemaker.price_per_hour={ml.p5.4xlarge: 8}"],
            "lacks a name that the value has; +sage",
        ),
        (["action=follow"], "action=follow: job is missing: give job=<name>"),
        (["action=stop", "job=none"], "job=none: "),
    ],
)
def test_mistakes_are_a_line(bucket: Bucket, project: Path, words: list[str], line: str | None) -> None:
    (project / "loose.pth").touch()  # not tracked
    told = segkit("sagemaker", *words, cwd=project)
    assert told.code == 2
    assert told.err.count("\n") <= 2
    if line:
        assert line in told.err
    assert bucket.keys() == []
    assert not (project / "outputs").exists()


@pytest.mark.parametrize(("answer", "started"), [("y\n", True), ("\n", False), ("no\n", False), ("", False)])
def test_on_a_terminal_it_is_asked(answer: str, started: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert own_service.ask("start it?") is started


def test_outside_of_a_repository_it_is_said_what_to_do(bucket: Bucket, tmp_path: Path) -> None:
    told = segkit("sagemaker", ROOT, *WHERE, cwd=tmp_path)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert "git init" in told.err


def test_a_job_trains_and_comes_home(bucket: Bucket, clone: Path, tmp_path: Path) -> None:
    write_kitti(tmp_path / "road", count=4)
    bucket.put_tree(tmp_path / "road", "data_road")
    service = Service(bucket, tmp_path / "containers")
    words = documented("segkit sagemaker experiment=kitti_fcn8")
    small = [*SMALL, "trainer.monitor=val/iou", "trainer.validate_every=1", "augment=none"]
    told = segkit("sagemaker", *words, *small, "sagemaker.poll_seconds=1", cwd=clone)
    (job,) = service.jobs.values()
    assert told.code == 0, told.err + job.container.printed
    assert "at most $27.12 on demand" in told.out
    assert "billed for 60 s, about $0.02" in told.out
    (run,) = (clone / "outputs" / "kitti_fcn8").iterdir()
    assert run.name == job.name
    result = read_result(run)
    assert result["status"] == "finished"
    commit = subprocess.run(["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert result["commit"] == commit.strip()
    assert (run / "checkpoints" / "best.ckpt").exists()
    (kept,) = (clone / "outputs" / "sagemaker").iterdir()
    assert read_result(kept)["run"] == f"outputs/kitti_fcn8/{job.name}"
    use = [f"checkpoint={run}", f"data.root={tmp_path / 'road'}", "view=perspective", "gpus=0"]
    assert segkit("evaluate", *use, cwd=clone).code == 0
    # The next one finds the source there.
    puts = [path for method, path, _ in bucket.requests if method == "PUT" and "source" in path]
    segkit("sagemaker", ROOT, "model.fc_channels=x", *WHERE, "dry_run=true", cwd=clone)
    assert len(puts) == 1
    for action in ("list", "follow", "stop", "fetch"):
        said = segkit("sagemaker", *documented(f"segkit sagemaker action={action}", job.name), cwd=clone)
        assert (said.code, job.name in said.out) == (0, True), said
    (run / "result.json").write_text(json.dumps(result | {"started": result["started"] + 1}))
    refused = segkit("sagemaker", "action=fetch", f"job={job.name}", cwd=clone)
    assert (refused.code, "has been gone on with here" in refused.err) == (2, True)


def test_a_job_that_fails_says_why(bucket: Bucket, clone: Path, tmp_path: Path) -> None:
    (tmp_path / "road").mkdir()
    (tmp_path / "road" / "readme.txt").write_text("no pictures")
    bucket.put_tree(tmp_path / "road", "data_road")
    service = Service(bucket, tmp_path / "containers")
    told = segkit("sagemaker", ROOT, *SMALL, *WHERE, "sagemaker.poll_seconds=1", cwd=clone)
    (job,) = service.jobs.values()
    assert told.code == 2
    assert f"{job.name}: Failed: " in told.err
    assert "training/image_2" in told.err, job.container.printed
    assert "Traceback" not in told.err
    (kept,) = (clone / "outputs" / "sagemaker").iterdir()
    assert read_result(kept)["job"] == job.name


def test_of_a_job_that_is_not_segkits_there_is_no_run_folder(bucket: Bucket, project: Path) -> None:
    import boto3

    boto3.client("sagemaker").create_training_job(
        TrainingJobName="other",
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": OUTPUT},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 100},
    )
    for action in ("follow", "fetch"):
        told = segkit("sagemaker", f"action={action}", "job=other", cwd=project)
        assert (told.code, "job=other: has no CheckpointConfig" in told.err) == (2, True), told.err
    stopped = segkit("sagemaker", "action=stop", "job=other", cwd=project)
    assert (stopped.code, "other: has ended already" in stopped.out) == (0, True)


def test_the_lines_of_a_job_are_shown(bucket: Bucket, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import boto3

    logs, place = boto3.client("logs"), {"logGroupName": own_service.LOGS, "logStreamName": "job-1/algo-1-1"}
    assert list(own_service.Lines(logs, "job-1").new()) == []
    logs.create_log_group(logGroupName=own_service.LOGS)
    logs.create_log_stream(**place)
    lines = own_service.Lines(logs, "job-1")

    def write(text: str) -> None:
        import time

        logs.put_log_events(**place, logEvents=[{"timestamp": int(time.time() * 1000), "message": text}])

    write("Epoch 1")
    assert list(lines.new()) == ["Epoch 1"]
    assert list(lines.new()) == []
    write("Epoch 2")
    assert list(lines.new()) == ["Epoch 2"]
