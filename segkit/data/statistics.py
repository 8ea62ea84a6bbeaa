"""A data set in numbers."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.console import table
from segkit.data.checks import SIZES, PictureError
from segkit.data.difficulty import best_grey_threshold_iou, grey_histograms
from segkit.data.images import decode_image
from segkit.data.module import SegmentationDataModule
from segkit.data.records import Record


def statistics(module: SegmentationDataModule) -> dict[str, Any]:
    """Counts and shares of a data set, ready for JSON. Problems of its layout do not matter here; files are opened.

    Returns:
        ``pictures`` (training with validation, test, total), ``labels`` (files by kind, total), ``groups`` (records
        by part, and the shares below), ``classes`` (share of the scored pixels by class), ``unscored`` (share of all
        labelled pixels; shares are 0…1, or None without labels), ``pixels`` and ``held`` (by class: how many there are,
        and how many pictures hold some), ``sizes`` (height, width, count; the most frequent first), and with
        two classes ``grey_threshold_iou`` (``best_grey_threshold_iou`` over all labelled pictures).

    Raises:
        UserError: a file cannot be read.
    """
    parts = module.layout.parts
    counts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(256, np.int64))
    held = np.zeros(256, np.int64)
    sizes: Counter[tuple[int, int]] = Counter()
    records = [record for part in parts.values() for record in part]

    names = [item.name for item in module.class_list]
    grey = np.zeros((2, 256), np.int64)

    def measure(record: Record) -> tuple[tuple[int, int], NDArray[np.int64] | None, NDArray[np.int64]]:
        image = decode_image(record.image, module.max_megapixels)
        size = (image.shape[0], image.shape[1])
        if record.label is None:
            return size, None, np.zeros_like(grey)
        label = module.read_label(record.label)
        if label.shape != size:
            raise PictureError(SIZES, record.label, f"is not as large as {record.image}")
        own = grey_histograms(image, label) if len(names) == 2 else np.zeros_like(grey)
        return size, np.bincount(label.ravel(), minlength=256), own

    with ThreadPoolExecutor() as pool:
        for record, (size, values, histograms) in zip(records, pool.map(measure, records), strict=True):
            sizes[size] += 1
            grey += histograms
            if values is not None:
                counts[record.group] += values
                held += values > 0
    training, test = len(parts["train"]) + len(parts["val"]), len(parts["test"])
    by_group = {
        group: {part: members.get(group, 0) for part, members in module.summary().items()}
        | _shares(counts[group], names)
        for group in sorted({record.group for record in records})
    }
    files, total = dict(module.layout.label_files), sum(counts.values(), np.zeros(256, np.int64))
    return {
        "pictures": {"training": training, "test": test, "total": training + test},
        "labels": files | {"total": sum(files.values())},
        "groups": by_group,
        **_shares(total, names),
        "pixels": dict(zip(names, total.tolist(), strict=False)),
        "held": dict(zip(names, held.tolist(), strict=False)),
        "sizes": [{"height": h, "width": w, "count": n} for (h, w), n in sizes.most_common()],
        **({"grey_threshold_iou": best_grey_threshold_iou(grey)} if len(names) == 2 else {}),
    }


def _shares(values: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Class shares of the scored pixels and the unscored share of all, from counts by label value (256)."""
    scored = int(values[: len(names)].sum())
    total = int(values.sum())
    return {
        "classes": {name: values[i] / scored if scored else None for i, name in enumerate(names)},
        "unscored": (total - scored) / total if total else None,
    }


def statistics_table(numbers: Mapping[str, Any]) -> str:
    """``statistics`` as text: the paper's counts first, then groups, classes and sizes."""
    pictures = numbers["pictures"]
    kinds = [f"{count} {kind}" for kind, count in numbers["labels"].items() if kind != "total"]
    lines = [
        f"Number of training pictures: {pictures['training']}",
        f"Number of test pictures:     {pictures['test']}",
        f"Total number of pictures:    {pictures['total']}",
        f"Number of label files:       {numbers['labels']['total']}" + (f" ({', '.join(kinds)})" if kinds[1:] else ""),
        "",
    ]
    names = list(numbers["classes"])
    shown = names[1:] if len(names) == 2 else []
    columns = ["train", "val", "test", *shown, "unscored"]
    groups = {**numbers["groups"], "all": _totals(numbers)}
    rows = [["", *columns]]
    for group, row in groups.items():
        shares = [*(row["classes"][name] for name in shown), row["unscored"]]
        rows.append([group, *(str(row[part]) for part in columns[:3]), *map(_percent, shares)])
    lines.append(table(rows))
    if len(names) > 2:
        shares = [numbers["classes"][name] for name in names]
        body = zip(names, map(_percent, shares), numbers["pixels"].values(), numbers["held"].values(), strict=True)
        lines += ["", table([["class", "share", "pixels", "pictures"], *([*map(str, row)] for row in body)])]
    lines += ["(class shares are of the scored pixels)", ""]
    lines += [f"{size['count']:>5} pictures of {size['width']}×{size['height']}" for size in numbers["sizes"]]
    if "grey_threshold_iou" in numbers:
        lines += ["", f"{names[1]} IoU of the best threshold on grey: {numbers['grey_threshold_iou']:.2f}"]
    return "\n".join(lines)


def _totals(numbers: Mapping[str, Any]) -> dict[str, Any]:
    rows = numbers["groups"].values()
    parts = {part: sum(row[part] for row in rows) for part in ("train", "val", "test")}
    return {**parts, "classes": numbers["classes"], "unscored": numbers["unscored"]}


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
