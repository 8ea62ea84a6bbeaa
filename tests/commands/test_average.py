"""``segkit average``: one checkpoint of several, what it warns of, and what people do wrong with it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from segkit.data.picture_input import PictureInput
from segkit.models.fcn import FCN
from segkit.models.trained import VERSION
from tests.commands.in_process import segkit
from tests.fixtures import write_kitti
from tests.reporting.run_folders import finished, write_run


def write_checkpoint(path: Path, seed: int, classes: str = "background road") -> Path:
    torch.manual_seed(seed)
    network = FCN(2, encoder="resnet18", fc_channels=None)
    model = {"_target_": "segkit.models.fcn.FCN", "encoder": "resnet18", "fc_channels": None}
    named = [{"name": name, "colour": [0, 255, 0], "background": False} for name in classes.split()]
    entry = {"version": VERSION, "model": model, "classes": named, "input": PictureInput.of([32, 64]).as_dict()}
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "segkit": entry | {"epoch": 1, "scores": {"iou": 0.5}}}, path)
    return path


def write_runs(folder: Path, *settings: dict[str, Any]) -> None:
    """Runs ``a``, ``b``, … that began as ``settings`` (by dotted keys) say."""
    for number, (name, own) in enumerate(zip("abc", settings, strict=False)):
        write_run(folder / name, finished(0.5), **own)
        write_checkpoint(folder / name / "checkpoints" / "best.ckpt", number)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    write_runs(tmp_path, *({"init_from": "start", "seed": seed} for seed in (0, 1)))
    return tmp_path


def test_the_new_checkpoint_is_the_mean_and_predicts(trained: Path) -> None:
    done = segkit("average", "checkpoint=[a,b]", "output=new/soup.ckpt", cwd=trained)
    assert (done.code, done.err) == (0, "")
    a, b, soup = (
        torch.load(trained / place, weights_only=True)
        for place in ("a/checkpoints/best.ckpt", "b/checkpoints/best.ckpt", "new/soup.ckpt")
    )
    name = next(key for key, value in soup["state_dict"].items() if value.ndim == 4)
    mean = (a["state_dict"][name] + b["state_dict"][name]) / 2
    assert torch.allclose(soup["state_dict"][name], mean, atol=1e-7)
    assert "scores" not in soup["segkit"]
    (folder,) = (trained / "outputs" / "average").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert result["checkpoint"] == soup["segkit"]["averaged"] == ["a/checkpoints/best.ckpt", "b/checkpoints/best.ckpt"]
    assert result["output"] == "new/soup.ckpt"
    root = write_kitti(trained / "kitti")
    words = [f"input={root / 'testing' / 'image_2'}", "output=painted", "gpus=0", "format=mask"]
    assert segkit("predict", "checkpoint=new/soup.ckpt", *words, cwd=trained).code == 0
    assert list((trained / "painted" / "mask").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=[a]", "output=x.ckpt"], "checkpoint=[a]: should have at least 2 items"),
        (["checkpoint=a", "output=x.ckpt"], "checkpoint=a: should be a list, such as [a,…]"),
        (["checkpoint=[a,b]", "output=x.pt"], "output=x.pt: should be the name of a new file, ending in .ckpt"),
        (["checkpoint=[a,b]"], "output is missing: give output=…"),
        (["checkpoint=[a,b]", "output=there.ckpt"], "output=there.ckpt is there already; remove it or give another"),
        (["checkpoint=[a,c]", "output=x.ckpt"], "checkpoint: c does not exist; give a .ckpt file or"),
        (["checkpoint=[a,./a]", "output=x.ckpt"], "checkpoint: a/checkpoints/best.ckpt is given twice"),
        (["checkpoint=[a,lane.ckpt]", "output=x.ckpt"], "cannot be averaged, classes is background, road and backgr"),
    ],
)
def test_what_cannot_be_averaged_is_said_in_a_line_and_nothing_is_lost(
    words: list[str], message: str, trained: Path
) -> None:
    write_checkpoint(trained / "lane.ckpt", 2, "background lane")
    (trained / "there.ckpt").write_text("mine")
    before = sorted(trained.rglob("*"))
    done = segkit("average", *words, cwd=trained)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert (trained / "there.ckpt").read_text() == "mine"
    assert sorted(trained.rglob("*")) == before


SAME = [
    [{"init_from": "start", "seed": 0}, {"init_from": "start/checkpoints/best.ckpt", "seed": 1}],
    [{"seed": 3, "trainer__max_epochs": 4}, {"seed": 3, "trainer__max_epochs": 5}],
]
OTHER = [
    ([{"seed": 0}, {"seed": 1}], "(seed=0 model.weights=None; seed=1 model.weights=None)"),
    ([{"seed": 0}, {"seed": 0, "model__weights": "IMAGENET1K_V1"}], "(seed=0 model.weights=None; seed=0 model.weights"),
    ([{"init_from": "s.ckpt"}, {"init_from": "t.ckpt"}], "(init_from=s.ckpt; init_from=t.ckpt)"),
    ([{"seed": 0}, {"init_from": "s.ckpt"}], "(seed=0 model.weights=None; init_from=s.ckpt)"),
]


@pytest.mark.parametrize(("settings", "told"), [*((runs, None) for runs in SAME), *OTHER])
def test_runs_that_began_with_other_weights_are_warned_of(settings: list, told: str | None, tmp_path: Path) -> None:
    write_runs(tmp_path, *settings)
    assert segkit("average", "checkpoint=[a,b]", "output=x.ckpt", cwd=tmp_path).code == 0
    (log,) = (tmp_path / "outputs" / "average").glob("*/average.log")
    warned = [line for line in log.read_text().splitlines() if " WARNING " in line]
    if told is None:
        assert warned == []
    else:
        (line,) = warned
        assert f"checkpoint: these runs did not begin with the same weights {told}" in line


def test_a_checkpoint_away_from_its_run_is_said_to_be_so(trained: Path) -> None:
    write_checkpoint(trained / "alone.ckpt", 1)
    assert segkit("average", "checkpoint=[a,alone.ckpt]", "output=x.ckpt", cwd=trained).code == 0
    (log,) = (trained / "outputs" / "average").glob("*/average.log")
    assert "alone.ckpt lies in no run folder, nobody knows which weights it began with" in log.read_text()
