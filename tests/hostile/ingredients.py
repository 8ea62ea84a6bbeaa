"""What hostile cases are made of: a small trained network, pictures, run folders, and damaged forms of them."""

import json
import os
import socket
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

from segkit.config.instantiate import build
from segkit.models.trained import VERSION
from tests.fixtures import write_rgb

MODEL: dict[str, Any] = {
    "_target_": "segkit.models.base.EncoderDecoder",
    "encoder": "timm/test_efficientnet",  # 1.6 million weights
    "weights": None,
    "decoder": {"_target_": "segkit.models.decoders.unet.UNetDecoder", "_partial_": True, "width": 4},
}
CLASSES = [
    {"name": "background", "colour": None, "background": True},
    {"name": "road", "colour": [0, 255, 0], "background": False},
]
INPUT = {"image_shape": [32, 64], "resize": [32, 64], "window": "sliding", "overlap": 0.5}
MODEL_WORDS = ["model=unet", "model.encoder=timm/test_efficientnet", "model.weights=null", "model.decoder.width=4"]


@cache
def weights() -> dict[str, torch.Tensor]:
    """Random weights of ``MODEL``, by their names in a checkpoint."""
    torch.manual_seed(0)
    network = build("model", MODEL, torch.nn.Module, num_classes=2)
    return {f"network.{name}": value for name, value in network.state_dict().items()}


def checkpoint() -> dict[str, Any]:
    """A checkpoint in memory, to be damaged."""
    entry = {"version": VERSION, "model": json.loads(json.dumps(MODEL)), "classes": [dict(one) for one in CLASSES]}
    entry |= {"input": dict(INPUT), "epoch": 1, "scores": {"iou": 0.5}}
    return {"state_dict": dict(weights()), "segkit": entry}


def write_checkpoint(path: Path, content: Any = None) -> Path:
    """``content`` as ``torch.save`` writes it; None = a good checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint() if content is None else content, path)
    return path


def picture(path: Path, height: int = 20, width: int = 30) -> Path:
    """A good picture."""
    write_rgb(path, np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, pixels: bytes = b"", depth: int = 8, kind: int = 2) -> bytes:
    """A PNG whose header says ``width`` × ``height``, with ``pixels`` compressed as they are."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(768)) if kind == 3 else b""
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette
    return start + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose header says ``width`` × ``height``."""
    good = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    place = good.index(b"\xff\xc0") + 5
    return good[:place] + struct.pack(">HH", height, width) + good[place + 4 :]


def bmp_of(width: int, height: int) -> bytes:
    """A BMP whose header says ``width`` × ``height``."""
    good = cv2.imencode(".bmp", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return good[:18] + struct.pack("<ii", width, height) + good[26:]


def tiff_of(width: int, height: int) -> bytes:
    """A TIFF whose header says ``width`` × ``height``."""
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def fifo(path: Path) -> None:
    """A pipe that nobody writes to: opening it waits for ever."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """A socket's file."""
    here = os.getcwd()
    os.chdir(path.parent)  # its address has 108 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    """A link to a device that never ends."""
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


def sparse(path: Path, size: int = 1 << 40) -> None:
    """A file of a tebibyte that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def run_folder(folder: Path, **files: Any) -> Path:
    """A finished run folder of ``segkit train`` over ``<its parent>/root``.

    ``files`` replaces what lies in ``.hydra`` or ``result.json``: text or bytes as they are, None = left out, all else
    as YAML.
    """
    write_checkpoint(folder / "checkpoints/best.ckpt")
    config = {
        "name": "train",
        "seed": 0,
        "trainer": {"monitor": "val/iou", "max_epochs": 1},
        "data": {"_target_": "segkit.road.dataset.KittiRoadDataModule", "root": str(folder.parent / "root")},
        "model": MODEL,
    }
    hydra = {
        "job": {"name": "train"},
        "runtime": {"choices": {"model": "unet"}, "config_sources": []},
        "overrides": {"task": []},
    }
    epochs = [{"epoch": 1, "mean_loss": 0.5, "val/iou": 0.5}]
    best = {"checkpoint": "checkpoints/best.ckpt", "epoch": 1}
    result = {"status": "finished", "scores": {"iou": 0.5}, "best": best, "epochs": epochs}
    held: dict[str, Any] = {"config.yaml": config, "hydra.yaml": hydra, "overrides.yaml": [], "result.json": result}
    held |= {name.replace("__", "."): content for name, content in files.items()}
    for name, content in held.items():
        path = folder / (name if name == "result.json" else f".hydra/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            continue
        if not isinstance(content, str | bytes):
            content = json.dumps(content) if name == "result.json" else yaml.safe_dump(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
