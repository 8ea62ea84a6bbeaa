"""Which of the pictures that are scored a network was trained on, as far as its run's own settings tell."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segkit.config.instantiate import build
from segkit.data.module import SegmentationDataModule
from segkit.data.records import Record
from segkit.errors import UserError
from segkit.remote.local import with_addresses
from segkit.runs.find import TrainedRun
from segkit.runs.regular import real


def seen_in_training(
    runs: Sequence[TrainedRun], data: Mapping[str, Any], records: Sequence[Record], trust: Sequence[str] = ()
) -> Iterator[str]:
    """A line for each run that was trained on some of ``records``, or, other than the first one, may have been.

    ``data`` is the ``data`` group that the records are of, ``trust`` the modules whose classes runs may name beside its
    own and segkit's.
    """
    for trained in runs:
        own, first = (each.settings().get("data", {}) for each in (trained, runs[0]))
        seen = _count_seen(trained, data, records, trust) if own else 0
        if seen:
            count = f"{seen} of the {len(records)} pictures that are scored"
            yield f"{trained.folder} was trained on {count}; its score says nothing of others"
        elif seen is None and own["root"] != first.get("root"):
            yield f"{trained.folder} was trained on {own['root']}, perhaps on pictures that are scored"


def _count_seen(
    trained: TrainedRun, data: Mapping[str, Any], records: Sequence[Record], trust: Sequence[str]
) -> int | None:
    """How many of ``records`` the run was trained on; None where its settings do not tell."""
    own = trained.settings()["data"]
    if own["_target_"] != data["_target_"] or _place(own["root"]) != _place(data["root"]):
        return None  # pictures of other data sets may have the same names
    own = own | {"augment": None, "root": data["root"]}
    if own.get("split") == "official":
        own.pop("held_out", None)  # runs of older versions name drives that they did not hold out
    try:
        module = build("data", own, SegmentationDataModule, allowed=(*trust, str(data["_target_"])))
        overfit = trained.settings()["trainer"].get("overfit")
        if overfit is not None:
            module.keep_only(overfit)
        names = {record.name for record in module.records("train")}
    except UserError:  # settings of an older version, or a part that is empty by now
        return None
    return sum(record.name in names for record in records)


def _place(root: str) -> Path:
    """One for each data set: runs keep the address that was typed, what is scored lies in its copy."""
    return real(Path(with_addresses(root).rstrip("/")).expanduser())
