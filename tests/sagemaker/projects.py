"""Words that start training jobs, in repositories of a user's."""

import shlex
import subprocess
from pathlib import Path

from tests.fixtures import SMALLEST
from tests.sagemaker.container import REPOSITORY

ROLE = "arn:aws:iam::123456789012:role/segkit"
OUTPUT = "s3://roads/segkit"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/segkit:1"
WHERE = [f"sagemaker.role={ROLE}", f"sagemaker.image={IMAGE}", f"sagemaker.output={OUTPUT}"]
SMALL = [
    "data.image_shape=[32,64]",
    "data.split=fraction",
    "data.workers=0",
    *SMALLEST,
    "trainer.gpus=0",
    "trainer.max_epochs=1",
    "predictions=1",
]
ROOT = "data.root=s3://roads/data_road"


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def documented(start: str, job: str = "") -> list[str]:
    """The words of the one command of docs/aws.md that begins so, without its first two."""
    (line,) = [line for line in (REPOSITORY / "docs" / "aws.md").read_text().splitlines() if line.startswith(start)]
    for name, value in {"<bucket>": "roads", "<role>": ROLE, "<image>": IMAGE, "<job>": job}.items():
        line = line.replace(name, value)
    return shlex.split(line)[2:]
