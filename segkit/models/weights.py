"""Pretrained weights: found by torchvision's name or in a file, or a clear error; never a silent random start."""

import warnings
import zipfile
from collections.abc import Collection, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from segkit.errors import UserError, printable
from segkit.models.encoders.features import IMAGENET_MEAN, IMAGENET_STD, first_kernel
from segkit.runs.regular import open_regular

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

START_RANDOM = "model.weights=null starts from random weights on purpose"
_COUNTER = "num_batches_tracked"
"""Of training steps; torchvision's older files lack it."""


def load_pretrained(encoder: nn.Module, weights: str) -> None:
    """Load pretrained weights into an encoder, in place.

    Args:
        encoder: keeps its weights when an error is raised.
        weights: a name of torchvision's weights (``IMAGENET1K_V1``: downloaded once into torch.hub's folder), for an
            encoder of timm ``pretrained``, or the path of a file with a state dict of torchvision's or timm's network
            of the same name (`load_state`).

    Raises:
        UserError: neither a name nor a file; a download that fails; a file that is broken, or of another network.
    """
    from_timm = getattr(encoder, "published", None)
    if weights == "pretrained" and from_timm is not None:
        try:
            state_dict = from_timm()
        except Exception as error:  # whatever timm's way to the network raises
            raise UserError(
                f"model.weights=pretrained: timm cannot fetch those of {_name(encoder)} ({error}).\n"
                f"Give model.weights=<a file with its state dict>; {START_RANDOM}."
            ) from error
    else:
        name = _name(encoder)
        state_dict = find_state(weights, f"model.encoder={name}", name)
    load_state(encoder, state_dict)


def find_state(weights: str, setting: str, *networks: str) -> Mapping[str, Tensor]:
    """The state dict that ``model.weights`` names: torchvision's of that name, or a file's.

    Args:
        weights: the name, or the file's path.
        setting: how the user chose the network, for messages.
        networks: names of networks whose weights fit; of those that are not torchvision's none but files are known.

    Raises:
        UserError: see `load_pretrained`.
    """
    from torchvision.models import get_model_weights, list_models  # only here: it takes most of a second to import

    known = [network for network in networks if network in list_models()]
    published = {entry.name: entry for network in known for entry in get_model_weights(network)}
    usable = {name: entry for name, entry in published.items() if _is_normalised_alike(entry)}
    path = Path(weights).expanduser()
    if weights in usable:
        return _download(usable[weights])
    if path.is_file():
        return _read(path)
    names, library = list(usable), "torchvision"
    if networks[0].startswith("timm/"):
        names, library = ["pretrained"], "timm"
    reason = f"is neither a file nor the name of {library}'s weights for {setting}"
    if weights in published:
        reason = "has no classifier weights, and expects pictures under another normalisation than this network's"
    raise UserError(
        f"model.weights={weights} {reason}.\n"
        f"Give {', '.join([*names, f'or a file with a {library} state dict'])}; {START_RANDOM}."
    )


def load_state(encoder: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Take over the weights of the network that an encoder is the beginning of; all of its own, or none.

    What the encoder's ``sources`` leaves out stays as it is; without such a method the names are its own. A first
    kernel over RGB is fitted to other numbers of input channels (`segkit.models.encoders.features.first_kernel`).

    Args:
        encoder: keeps its weights when an error is raised.
        state_dict: of torchvision's or timm's network; the layers of its classifier are passed over.

    Raises:
        UserError: names or shapes that do not fit, or values that are not finite.
    """
    name_sources = getattr(encoder, "sources", lambda names: {key: key for key in encoder.state_dict()})
    take_state(encoder, state_dict, name_sources(state_dict), f"model.encoder={_name(encoder)}")


def take_state(network: nn.Module, state_dict: Mapping[str, Tensor], sources: Mapping[str, str], setting: str) -> None:
    """As `load_state`, with the names given: for each of the network's own to be taken, that in the state dict."""
    own = network.state_dict()
    sources = {key: source for key, source in sources.items() if not key.endswith(_COUNTER)}
    first = next((key for key in sources if own[key].ndim == 4), None)
    values, problem = {}, None
    for key, source in sources.items():
        if source not in state_dict:
            problem = f"{source} is missing"
            break
        value, shape = state_dict[source], own[key].shape
        if key == first and value.ndim == 4 and value.shape[1] == 3 != shape[1]:
            value = first_kernel(value, shape[1])
        if value.ndim == 2:  # a layer of the classifier, a convolution here
            shape = own[key].flatten(1).shape
        if value.shape != shape:
            problem = f"{source} has shape {tuple(value.shape)} instead of {tuple(shape)}"
            break
        values[key] = value.view_as(own[key])
    problem = problem or _surplus(state_dict, set(sources.values()))
    if problem:
        raise UserError(
            f"model.weights does not fit {setting}: {problem}.\n"
            "Give weights of that network (with its classifier where model.fc_channels is 4096), or set "
            f"{setting.partition('=')[0]} to the network that they come from."
        )
    network.load_state_dict(own | values)


def _surplus(state_dict: Mapping[str, Tensor], known: Collection[str]) -> str | None:
    """The first reason why a state dict is of a larger network than the encoder's, or not to be used."""
    parts = {key.partition(".")[0] for key in known} - {"classifier"}
    for key, value in state_dict.items():
        if key not in known and key.partition(".")[0] in parts and not key.endswith(_COUNTER):
            return f"{key} has no place in it"
        if not torch.isfinite(value).all():
            return f"{key} holds values that are not finite"
    return None


def load_matching(network: nn.Module, state_dict: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Take over every tensor whose name and shape fit, in place: a start from another network's weights.

    Args:
        network: any.
        state_dict: of a network that is partly the same; the last layers differ where the classes do.

    Returns:
        Names taken, and names left: of either side, those that the other lacks or has in another shape.

    Raises:
        UserError: no kernel fits.
    """
    own = network.state_dict()
    taken = [key for key, value in own.items() if key in state_dict and state_dict[key].shape == value.shape]
    # A bias per class, and the pictures' mean and deviation, fit any two networks.
    if not any(key in set(taken) and value.ndim > 1 for key, value in network.named_parameters()):
        raise UserError("init_from: no weights there have a name and a shape of this network's. Give one of its kind.")
    network.load_state_dict({key: state_dict[key] for key in taken}, strict=False)
    return taken, [key for key in dict.fromkeys([*own, *state_dict]) if key not in set(taken)]


def _name(encoder: nn.Module) -> str:
    return str(getattr(encoder, "name", type(encoder).__name__))


def _is_normalised_alike(entry: "WeightsEnum") -> bool:
    transforms = entry.transforms()
    return tuple(transforms.mean) == IMAGENET_MEAN and tuple(transforms.std) == IMAGENET_STD


def _download(entry: "WeightsEnum") -> Mapping[str, Tensor]:
    """State dict of published weights, from torch.hub's folder or, once and with its hash checked, the network."""
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(entry.url).path).name)
    if file.exists():
        return _read(file)
    try:
        return entry.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: torch.hub's wrong hash
        raise UserError(
            f"model.weights={entry.name}: cannot download {entry.url} ({error}).\n"
            f"Put that file at {file}, or give model.weights=<its path>; {START_RANDOM}."
        ) from error


def _read(path: Path) -> Mapping[str, Tensor]:
    content = read_tensors(path, "model.weights", "Give another file; a broken download, deleted, is fetched again.")
    if not (isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())):
        raise UserError(
            f"model.weights: {path} holds something else than a torchvision state dict (tensors by name).\n"
            f"Give such a file, or a name of torchvision's weights; {START_RANDOM}."
        )
    return content


class _Packed(Exception):  # noqa: N818 - an archive, and what is wrong with it
    """An archive whose content is larger than itself."""


def _check_packed(file: BinaryIO) -> None:
    """torch packs nothing: what is packed unpacks to any size. Raises _Packed."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise _Packed("its parts are packed, as torch.save does not do it")


def read_tensors(path: Path, key: str, remedy: str) -> Any:
    """What ``torch.save`` wrote to ``path``: tensors and plain data alone, on the CPU.

    Raises:
        UserError: naming the setting ``key`` and the file, which cannot be read or is no such file, and the ``remedy``.
    """
    try:
        if path.suffix == ".safetensors":
            open_regular(path).close()
            return load_file(path)
        with open_regular(path) as file:
            _check_packed(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about kinds of tensors and pickles that nobody here asks for
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{key}: {path} does not exist.") from error
    except (OSError, _Packed) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{key}: {printable(path)} cannot be read: {reason}.\n{remedy}") from error
    except Exception as error:  # the unpickler meets any byte sequence, and fails in as many ways
        raise UserError(
            f"{key}: {path} is broken, or not a file of tensors ({type(error).__name__}).\n{remedy}"
        ) from error
