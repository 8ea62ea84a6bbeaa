"""What an exported file says of itself."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit import __version__
from segkit.models.trained import picture_input_of
from segkit.runs.find import TrainedRun


def describe_export(checkpoint: Mapping[str, Any], trained: TrainedRun, precision: str, logits: bool) -> dict[str, Any]:
    """Plain values by name: enough to use the file without segkit, and to know what it was made of.

    Args:
        checkpoint: as :func:`segkit.models.trained.read_checkpoint` gives it.
        trained: where it lies, and its run.
        precision: ``fp32``, ``fp16`` or ``int8``.
        logits: whether they are an output.
    """
    entry = checkpoint["segkit"]
    confidence = "of class 1" if len(entry["classes"]) == 2 else "of the class in the mask"
    return {
        "segkit": __version__,
        "image": "RGB uint8 (N, 3, H, W), 0 to 255, of any size",
        "mask": "class numbers, uint8 (N, H, W)",
        "confidence": f"round(255 p) {confidence}, uint8 (N, H, W)",
        "logits": logits,
        "classes": entry["classes"],
        "image_shape": list(picture_input_of(checkpoint).image_shape),
        "input": entry["input"],
        "precision": precision,
        "model": entry["model"].get("_target_"),
        "data": None if trained.run is None else trained.run.choice("data"),
        "scores": {"part": "val", "epoch": entry.get("epoch"), **entry["scores"]} if entry.get("scores") else None,
        "checkpoint_sha256": sha256(trained.checkpoint),
    }


def as_texts(about: Mapping[str, Any]) -> dict[str, str]:
    """Each value as JSON, the form in which all formats hold it."""
    return {key: json.dumps(value) for key, value in about.items()}


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
