"""A network of the user's own, in a file of theirs: trained, resumed and used; and never run without their word."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from segkit.models.trained import read_checkpoint
from tests.commands.in_process import Outcome, segkit
from tests.fixtures import write_kitti

# Keys of segkit's own networks, with values that those refuse; no ``weights``. Importing it leaves a mark.
MINE = """
from pathlib import Path
from typing import Annotated, Literal

import torch.nn.functional as F
from annotated_types import Gt
from torch import nn

Path("imported").touch()

class Net(nn.Module):
    def __init__(
        self,
        num_classes: int,
        encoder: Literal["resnet50", "tiny"] = "tiny",
        schedule: str = "constant",
        stride: Annotated[int, Gt(0)] = 2,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(3, 4, 3, stride=stride, padding=1)
        self.scores = nn.Conv2d(4, num_classes, 1)

    def forward(self, image):
        small = self.scores(F.relu(self.first(image.float() / 255)))
        return F.interpolate(small, image.shape[-2:], mode="bilinear")
"""
MODEL = "_target_: mine.Net\nencoder: resnet50\nschedule: poly\nstride: 4\n"
LOSS = """
from torch import nn
import torch.nn.functional as F

class Halved(nn.Module):
    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def forward(self, logits, label):
        return self.share * F.cross_entropy(logits.float(), label.long(), ignore_index=255)
"""


AUGMENT = """
import numpy as np
from segkit.data.augment import SampleAugmentation

class Soft(SampleAugmentation):
    def __init__(self, what: str = "float"):
        self.what = what

    def __call__(self, picture, key):
        image, label = picture(key.number)[..., :3].copy(), picture(key.number)[..., 3].copy()
        if self.what == "float":
            return image.astype(np.float32) / 255, label
        if self.what == "smaller":
            return image[4:], label[4:]
        return (image, label[4:]) if self.what == "label" else image

class Bare:
    def __call__(self, picture, key):
        return picture(key.number)

class Unfinished(SampleAugmentation):
    pass
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with data, a network and a loss."""
    work = tmp_path_factory.mktemp("own")
    write_kitti(work / "kitti", count=3, tests=1)
    (work / "mine.py").write_text(MINE)
    (work / "losses.py").write_text(LOSS)
    (work / "augments.py").write_text(AUGMENT)
    for group, name, text in (("model", "mine", MODEL), ("loss", "halved", "_target_: losses.Halved\nshare: 0.5\n")):
        (work / "conf" / group).mkdir(parents=True)
        (work / "conf" / group / f"{name}.yaml").write_text(text)
    return work


def train(work: Path, folder: Path, *more: str) -> Outcome:
    words = ["model=mine", "loss=halved", f"data.root={work / 'kitti'}", f"data.cache_dir={work / 'cache'}"]
    words += ["data.image_shape=[32,64]", "data.split=fraction", "data.batch_size=4", "data.workers=0"]
    words += ["trainer.gpus=0", "trainer.max_epochs=1", f"hydra.run.dir={folder}"]
    return segkit("train", *words, *more, cwd=work)


@pytest.fixture(scope="module")
def trained(work: Path) -> Path:
    """The run folder of the network, from a folder in which its file no longer is."""
    done = train(work, work / "run")
    assert done.code == 0, done.err
    assert (work / "imported").exists()
    return work / "run"


@pytest.fixture
def elsewhere(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run folder, on its own in a working folder."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path


def uses(work: Path) -> dict[str, list[str]]:
    """Commands that build the network of ``run``."""
    pictures = f"input={work / 'kitti' / 'testing' / 'image_2'}"
    return {
        "resume": ["train", "resume=run", "trainer.max_epochs=2"],
        "predict": ["predict", "checkpoint=run", pictures, "output=painted", "gpus=0"],
        "evaluate": ["evaluate", "checkpoint=run", "view=perspective", "gpus=0"],
    }


def test_its_keys_and_values_are_its_own(trained: Path) -> None:
    model = {"_target_": "mine.Net", "encoder": "resnet50", "schedule": "poly", "stride": 4}
    assert read_checkpoint(trained / "checkpoints" / "best.ckpt", "checkpoint")["segkit"]["model"] == model
    assert json.loads((trained / "result.json").read_text())["status"] == "finished"
    assert len(list((trained / "predictions" / "mask").iterdir())) == 3
    assert (trained / "code" / "mine.py").read_text() == MINE
    assert (trained / "code" / "losses.py").read_text() == LOSS


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.encoder=vgg16", "model.encoder=vgg16: should be 'resnet50' or 'tiny'"),
        ("model.stride=0", "model.stride=0: should be greater than 0"),
        ("+model.strid=4", "model.strid: no such setting; did you mean model.stride?"),
        ("+model.weights=null", "model.weights: no such setting"),
        ("loss.share=much", "loss.share=much: should be a valid number"),
    ],
)
def test_its_values_are_held_against_its_signature(word: str, message: str, work: Path, tmp_path: Path) -> None:
    done = train(work, tmp_path / "run", word)
    assert done.code == 2
    assert done.err.startswith(f"error: {message}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Soft"], "it returns float32 (32, 64, 3), uint8 (32, 64)"),
        (["Soft", "+augment.what=smaller"], "it returns uint8 (28, 64, 3), uint8 (28, 64)"),
        (["Soft", "+augment.what=label"], "it returns uint8 (32, 64, 3), uint8 (28, 64)"),
        (["Soft", "+augment.what=alone", "data.workers=1"], "it returns uint8 (32, 64, 3)"),
        (["Bare"], "augments.Bare: is no augmentation; let its class inherit segkit.data.augment.SampleAugmentation"),
        (["Unfinished"], "augments.Unfinished: has no __call__ yet, which its base class asks for"),
    ],
)
def test_an_augmentation_that_makes_no_sample_is_told_what_it_has_to_return(
    words: list[str], message: str, work: Path, tmp_path: Path
) -> None:
    name, *more = words
    done = train(work, tmp_path / "run", "~augment", f"+augment._target_=augments.{name}", *more)
    assert done.code == 2, done.out
    assert done.err.count("\n") == 1
    assert message in done.err
    if name == "Soft":
        wanted = "has to return image uint8 (32, 64, 3) and label uint8 (32, 64) for data.image_shape=[32, 64]"
        assert f"augment: augments.Soft {wanted}" in done.err


@pytest.mark.parametrize("use", ["resume", "predict", "evaluate"])
def test_it_is_not_run_unless_the_user_says_so(use: str, work: Path, elsewhere: Path) -> None:
    shutil.copy(work / "mine.py", elsewhere)  # at hand, but not named by the user
    before = (elsewhere / "run" / "checkpoints" / "last.ckpt").read_bytes()
    done = segkit(*uses(work)[use], cwd=elsewhere)
    assert done.code == 2, done.out
    assert "_target_=mine.Net: code that a checkpoint or a run folder names is run only if you say so" in done.err
    assert "run/code" in done.err
    assert "Allow it with trust=mine" in done.err
    assert not (elsewhere / "imported").exists()
    assert not (elsewhere / "painted").exists()
    assert (elsewhere / "run" / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize("use", ["resume", "predict", "evaluate"])
def test_its_run_folder_is_enough(use: str, work: Path, elsewhere: Path) -> None:
    trust = "trust=[mine,losses]" if use == "resume" else "trust=mine"
    done = segkit(*uses(work)[use], trust, cwd=elsewhere)
    assert done.code == 0, done.err
    assert (elsewhere / "imported").exists()
    if use == "resume":
        result = json.loads((elsewhere / "run" / "result.json").read_text())
        assert [epoch["epoch"] for epoch in result["epochs"]] == [1, 2]
    if use == "predict":
        (name,) = {path.name for path in (elsewhere / "painted" / "mask").glob("um_*.png")}
        painted = cv2.imread(str(elsewhere / "painted" / "mask" / name))
        assert (painted == cv2.imread(str(elsewhere / "run" / "predictions" / "mask" / name))).all()
    if use == "evaluate":
        (result,) = elsewhere.glob("outputs/evaluate/*/result.json")
        assert json.loads(result.read_text())["pictures"] == {"um": 1, "umm": 1, "uu": 1}


def test_what_the_run_was_made_with_goes_before_what_it_became(work: Path, elsewhere: Path) -> None:
    (elsewhere / "mine.py").write_text("raise AssertionError('not what the run was made with')")
    done = segkit(*uses(work)["predict"], "trust=mine", cwd=elsewhere)
    assert done.code == 0, done.err


def own_target(content: dict[str, Any]) -> None:
    content["segkit"]["model"] = {"_target_": "evil.Net"}


def nested_target(content: dict[str, Any]) -> None:
    content["segkit"]["model"] = {
        "_target_": "segkit.models.base.EncoderDecoder",
        "encoder": "resnet18",
        "decoder": {"_target_": "evil.Net", "_partial_": True},
    }


def borrowed_target(content: dict[str, Any]) -> None:
    """A function that a trusted module has imported."""
    content["segkit"]["model"] = {"_target_": "segkit.models.trained.import_from", "folder": "."}


@pytest.mark.parametrize("name_it", [own_target, nested_target, borrowed_target])
def test_a_checkpoint_does_not_run_what_lies_about(
    name_it: Callable[[dict[str, Any]], None], work: Path, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('harm').touch()\nclass Net: pass\n")
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    name_it(content)
    torch.save(content, tmp_path / "evil.ckpt")
    pictures = f"input={work / 'kitti' / 'testing' / 'image_2'}"
    done = segkit("predict", "checkpoint=evil.ckpt", pictures, "output=painted", "gpus=0", cwd=tmp_path)
    assert done.code == 2, done.out
    assert "is run only if you say so" in done.err
    assert "Allow it with trust=" in done.err
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "painted").exists()
