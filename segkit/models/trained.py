"""A trained network, from its checkpoint alone."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segkit.config.check import nested_targets
from segkit.config.instantiate import build
from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.distributed.memory import lacking
from segkit.errors import UserError, printable
from segkit.models.entry import entry_problem, weights_problem
from segkit.models.packaged import read_package
from segkit.models.room import Unfilled, activation_bytes, without_memory
from segkit.models.weights import read_tensors
from segkit.runs.files import check_new, replacing
from segkit.runs.find import PACKAGED, is_exported
from segkit.runs.sources import CODE, import_from

log = logging.getLogger(__name__)

VERSION = 2
"""Of the ``segkit`` entry of checkpoints. Version 1 named the class of its task, which held network and training."""

REMEDY = "Give the checkpoint of another run, or another one of this run."

OLD_TASK = "segkit.engine.task.SegmentationTask"
OLD_NETWORK_KEYS = ("stride", "encoder", "fc_channels", "dropout", "skip_scale", "init")


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """A checkpoint of ``segkit train`` or a package's, on the CPU; one of an older version in today's form.

    Returns:
        Lightning's entries, ``file``, its name for messages, and ``segkit``: what :func:`describe` says, and ``epoch``,
        ``scores``, ``counts`` so far.

    Raises:
        UserError: naming ``key``: not a checkpoint, or not one of segkit's.
    """
    if is_exported(path):
        raise UserError(
            f"{key}: {path} is an exported file; give the checkpoint that it was made of, or its run folder"
        )
    checkpoint = read_package(path, key) if path.name == PACKAGED else read_tensors(path, key, REMEDY)
    shown = printable(path)
    if not isinstance(checkpoint, dict) or not {"state_dict", "segkit"} <= checkpoint.keys():
        raise UserError(f"{key}: {shown} was not written by segkit train; give the .ckpt file of a run folder")
    entry = checkpoint["segkit"]
    if isinstance(entry, dict) and "version" not in entry:
        entry = checkpoint["segkit"] = _converted(checkpoint, path, key)
    if isinstance(entry, dict) and type(entry.get("version")) is int and VERSION < entry["version"] < 1000:
        raise UserError(f"{key}: {shown} was written by a newer version of segkit; install that one")
    problem = entry_problem(entry) if isinstance(entry, dict) else "segkit is no group of settings"
    if not problem and entry["version"] != VERSION:
        problem = f"version={entry['version']}: there is none"
    if problem := problem or weights_problem(checkpoint["state_dict"]):
        raise UserError(f"{key}: {shown} is damaged, or not segkit's: {problem}\n{REMEDY}")
    return checkpoint | {"file": shown}


def _converted(checkpoint: Mapping[str, Any], path: Path, key: str) -> dict[str, Any]:
    """The entry of version 1 as one of version 2."""
    entry, settings = checkpoint["segkit"], checkpoint.get("hyper_parameters", {})
    if entry.get("task") != OLD_TASK or not {"classes", "image_shape", *OLD_NETWORK_KEYS} <= settings.keys():
        raise UserError(
            f"{key}: {path} was made by a task of the user's own ({entry.get('task')}) in an older version of segkit, "
            "which this one cannot build"
        )
    model = {name: settings[name] for name in OLD_NETWORK_KEYS}
    model["skip_scale"] = list(model["skip_scale"])
    return {
        "version": VERSION,
        "model": {"_target_": "segkit.models.fcn.FCN", **model},
        # What had no colour was not counted in the score that chose the checkpoint.
        "classes": [{**item, "background": item["colour"] is None} for item in settings["classes"]],
        "input": PictureInput.of(settings["image_shape"]).as_dict(),
        **{name: entry[name] for name in ("epoch", "scores", "counts") if name in entry},
    }


def describe(
    model: Mapping[str, Any], class_list: Sequence[SegmentationClass], picture_input: PictureInput
) -> dict[str, Any]:
    """What a checkpoint says of its network: ``version``, ``model`` (its config), ``classes``, ``input``, all plain."""
    return {
        "version": VERSION,
        "model": dict(model),
        "classes": [
            {"name": item.name, "colour": item.colour and list(item.colour), "background": item.background}
            for item in class_list
        ],
        "input": picture_input.as_dict(),
    }


def picture_input_of(checkpoint: Mapping[str, Any]) -> PictureInput:
    """How pictures came to the network of a checkpoint (:func:`read_checkpoint`) when it was trained."""
    return PictureInput.of(**checkpoint["segkit"]["input"])


def classes_of(checkpoint: Mapping[str, Any]) -> tuple[SegmentationClass, ...]:
    """The classes of a checkpoint (:func:`read_checkpoint`), by their numbers."""
    return tuple(
        SegmentationClass(item["name"], item["colour"] and tuple(item["colour"]), item["background"])
        for item in checkpoint["segkit"]["classes"]
    )


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a new checkpoint, with the folders above it, in one step.

    Raises:
        UserError: there is a file already, or it cannot be written.
    """
    check_new(path, "output")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary:
            torch.save(dict(checkpoint), temporary)
    # torch's zip writer turns a failed write into a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: could not be saved ({error}); make room, or give another place") from error


def load_network(checkpoint: Mapping[str, Any], trust: Sequence[str] = (), run: Path | None = None) -> nn.Module:
    """The network of a checkpoint (:func:`read_checkpoint`) with its trained weights, on the CPU, in evaluation mode.

    Args:
        checkpoint: as read.
        trust: modules beside segkit's own whose classes may be built, which runs their code.
        run: the run folder that it comes from, which has kept the source of the user's own classes.

    Raises:
        UserError: a class that is not trusted, or weights that do not fit this version of the code.
    """
    model, weights = dict(checkpoint["segkit"]["model"]), weights_of(checkpoint)
    name = checkpoint.get("file", "in memory")
    if "weights" in model:
        model["weights"] = None  # the checkpoint's own follow, so pretrained ones are not wanted
    classes = len(checkpoint["segkit"]["classes"])
    own = [path for _, group in nested_targets("", model) if not (path := str(group["_target_"])).startswith("segkit.")]
    if own and trust:
        log.info("this network is made with code of your own: %s", ", ".join(own))
    with import_from(run) if trust and run is not None else nullcontext():
        kept = None if run is None else run / CODE
        made = partial(build, "model", model, nn.Module, allowed=tuple(trust), kept=kept, num_classes=classes)
        try:
            if not own:  # a network of sizes that its weights have not got is not to take its memory first
                shape = without_memory(made)
                _check_sizes(shape, weights, model)
                _check_room(shape, picture_input_of(checkpoint), classes)
            with nullcontext() if own else Unfilled():
                network: nn.Module = made()
            network.load_state_dict(weights)
        except UserError as error:
            raise UserError("\n".join(f"checkpoint {name}: {error}".splitlines()[:2])) from error
        except Exception as error:
            if own and not isinstance(error, RuntimeError):
                raise  # a flaw of the user's own code
            reason = f"{type(error).__name__}: {printable(str(error).splitlines()[-1].strip())[:300]}"
            raise UserError(
                f"checkpoint {name}: does not fit this version of {model['_target_']} ({reason}).\n{REMEDY}"
            ) from error
    return network.eval()


def _check_room(network: nn.Module | None, shown: PictureInput, classes: int) -> None:
    """Refuse an input whose size this machine has no memory for; of a picture of that size no more than is sure."""
    whole = shown.resize if isinstance(shown.resize, tuple) else shown.image_shape
    shape = whole if shown.window == "whole" else shown.image_shape
    layers = None if network is None else activation_bytes(network, (1, 3, *shape), training=False)
    needed = (layers or 0) + (3 + 8 * classes) * math.prod(whole)  # the picture, logits and probabilities
    if told := lacking(needed):
        raise UserError(f"input.image_shape={list(shown.image_shape)}, resize={shown.resize}: a picture takes {told}")


def _check_sizes(network: nn.Module | None, weights: Mapping[str, Tensor], model: Mapping[str, Any]) -> None:
    """Hold the sizes of weights against those of a network without memory."""
    own = {} if network is None else network.state_dict()
    for name, value in own.items():
        if name in weights and weights[name].shape != value.shape:
            sizes = f"{name} has shape {tuple(weights[name].shape)}, there {tuple(value.shape)}"
            raise UserError(f"does not fit this version of {model['_target_']} (size mismatch: {sizes})")


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The network's part of a checkpoint's state dict, by the network's own names."""
    prefix = "network."
    state = checkpoint["state_dict"]
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
