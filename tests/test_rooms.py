"""The house's rooms: none is too large to be read, and two can be taken out without the others noticing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fixtures import write_camvid

REPOSITORY = Path(__file__).resolve().parents[1]
LONGEST = 300
SETTINGS = [
    "experiment=camvid",
    "data.image_shape=[32,32]",
    "data.batch_size=3",
    "data.workers=0",
    "model=fcn8",
    "model.encoder=vgg16_bn",
    "model.weights=null",
    "model.fc_channels=8",
    "trainer.gpus=0",
    "trainer.max_epochs=1",
    "trainer.compile=false",
    "predictions=2",
    "hydra.run.dir=run",
]


def test_a_module_can_be_read_in_one_go() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in (REPOSITORY / "segkit").rglob("*.py")}
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}
    assert len(lines) > 100


def without(folder: Path, *rooms: str) -> Path:
    """A checkout in ``folder`` that lacks these rooms."""
    for name in ("segkit", "conf"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "train.py", folder)
    for room in rooms:
        shutil.rmtree(folder / "segkit" / room)
    return folder


def python(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(checkout), *filter(None, sys.path)])}
    # An editable install would lend the rooms that are not there; it is site that makes these known.
    command = [sys.executable, "-S", *words]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=300)


def test_camvid_is_trained_and_painted_without_roads_and_without_speed(tmp_path: Path) -> None:
    checkout = without(tmp_path / "checkout", "road", "speed")
    write_camvid(checkout / "data" / "camvid")
    for gone in ("road", "speed"):  # so that what follows says something
        assert python(checkout, "-c", f"import segkit.{gone}").returncode == 1
    done = python(checkout, "train.py", *SETTINGS)
    assert done.returncode == 0, done.stderr
    result = json.loads((checkout / "run" / "result.json").read_text())
    assert result["status"] == "finished"
    assert [epoch["epoch"] for epoch in result["epochs"]] == [1]
    assert 0 <= result["scores"]["iou"] <= 1
    painted = sorted(path.name for path in (checkout / "run" / "predictions").rglob("*.png"))
    assert len({name for name in painted if name.startswith("0016E5_0000")}) == 2
