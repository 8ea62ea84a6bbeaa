"""One checkpoint of several: the mean of their weights, and what cannot be averaged."""

from pathlib import Path
from typing import Any

import pytest
import torch

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.models.fcn import FCN
from segkit.models.soup import average_weights
from segkit.models.trained import describe, load_network, read_checkpoint, write_checkpoint

TINY = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "kernel_size": 1}


def write(
    path: Path,
    values: dict[str, Any],
    model: dict[str, Any] | None = None,
    classes: str = "background road",
    shape: tuple[int, int] = (32, 64),
) -> Path:
    """A checkpoint whose network's tensors are ``values``, and some that are none of the network's."""
    names = [SegmentationClass(name, None) for name in classes.split()]
    entry = describe(model or TINY, names, PictureInput.of(shape)) | {"epoch": 3, "scores": {"iou": 0.5}, "counts": {}}
    state = {f"network.{name}": torch.as_tensor(value) for name, value in values.items()}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(2)}, "segkit": entry, "epoch": 3}, path)
    return path


def test_the_mean_of_weights_is_taken_and_integers_are_the_firsts(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a", {"weight": [1.0, -2.0], "running_var": [1.0], "batches": 7, "used": [True]}),
        write(tmp_path / "b", {"weight": [3.0, 5.0], "running_var": [4.0], "batches": 9, "used": [False]}),
        write(tmp_path / "c", {"weight": [5.0, 3.0], "running_var": [1.0], "batches": 1, "used": [False]}),
    ]
    state = average_weights(paths, "checkpoint")["state_dict"]
    assert list(state) == ["network.weight", "network.running_var", "network.batches", "network.used"]
    assert torch.allclose(state["network.weight"], torch.tensor([3.0, 2.0]))
    assert torch.allclose(state["network.running_var"], torch.tensor([2.0]))
    assert state["network.batches"].item() == 7
    assert state["network.used"].tolist() == [True]


def test_equal_weights_stay_as_they_are_to_the_bit(tmp_path: Path) -> None:
    value = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    paths = [write(tmp_path / str(number), {"weight": value}) for number in range(3)]
    assert torch.equal(average_weights(paths, "checkpoint")["state_dict"]["network.weight"], value)


def test_a_weight_of_two_names_is_averaged_once(tmp_path: Path) -> None:
    paths = []
    for number in (0.0, 4.0):
        shared = torch.tensor([number])
        paths.append(write(tmp_path / str(number), {"one": shared, "other": shared}))
    state = average_weights(paths, "checkpoint")["state_dict"]
    assert state["network.one"].item() == state["network.other"].item() == 2


def test_the_result_is_a_checkpoint_that_says_where_it_came_from(tmp_path: Path) -> None:
    model = {"_target_": "segkit.models.fcn.FCN", "encoder": "resnet18", "fc_channels": None}
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(FCN(2, encoder="resnet18", fc_channels=None).state_dict())
    started = [{**model, "weights": weights} for weights in ("IMAGENET1K_V1", None)]  # that may differ
    paths = [write(tmp_path / f"{n}.ckpt", states[n], started[n]) for n in (0, 1)]
    out = tmp_path / "new" / "soup.ckpt"
    write_checkpoint(average_weights(paths, "checkpoint"), out)
    checkpoint = read_checkpoint(out, "checkpoint")
    assert checkpoint.keys() == {"state_dict", "segkit", "file"}
    assert checkpoint["segkit"].keys() == {"version", "model", "classes", "input", "averaged"}
    assert checkpoint["segkit"]["averaged"] == [str(path) for path in paths]
    network = load_network(checkpoint)
    for name, value in network.state_dict().items():
        mean = (states[0][name].double() + states[1][name].double()) / 2
        expected = mean.float() if value.is_floating_point() else states[0][name]
        assert torch.allclose(value, expected, atol=1e-7), name
    before = out.read_bytes()
    with pytest.raises(UserError, match=r"^output=.*soup\.ckpt is there already"):
        write_checkpoint({}, out)
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["soup.ckpt"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: Any, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"soup\.ckpt: could not be saved \(PytorchStreamWriter failed .*\); make room"):
        write_checkpoint({}, tmp_path / "soup.ckpt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        ({"w": [1.0]}, {"model": TINY | {"kernel_size": 3}}, r"model\.kernel_size is 1 and 3"),
        ({"w": [1.0]}, {"model": TINY | {"bias": False}}, r"model\.bias is not set and False"),
        ({"w": [1.0]}, {"classes": "sky road"}, "classes is background, road and sky, road"),
        ({"w": [1.0]}, {"shape": (32, 96)}, r"input\.image_shape is \[32, 64\] and \[32, 96\]"),
        ({"w": [1.0, 2.0]}, {}, r"w is \(1,\) float32 and \(2,\) float32"),
        ({"w": [1]}, {}, r"w is \(1,\) float32 and \(1,\) int64"),
        ({"v": [1.0]}, {}, r"w is \(1,\) float32 and missing"),
        ({"w": [1.0], "v": [1.0]}, {}, r"v is missing and \(1,\) float32"),
    ],
)
def test_what_is_of_another_network_is_refused(values: dict, more: dict, message: str, tmp_path: Path) -> None:
    paths = [write(tmp_path / "a", {"w": [1.0]}), write(tmp_path / "b", values, **more)]
    with pytest.raises(UserError, match=rf"^checkpoint: .*/a and .*/b cannot be averaged, {message}$"):
        average_weights(paths, "checkpoint")
