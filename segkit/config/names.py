"""What to say of a setting that is not there: the name that segkit has for it, or the nearest one."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

MOVED = {
    "model.learning_rate": "optimizer.learning_rate",
    "model.schedule": "optimizer.schedule",
    "model.warmup": "optimizer.warmup",
    "model.decoder_decay": "optimizer.decoder_decay",
}

ELSEWHERE = {
    **dict.fromkeys(("devices", "accelerator", "gpu", "num_gpus"), "trainer.gpus"),
    **dict.fromkeys(("lr", "learning_rate", "base_lr"), "optimizer.learning_rate"),
    **dict.fromkeys(("wd", "decay"), "optimizer.weight_decay"),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule"), "optimizer.schedule"),
    **dict.fromkeys(("num_workers", "n_workers"), "data.workers"),
    **dict.fromkeys(("batch", "train_batch_size"), "data.batch_size"),
    **dict.fromkeys(("image_size", "img_size", "imgsz", "crop_size", "input_size"), "data.image_shape"),
    **dict.fromkeys(("data_dir", "data_root", "dataset_path"), "data.root"),
    **dict.fromkeys(("epochs", "num_epochs", "n_epochs"), "trainer.max_epochs"),
    **dict.fromkeys(("gradient_clip_val", "clip_grad", "grad_clip", "max_norm"), "trainer.clip"),
    **dict.fromkeys(("accumulate_grad_batches", "gradient_accumulation_steps"), "trainer.accumulate"),
    **dict.fromkeys(("amp", "fp16", "bf16"), "trainer.precision"),
    **dict.fromkeys(("backbone", "backbone_name", "encoder_name"), "model.encoder"),
    **dict.fromkeys(("encoder_weights", "pretrained"), "model.weights"),
    **dict.fromkeys(("random_seed", "manual_seed"), "seed"),
    **dict.fromkeys(("pretrained_checkpoint", "load_from", "finetune"), "init_from"),
}
"""Names that people know from other programs."""

ANSWERS = {"ignore_index": "label value 255 is what is not scored, in loss and scores; it is not a setting"}


def no_such_setting(key: str, known: Iterable[str], see: str = "") -> str:
    """A line about an unknown ``key``; ``known`` are the dotted keys that there are, ``see`` says what lists them."""
    group, _, name = key.rpartition(".")
    there = [other for other in known if other != key]
    if key in MOVED and MOVED[key] in there:
        return f"{key}: this is {MOVED[key]} now"
    if name in ANSWERS:
        return f"{key}: {ANSWERS[name]}"
    if ELSEWHERE.get(name) in there:
        return f"{key}: no such setting; segkit has {ELSEWHERE[name]}"
    near = [other for other in there if other.rpartition(".")[2] == name] or _like(name, there, group)
    return f"{key}: no such setting" + (f"; did you mean {near[0]}?" if near else see)


def _like(name: str, there: list[str], group: str) -> list[str]:
    """Keys whose last names are like ``name``, those of its own group first."""
    beside = {other.rpartition(".")[2]: other for other in there if other.rpartition(".")[0] == group}
    anywhere = {other.rpartition(".")[2]: other for other in reversed(there)}
    near = [beside[found] for found in difflib.get_close_matches(name, beside, n=1)]
    return near or [anywhere[found] for found in difflib.get_close_matches(name, anywhere, n=1, cutoff=0.75)]


def keys_of(config: Mapping[Any, Any], above: str = "") -> list[str]:
    """The dotted keys of nested settings, those of groups included."""
    found = []
    for key, value in config.items():
        found.append(f"{above}{key}")
        if isinstance(value, Mapping):
            found += keys_of(value, f"{above}{key}.")
    return found
