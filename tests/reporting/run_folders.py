"""Run folders of training, written by hand: settings, results, states and painted pictures as ``segkit train`` leaves
them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

SETTINGS: dict[str, Any] = {
    "data": {
        "_target_": "segkit.road.dataset.KittiRoadDataModule",
        "root": "data/data_road",
        "image_shape": [160, 576],
        "batch_size": 4,
        "split": "kittiseg",
        "fold": 0,
        "augment": "${augment}",
        "seed": "${seed}",
    },
    "model": {"_target_": "segkit.training.task.SegmentationTask", "learning_rate": 0.0001},
    "augment": {"flip": 0.5},
    "trainer": {"gpus": "auto", "max_epochs": 4, "monitor": "val/iou"},
    "name": "train",
    "seed": 0,
    "sweep": {"name": None},
}


def epoch(number: int, mean_loss: float | None, **scores: float | None) -> dict[str, Any]:
    """An epoch as ``result.json`` has it; ``scores`` without ``val/``."""
    return {"epoch": number, "loss": mean_loss, "mean_loss": mean_loss} | {f"val/{k}": v for k, v in scores.items()}


def finished(iou: float, *, fit: float = 60.0, best: int = 2, **scores: float | None) -> dict[str, Any]:
    """The result of a run of four epochs."""
    return {
        "status": "finished",
        "scores": {"loss": 1 - iou, "iou": iou, "mean_iou": iou / 2, "accuracy": 0.9, "iou/road": iou, **scores},
        "best": {"checkpoint": "checkpoints/best.ckpt", "epoch": best},
        "epochs": [epoch(i, 1 / i, iou=iou if i == best else iou / 2) for i in range(1, 5)],
        "data": {"train": {"um": 8}, "val": {"um": 2}},
        "seconds": {"data": 1.5, "fit": fit},
        "versions": {"torch": "2.11.0"},
        "gpu": "NVIDIA H200",
        "host": "node1",
        "devices": "0",
        "commit": "abc",
    }


def write_run(
    folder: Path, result: dict[str, Any] | None, choices: dict[str, str] | None = None, **settings: Any
) -> Path:
    """A run folder. ``settings`` are changes by dotted keys with ``__`` for the dot: ``model__learning_rate=1e-5``."""
    config = json.loads(json.dumps(SETTINGS))
    for key, value in settings.items():
        *groups, name = key.split("__")
        place = config
        for group in groups:
            place = place[group]
        place[name] = value
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    saved = {"job": {"name": "train"}, "runtime": {"choices": {"augment": "flip"} | (choices or {})}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(saved))
    words = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def paint(folder: Path, *names: str, width: int = 1000) -> None:
    """Painted pictures of a run, black, a tenth as high as wide."""
    overlay = folder / "predictions" / "overlay"
    overlay.mkdir(parents=True, exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(overlay / f"{name}.png"), np.zeros((width // 10, width, 3), np.uint8))
