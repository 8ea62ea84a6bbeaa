"""Exported files as they are read: what is told of probabilities, and what is refused."""

import io
import json
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.predict.ensemble import Ensemble
from segkit.predict.exported import Exported, from_confidence
from segkit.predict.predictor import Predictor, Segmenter
from segkit.predict.writers import Mask, paint_pictures
from tests.fixtures import write_rgb


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_mask_and_confidence_come_back_from_the_probabilities_made_of_them(classes: int) -> None:
    torch.manual_seed(0)
    probabilities = (4 * torch.randn(classes, 80, 90)).softmax(0)
    probabilities[:, 0] = 1 / classes  # equals: the first class is chosen
    mask, confidence = Predictor.decide(probabilities)
    again = from_confidence(mask, confidence, classes)
    assert again.shape == probabilities.shape
    assert all(torch.equal(*pair) for pair in zip(Predictor.decide(again), (mask, confidence), strict=True))
    if classes == 2:
        assert (again - probabilities).abs().max() < 0.6 / 255


@pytest.mark.parametrize("ending", [".onnx", ".pt2", ".xml"])
@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07" * 500])
def test_a_damaged_file_is_one_line(ending: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"network{ending}"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        Exported(path, "checkpoint")
    assert str(raised.value).startswith(f"checkpoint: {path} ")
    assert "\n" not in str(raised.value)


def test_another_programs_onnx_file_is_not_taken_for_a_network(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install -e '.[export]'")
    make = onnx.helper
    value = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = make.make_graph([make.make_node("Relu", ["x"], ["y"])], "other", value[:1], value[1:])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match="was not written by segkit export"):
        Exported(tmp_path / "other.onnx", "checkpoint")


class Unsure(Segmenter):
    """A file of more than two classes, of which it tells the confidence of the chosen one alone."""

    complete = False
    class_list = tuple(SegmentationClass(name, None) for name in "abc")
    trained_input = PictureInput.of((4, 5))

    def views(self, picture: np.ndarray) -> list[np.ndarray]:
        return [picture]

    def probabilities_at(self, views: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
        return torch.full((3, *size), 1 / 3)


class Second(Mask):
    needs = 1


def test_what_needs_every_class_is_refused_and_what_does_not_is_written(tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", np.zeros((4, 5, 3), np.uint8))
    assert Ensemble({"one": Unsure()}).predict(np.zeros((4, 5, 3), np.uint8))[0].shape == (4, 5)
    with pytest.raises(UserError, match=r"two cannot be averaged.*logits=true"):
        Ensemble({"one": Whole(), "two": Unsure()})
    with pytest.raises(UserError, match=r"format=mask cannot be written.*logits=true"):
        paint_pictures(Unsure(), [tmp_path / "a.png"], tmp_path, [Second()])
    assert paint_pictures(Unsure(), [tmp_path / "a.png"], tmp_path, [Mask()]).written == {"mask": 1}


class Whole(Unsure):
    complete = True


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


class Tiny(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return image[:, 0], image[:, image.shape[2] % 2]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torch.export that says nothing of itself."""
    path = tmp_path_factory.mktemp("sound") / "sound.pt2"
    image = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    program = torch.export.export(Tiny(), (image,), dynamic_shapes=({2: torch.export.Dim.DYNAMIC},))
    program.example_inputs = None
    program._guards_code = []
    torch.export.save(program, path)
    return path


def changed(sound: Path, path: Path, part: str, content: bytes) -> Path:
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith(part) else old.read(name))
        if not any(name.endswith(part) for name in old.namelist()):
            new.writestr(f"sound/{part}", content)
    return path


def test_a_sound_file_of_another_program_is_read_and_named(sound: Path) -> None:
    with pytest.raises(UserError, match="was not written by segkit export"):
        Exported(sound, "checkpoint")


def test_a_file_that_would_run_code_is_not_read(sound: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    buffer = io.BytesIO()
    torch.save(Trap(trap), buffer)
    with zipfile.ZipFile(sound) as archive:
        program = archive.read("sound/models/model.json").decode()
        node = json.loads(program)["graph_module"]["graph"]["nodes"][0]["target"]
    formula = json.dumps(f"__import__('pathlib').Path({str(trap)!r}).touch()")
    hidden = {"config": {"w": {"path_name": "tensor_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}}
    attempts = {
        "data/sample_inputs/model.pt": buffer.getvalue(),
        "models/model.json": program.replace(node, "torch.load").encode(),
        "data/constants/model.pt": pickle.dumps(Trap(trap)),
        "data/aotinductor/model/network.so": b"code",
        "data/constants/model_constants_config.json": json.dumps(hidden).encode(),
    }
    files = [changed(sound, tmp_path / f"{i}.pt2", *attempt) for i, attempt in enumerate(attempts.items())]
    guarded = json.loads(program) | {"guards_code": ["print(1)"]}
    files.append(changed(sound, tmp_path / "guard.pt2", "models/model.json", json.dumps(guarded).encode()))
    spoilt = program.replace('"expr_str": "', f'"expr_str": {formula}, "was": "')
    assert spoilt != program
    files.append(changed(sound, tmp_path / "formula.pt2", "models/model.json", spoilt.encode()))
    for path in files:
        with pytest.raises(UserError, match=r"is not read|damaged"):
            Exported(path, "checkpoint")
    assert not trap.exists()
