"""The benchmark of exported files: a row for each network and format, of networks of a few pixels."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segkit.benchmarks import export
from tests.fixtures import write_kitti

SETTINGS: dict[str, Any] = {"seed": 0, "cases": [[32, 64, 1]], "pictures": 3}


def test_each_network_in_each_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[export]'")
    monkeypatch.setattr(export, "NETWORKS", ("model=unet model.encoder=resnet18",))
    monkeypatch.setattr(export, "FORMATS", {"onnx": (".onnx", False), "onnx, fp16": (".onnx", True)})
    root = write_kitti(tmp_path / "kitti", count=1, tests=0)
    (table,) = export.run(SETTINGS | {"data": {"root": str(root)}}, tmp_path)
    full, half = table.rows
    assert (full["network"], full["format"], half["format"]) == ("unet encoder=resnet18", "onnx", "onnx, fp16")
    assert full["masks_differing_percent"] <= 0.05
    assert half["masks_differing_percent"] <= 3
    assert half["mbytes"] == pytest.approx(full["mbytes"] / 2, rel=0.03)
    assert full["ratio_to_pytorch"] > 0
    assert list((tmp_path / "scratch" / "exported").iterdir()) == []


def test_batch_normalisation_takes_the_pictures_statistics() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    images = torch.tensor([10.0, 30.0])[:, None, None, None].expand(2, 3, 4, 4)
    export.accustomed(network, images)
    assert network[0].running_mean.tolist() == [20.0] * 3
    assert not network.training
