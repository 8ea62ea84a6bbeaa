"""Every command that the README shows is run, in its order, on small data."""

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segkit.data.kitti_layout import PUBLISHED
from tests.fixtures import road_scene, write_rgb

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()
SMALL = [
    "data.image_shape=[32,96]",
    "data.batch_size=16",
    "model.weights=null",
    "model.fc_channels=8",
    "trainer.gpus=0",
]

# Command as shown -> what makes it small enough for a test.
RUN_HERE = {
    "segkit data action=download data.root=data/data_road": ["data.url=data_road.zip"],
    "segkit data action=stats data.root=data/data_road": [],
    "segkit data action=verify data.root=data/data_road": [],
    "python train.py model=fcn8 trainer.gpus=1": [*SMALL, "trainer.max_epochs=1", "predictions=2"],
    "segkit predict checkpoint=outputs/train/<run> input=data/data_road/testing/image_2 output=painted": [],
    "segkit data action=generate data.root=data/scenes 'count=[289,290]' seed=0": ["count=[4,3]"],
    "python train.py resume=outputs/train/<run>": ["trainer.max_epochs=2"],
    "segkit report run=outputs/train/<run> into=experiments/mine": [],
}
# The recipes behind `make demo` and `make tensorboard` are run below; `make lint test` is what CI runs.
RUN_ELSEWHERE = {"make demo", "make test", "make tensorboard", "source .venv/bin/activate"}


def shown() -> list[str]:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines()]


def words(command: str, *more: str) -> list[str]:
    first, *rest = shlex.split(command)
    program = {
        "python": [sys.executable, str(REPOSITORY / rest[0])],
        "segkit": [sys.executable, "-c", "from segkit.cli import main; main()", rest[0]],
    }[Path(first).name]
    return [*program, *rest[1:], *more]


def run(command: str, *more: str, cwd: Path) -> None:
    runs = sorted((cwd / "outputs" / "train").glob("*"))
    done = subprocess.run(
        words(command.replace("<run>", runs[-1].name if runs else ""), *more),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def published_zip(path: Path) -> None:
    """An archive with KITTI road's names and counts, and pictures of a few pixels."""
    root = path.parent / "source" / "data_road"
    rng = np.random.default_rng(0)
    for part, counts in PUBLISHED.items():
        for category, count in counts.items():
            for i in range(count):
                image, road, lane = road_scene(20, 60, rng)
                write_rgb(root / f"{part}/image_2/{category}_{i:06d}.png", image)
                if part == "training":
                    write_rgb(root / f"{part}/gt_image_2/{category}_road_{i:06d}.png", road)
                if part == "training" and category == "um":
                    write_rgb(root / f"{part}/gt_image_2/um_lane_{i:06d}.png", lane)
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted(root.rglob("*.png")):
            zipped.write(file, file.relative_to(root.parent))


def test_every_command_is_known_here() -> None:
    assert set(shown()) == set(RUN_HERE) | RUN_ELSEWHERE


def test_every_command_runs(tmp_path: Path) -> None:
    published_zip(tmp_path / "data_road.zip")
    for command in [command for command in shown() if command in RUN_HERE]:
        run(command, *RUN_HERE[command], cwd=tmp_path)
    assert len(list((tmp_path / "painted" / "overlay").iterdir())) == 290
    assert (tmp_path / "experiments" / "mine" / "README.md").is_file()


def recipe(target: str) -> list[str]:
    lines = subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return [line.split("||")[-1].strip().removeprefix(".venv/bin/") for line in lines.splitlines()]


def test_the_demo_runs(tmp_path: Path) -> None:
    generate, train = [line for line in recipe("demo") if line.startswith(("segkit data", "python train.py"))]
    run(generate, "count=[8,3]", cwd=tmp_path)
    small = ["data.image_shape=[32,96]", "model.fc_channels=8", "trainer.max_epochs=1", "data.workers=0"]
    run(train, *small, cwd=tmp_path)
    (result,) = tmp_path.glob("outputs/demo/*/predictions/overlay")
    assert len(list(result.iterdir())) == 3


def test_tensorboard_starts(tmp_path: Path) -> None:
    (line,) = [line for line in recipe("tensorboard") if line.startswith("tensorboard")]
    command = [sys.executable, "-m", "tensorboard.main", *shlex.split(line)[1:], "--port", "0"]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        said = ""
        for text in server.stdout:
            said += text
            if "http://localhost:" in text:
                return
        pytest.fail(said)
    finally:
        server.kill()
        server.wait()
