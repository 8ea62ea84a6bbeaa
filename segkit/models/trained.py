"""A trained network, from its checkpoint alone."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segkit.config.check import nested_targets
from segkit.config.instantiate import build
from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.models.packaged import read_package
from segkit.models.weights import read_tensors
from segkit.runs.files import check_new, replacing
from segkit.runs.find import PACKAGED, is_exported
from segkit.runs.sources import CODE, import_from

log = logging.getLogger(__name__)

VERSION = 2
"""Of the ``segkit`` entry of checkpoints. Version 1 named the class of its task, which held network and training."""

OLD_TASK = "segkit.engine.task.SegmentationTask"
OLD_NETWORK_KEYS = ("stride", "encoder", "fc_channels", "dropout", "skip_scale", "init")


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """A checkpoint of ``segkit train`` or a package's, on the CPU; one of an older version in today's form.

    Returns:
        Lightning's entries, and ``segkit``: what :func:`describe` says, and ``epoch``, ``scores``, ``counts`` so far.

    Raises:
        UserError: naming ``key``: not a checkpoint, or not one of segkit's.
    """
    if is_exported(path):
        raise UserError(
            f"{key}: {path} is an exported file; give the checkpoint that it was made of, or its run folder"
        )
    if path.name == PACKAGED:
        checkpoint = read_package(path, key)
    else:
        checkpoint = read_tensors(path, key, "Give the checkpoint of another run, or another one of this run.")
    if not isinstance(checkpoint, dict) or not {"state_dict", "segkit"} <= checkpoint.keys():
        raise UserError(f"{key}: {path} was not written by segkit train; give the .ckpt file of a run folder")
    entry = checkpoint["segkit"]
    if isinstance(entry, dict) and "version" not in entry:
        entry = checkpoint["segkit"] = _converted(checkpoint, path, key)
    if not isinstance(entry, dict) or entry.get("version") != VERSION:
        raise UserError(f"{key}: {path} was written by a newer version of segkit; install that one")
    return checkpoint


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
    model = dict(checkpoint["segkit"]["model"])
    if "weights" in model:
        model["weights"] = None  # the checkpoint's own follow, so pretrained ones are not wanted
    classes = len(checkpoint["segkit"]["classes"])
    own = [path for _, group in nested_targets("", model) if not (path := str(group["_target_"])).startswith("segkit.")]
    if own and trust:
        log.info("this network is made with code of your own: %s", ", ".join(own))
    with import_from(run) if trust and run is not None else nullcontext():
        kept = None if run is None else run / CODE
        network: nn.Module = build("checkpoint", model, nn.Module, allowed=tuple(trust), kept=kept, num_classes=classes)
    try:
        network.load_state_dict(weights_of(checkpoint))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"checkpoint: does not fit this version of {model['_target_']} ({reason})") from error
    return network.eval()


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The network's part of a checkpoint's state dict, by the network's own names."""
    prefix = "network."
    state = checkpoint["state_dict"]
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
