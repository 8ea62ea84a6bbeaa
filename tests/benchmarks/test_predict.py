"""The benchmark of prediction: what its figures are of, on networks and pictures of a few pixels."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segkit.benchmarks import predict
from segkit.benchmarks.export import accustomed
from segkit.data.picture_input import PictureInput
from segkit.errors import UserError
from segkit.models.fcn import FCN
from segkit.models.trained import describe
from segkit.predict.video_read import VideoFile
from tests.fixtures import write_kitti

SETTINGS: dict[str, Any] = {
    "gpus": 0,
    "precision": "fp32",
    "seed": 0,
    "cases": [[32, 64, 1], [32, 32, 2]],
    "model": {"_target_": "segkit.models.fcn.FCN", "encoder": "vgg16_bn", "fc_channels": 4},
    "checkpoint": None,
    "trust": [],
    "peers": [],
}


class Threshold(nn.Module):
    """Class 1 where a picture's first channel is above a value."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        road = (images[:, :1] > self.value).float()
        return torch.cat([1 - road, road], 1)


def test_the_share_of_pixels_that_two_networks_see_differently() -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    images[0, 0, 1, 2] = 100  # 1 of 40 pixels is between the thresholds
    other = torch.zeros_like(images)
    programs = {"other": Threshold(50), "same": Threshold(150)}
    assert predict.shares_differing(programs, Threshold(150), [images]) == pytest.approx({"other": 2.5, "same": 0})
    assert predict.shares_differing(programs, Threshold(150), [images, other])["other"] == pytest.approx(1.25)


def test_the_work_of_a_call_of_the_real_network() -> None:
    with torch.device("meta"):
        network = FCN(2)
    assert predict.forward_tflop(network, [160, 576, 2]) == pytest.approx(2 * 77.9e-3, rel=1e-3)


def test_both_networks_in_each_case_and_both_ways_from_files_to_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "ROUNDS", 1)
    monkeypatch.setattr(predict, "matrix_peak", lambda device, dtype: 2.0)
    root = write_kitti(tmp_path / "data", count=1, tests=0)
    network, files = predict.run(SETTINGS | {"data": {"root": str(root)}}, tmp_path)
    cases = [(row["height"], row["width"], row["batch"], row["network"]) for row in network.rows]
    assert cases == [(32, 64, 1, "segkit"), (32, 64, 1, "plain"), (32, 32, 2, "segkit"), (32, 32, 2, "plain")]
    for fast, plain in zip(network.rows[::2], network.rows[1::2], strict=True):
        assert fast["ratio_to_plain"] == pytest.approx(plain["ms"] / fast["ms"])
        assert fast["images_per_second"] == pytest.approx(1000 * fast["batch"] / fast["ms"])
        assert fast["share_of_peak"] == pytest.approx(fast["tflops"] / 2)
        assert fast["masks_differing_percent"] is plain["masks_differing_percent"] is None
    ours, video, plain = files.rows
    assert [row["program"] for row in files.rows] == ["segkit", "segkit, a video", "plain"]
    for row in (ours, video):
        assert max(row[name] for name in ("reading_s", "network_s", "writing_s")) == row[f"{row['slowest']}_s"]
    assert ours["ratio_to_plain"] == pytest.approx(plain["wall_s"] / ours["wall_s"])
    painted, plainly = (
        sorted(path.relative_to(root) for path in root.rglob("*.png"))
        for root in (tmp_path / "scratch" / "painted", tmp_path / "scratch" / "plain")
    )
    assert painted == plainly
    assert len(painted) == 3 * 3
    assert VideoFile(tmp_path / "scratch" / "painted.webm").total == 3


def test_memory_is_told_at_a_tenth_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([700.0, 750.0])
    monkeypatch.setattr(predict, "memory", lambda process: {"Rss": next(told)})
    held = predict.Memory(20)
    for number in range(20):
        held.note(number)
        assert held.at_a_tenth == (None if number < 1 else 700.0)
    assert held.at_the_end == 750.0


def test_other_programs_give_the_same_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(predict, "ROUNDS", 1)
    monkeypatch.setattr(predict, "matrix_peak", lambda device, dtype: 2.0)
    root = write_kitti(tmp_path / "data", count=2, tests=0)
    torch.manual_seed(0)
    network = accustomed(FCN(2, encoder="vgg16_bn", fc_channels=4), torch.randint(0, 255, (2, 3, 32, 64)).byte())
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    about = describe(SETTINGS["model"], predict.CLASSES, PictureInput.of([32, 64]))
    torch.save({"state_dict": state, "segkit": about}, tmp_path / "a.ckpt")
    settings = SETTINGS | {"data": {"root": str(root)}, "cases": [[32, 64, 1]], "checkpoint": str(tmp_path / "a.ckpt")}
    table, _ = predict.run(settings | {"peers": ["onnxruntime", "openvino"]}, tmp_path)
    rows = {row["network"]: row for row in table.rows}
    assert list(rows) == ["segkit", "plain", "ONNX Runtime, fp32", "OpenVINO, fp32"]
    assert all(rows[name]["masks_differing_percent"] < 0.1 for name in rows if name != "plain")
    for row in rows.values():
        assert row["segkit_to_it"] == pytest.approx(row["ms"] / rows["segkit"]["ms"])


OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.scores = nn.Conv2d(3, num_classes, 1)

    def forward(self, image):
        return self.scores(image.float())
"""


def test_a_network_of_the_users_own_is_measured_on_their_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "ROUNDS", 1)
    monkeypatch.setattr(predict, "matrix_peak", lambda device, dtype: 2.0)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "benchmarked.py").write_text(OWN)
    root = write_kitti(tmp_path / "data", count=1, tests=0)
    model = {"_target_": "benchmarked.Net"}
    settings = SETTINGS | {"cases": [[32, 32, 1]], "data": {"root": str(root)}}
    # Whoever types the network names its code.
    network, _ = predict.run(settings | {"model": model}, tmp_path / "typed")
    assert [row["network"] for row in network.rows] == ["segkit", "plain"]

    state = {f"network.scores.{name}": torch.zeros(size) for name, size in (("weight", (2, 3, 1, 1)), ("bias", 2))}
    about = describe(model, predict.CLASSES, PictureInput.of([32, 32]))
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": state, "segkit": about}, path)
    with pytest.raises(UserError, match="Allow it with trust=benchmarked"):
        predict.run(settings | {"checkpoint": str(path)}, tmp_path / "refused")
    network, _ = predict.run(settings | {"checkpoint": str(path), "trust": "benchmarked"}, tmp_path / "trusted")
    assert [row["masks_differing_percent"] for row in network.rows] == [0, None]
