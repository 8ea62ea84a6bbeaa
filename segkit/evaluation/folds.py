"""Joining the held-out parts of several runs into one score over all pictures (cross-validation)."""

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.build import build
from segkit.data.module import SegmentationDataModule
from segkit.data.records import Record
from segkit.errors import UserError
from segkit.evaluation.runs import NOT_INHERITED, TrainedRun


def held_out_parts(
    runs: Sequence[TrainedRun], settings: Mapping[str, Any]
) -> list[tuple[SegmentationDataModule, list[Record]]]:
    """For each run of a five-fold sweep its data module and the records that it held out.

    ``settings`` is the ``data`` group for all; which part a run held out is read from the run.

    Raises:
        UserError: the runs are not the folds of one division, or some folds are missing.
    """
    own = [run.data_settings() for run in runs]
    for key in sorted(own[0].keys() - NOT_INHERITED - {"fold", "root"}):
        values = {str(data.get(key)) for data in own}
        if len(values) > 1:
            values_shown = " and ".join(sorted(values))
            raise UserError(f"checkpoint: these runs are no folds of one data set, data.{key} is {values_shown}")
    if own[0].get("split") != "fold":
        raise UserError(
            f"checkpoint: {len(runs)} runs in one folder have to be folds (data.split=fold data.fold=0,1,2,3,4); "
            f"give the folder of one run"
        )
    parts = []
    holder: dict[str, int] = {}
    for data in own:
        module = build("data", SegmentationDataModule, {**settings, "split": "fold", "fold": data["fold"]})
        records = module.records("val")
        twice = [record.name for record in records if record.name in holder]
        if twice:
            raise UserError(f"checkpoint: two runs hold out fold {data['fold']} ({twice[0]}, …); keep one of each fold")
        holder |= {record.name: data["fold"] for record in records}
        parts.append((module, records))
    everything = build("data", SegmentationDataModule, {**settings, "split": "none"}).records("train")
    missing = [record.name for record in everything if record.name not in holder]
    if missing:
        there = ", ".join(str(fold) for fold in sorted(set(holder.values())))
        raise UserError(f"checkpoint: {len(missing)} pictures are held out by no run (folds {there} are there)")
    return parts
