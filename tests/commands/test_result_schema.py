"""``result.json`` of each command, as its process writes it, against docs/result.schema.json.

The commands that take their time (bench, export, sagemaker, serve) are held against it wherever tests run them.
"""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from segkit import __version__
from segkit.cli import COMMANDS
from tests import schema
from tests.commands.in_process import segkit
from tests.fixtures import write_calibrations, write_camvid, write_kitti

SMALL = ["data.image_shape=[32,64]", "data.batch_size=8", "data.workers=0", "model.encoder=mobilenet_v3_large"]
SMALL += ["model=fpn", "model.weights=null", "model.decoder.width=16", "trainer.gpus=0", "trainer.max_epochs=1"]


def test_it_is_a_schema_that_knows_every_command() -> None:
    held = json.loads(schema.SCHEMA.read_text())
    Draft202012Validator.check_schema(held)
    assert held["properties"]["segkit"]["properties"]["command"]["enum"] == list(COMMANDS)
    assert set(COMMANDS) <= held["$defs"].keys()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which commands have run, one after the other."""
    work = tmp_path_factory.mktemp("results")
    write_calibrations(write_kitti(work / "kitti"))
    write_camvid(work / "camvid")
    kitti, camvid = ["data.root=kitti", "data.split=fraction"], ["data=camvid", "data.root=camvid", "data.classes=all"]
    lines = [
        ["train", *SMALL, *kitti, "hydra.run.dir=outputs/train/a", "predictions=1"],
        ["train", *SMALL, *kitti, "init_from=outputs/train/a", "hydra.run.dir=outputs/train/b", "predictions=0"],
        ["train", *SMALL, *camvid, "hydra.run.dir=outputs/train/c", "predictions=0"],
        ["evaluate", "checkpoint=outputs/train/a", "corruption=fog", "gpus=0"],
        ["evaluate", "checkpoint=outputs/train/c", "average=[flip]", "gpus=0"],
        ["predict", "checkpoint=outputs/train/a", "input=kitti/testing/image_2", "output=painted", "gpus=0"],
        ["average", "checkpoint=[outputs/train/a,outputs/train/b]", "output=mean.ckpt"],
        ["package", "checkpoint=outputs/train/a", "output=net"],
        ["report", "run=outputs/train/a", "into=entry"],
        ["report", "run=[outputs/train/a,outputs/train/b]", "into=both"],
        *(["data", f"action={action}", *kitti] for action in ("stats", "verify", "show")),
        ["data", "action=generate", "data.root=scenes", "count=[1,1]"],
    ]
    for words in lines:
        done = segkit(*words, cwd=work)
        assert done.code == 0, (words, done.err)
    return work


def test_each_says_what_it_may_and_which_version_wrote_it(written: Path) -> None:
    found = {path: path.read_text() for path in written.rglob("result.json")}
    assert {path: schema.problems(text) for path, text in found.items() if schema.problems(text)} == {}
    stamps = [json.loads(text)["segkit"] for text in found.values()]
    known = {"train", "evaluate", "predict", "average", "package", "report", "data"}
    assert {stamp["command"] for stamp in stamps} == known
    assert {stamp["version"] for stamp in stamps} == {__version__}


def test_other_files_say_it_too(written: Path) -> None:
    run = written / "outputs" / "train" / "a"
    for path in (run / "counts.json", written / "painted" / ".files.json", written / "painted" / "road.json"):
        assert json.loads(path.read_text())["segkit"]["format"] == 1, path
    assert "segkit:\n  version: " in (run / ".hydra" / "hydra.yaml").read_text()
    assert json.loads((written / "net" / "config.json").read_text())["version"] == 2


@pytest.mark.parametrize("words", [["report", "into=later", "run={}"], ["train", "resume={}"]])
def test_a_later_versions_run_is_refused_in_a_sentence(words: list[str], written: Path, tmp_path: Path) -> None:
    run = written / "outputs" / "train" / "c"
    for name in ("result.json", ".hydra/hydra.yaml"):
        text = (run / name).read_text()
        later = text.replace('"format": 1', '"format": 9').replace("format: 1", "format: 9")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(later)
    for name in ("config.yaml", "overrides.yaml"):
        (tmp_path / ".hydra" / name).write_text((run / ".hydra" / name).read_text())
    before = sorted(path for path in tmp_path.rglob("*"))
    done = segkit(*(word.format(tmp_path) for word in words), cwd=written)
    assert done.code == 2
    assert f"was written by segkit {__version__}, in a format that this one ({__version__}) does not know" in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before
