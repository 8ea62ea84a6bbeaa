"""Pretrained weights: found by torchvision's name or in a file, or a clear error; never a silent random start."""

from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torchvision.models import WeightsEnum, get_model_weights

from segkit.errors import UserError
from segkit.models.encoders.vgg import IMAGENET_MEAN, IMAGENET_STD, VGGEncoder

_START_RANDOM = "model.weights=null starts from random weights on purpose"


def load_pretrained(encoder: VGGEncoder, weights: str) -> None:
    """Load pretrained weights into an encoder, in place.

    Args:
        encoder: keeps its weights when an error is raised.
        weights: a name of torchvision's weights (``IMAGENET1K_V1``: downloaded once into torch.hub's folder), or the
            path of a file with a torchvision state dict. What is taken from it: see `VGGEncoder.load_torchvision`.

    Raises:
        UserError: neither a name nor a file; a download that fails; a file that is broken, or of another network.
    """
    published = {entry.name: entry for entry in get_model_weights(encoder.name)}
    usable = {name: entry for name, entry in published.items() if _is_normalised_alike(entry)}
    path = Path(weights).expanduser()
    if weights in usable:
        state_dict = _download(usable[weights])
    elif path.is_file():
        state_dict = _read(path)
    else:
        reason = f"is neither a file nor the name of torchvision's weights for model.encoder={encoder.name}"
        if weights in published:
            reason = "has no classifier weights, and expects pictures under another normalisation than this network's"
        raise UserError(
            f"model.weights={weights} {reason}.\n"
            f"Give {' or '.join(usable)}, or a file with a torchvision state dict; {_START_RANDOM}."
        )
    encoder.load_torchvision(state_dict)


def _is_normalised_alike(entry: WeightsEnum) -> bool:
    transforms = entry.transforms()
    return tuple(transforms.mean) == IMAGENET_MEAN and tuple(transforms.std) == IMAGENET_STD


def _download(entry: WeightsEnum) -> Mapping[str, torch.Tensor]:
    """State dict of published weights, from torch.hub's folder or, once and with its hash checked, the network."""
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(entry.url).path).name)
    if file.exists():
        return _read(file)
    try:
        return entry.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: torch.hub's wrong hash
        raise UserError(
            f"model.weights={entry.name}: cannot download {entry.url} ({error}).\n"
            f"Put that file at {file}, or give model.weights=<its path>; {_START_RANDOM}."
        ) from error


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    content = read_tensors(path, "model.weights", "Give another file; a broken download, deleted, is fetched again.")
    if not (isinstance(content, Mapping) and all(isinstance(value, torch.Tensor) for value in content.values())):
        raise UserError(
            f"model.weights: {path} holds something else than a torchvision state dict (tensors by name).\n"
            f"Give such a file, or a name of torchvision's weights; {_START_RANDOM}."
        )
    return content


def read_tensors(path: Path, key: str, remedy: str) -> Any:
    """What ``torch.save`` wrote to ``path``: tensors and plain data alone, on the CPU.

    Raises:
        UserError: naming the setting ``key`` and the file, which cannot be read or is no such file, and the ``remedy``.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{key}: {path} does not exist.") from error
    except Exception as error:  # the unpickler meets any byte sequence, and fails in as many ways
        raise UserError(
            f"{key}: {path} is broken, or not a file of tensors ({type(error).__name__}).\n{remedy}"
        ) from error
