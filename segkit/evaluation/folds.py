"""Joining the held-out parts of several runs into one score over all pictures (cross-validation)."""

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.config.instantiate import build
from segkit.data.module import SegmentationDataModule
from segkit.data.records import Record
from segkit.data.splits import FOLDS
from segkit.errors import UserError
from segkit.runs.find import TrainedRun
from segkit.runs.identity import counted


def held_out_parts(
    runs: Sequence[TrainedRun], settings: Mapping[str, Any]
) -> list[tuple[SegmentationDataModule, list[Record]]]:
    """For each run of a five-fold sweep its data module and the records that it held out.

    ``settings`` is the ``data`` group for all; which part a run held out is read from the run.

    Raises:
        UserError: the runs are not the folds of one division, made alike and finished, or some folds are missing.
    """
    own = [counted(run.settings()) for run in runs]
    if own[0].get("data.split") != "fold":
        raise UserError(
            "checkpoint: several runs in one folder have to be folds (data.split=fold data.fold=0,1,2,3,4); "
            "give the folder of one run"
        )
    for key in sorted(set().union(*own) - {"data.fold"}):
        values = sorted({str(config.get(key)) for config in own})
        if len(values) > 1:
            raise UserError(f"checkpoint: these runs are no folds of one training, {key} is {' and '.join(values)}")
    parts = []
    holder: dict[str, int] = {}
    for run, config in zip(runs, own, strict=True):
        if not run.finished():
            raise UserError(f"checkpoint: {run.folder} has not finished; resume={run.folder} goes on with it")
        fold = config["data.fold"]
        module = build("data", {**settings, "split": "fold", "fold": fold}, SegmentationDataModule)
        records = module.records("val")
        twice = [record.name for record in records if record.name in holder]
        if twice:
            raise UserError(f"checkpoint: two runs hold out fold {fold} ({twice[0]}, …); keep one of each fold")
        holder |= {record.name: fold for record in records}
        parts.append((module, records))
    divided = [record for part in ("train", "val") for record in parts[0][0].records(part)]
    missing = [record.name for record in divided if record.name not in holder]
    if missing:
        absent = ",".join(str(fold) for fold in sorted(set(range(FOLDS)) - set(holder.values())))
        raise UserError(f"checkpoint: {len(missing)} pictures are held out by no run; data.fold={absent} is missing")
    return parts
