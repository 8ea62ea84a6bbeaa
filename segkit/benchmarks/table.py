"""What a benchmark comes to: rows of figures, shown on the screen and written as CSV under a name that says of what."""

import csv
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segkit.console import table as aligned
from segkit.runs.files import write_whole

DIGITS = 4
"""Significant digits that are kept: more than any measurement here repeats."""


@dataclass(frozen=True)
class Table:
    """Figures of one benchmark.

    ``name`` is the stem of its file (see ``file_name``), ``title`` one line for the screen. ``rows`` have the same keys
    each, whose names carry the units (``step_ms``, ``images_per_second``, ``ratio_to_plain``); a figure that does not
    exist is None or NaN. ``remarks`` are short facts of the same run, such as the matrix peak.
    """

    name: str
    title: str
    rows: list[dict[str, Any]]
    remarks: list[str]


def file_name(what: str, precision: str, layout: str, gpu: str | None) -> str:
    """The stem of a table's file: ``train-bf16-nhwc-pt211-h200``.

    Args:
        what: what was measured, such as ``train``.
        precision: ``bf16``, ``fp32``, or ``uint8`` where pictures alone are handled.
        layout: ``nhwc`` (channels last) or ``nchw``.
        gpu: its name as ``segkit.runs.folder.gpu_name`` gives it (``NVIDIA H200``); None for the CPU.
    """
    major, minor = version("torch").split(".")[:2]
    device = (
        "cpu" if gpu is None else re.sub(r"[^a-z0-9]+", "-", gpu.lower().replace("nvidia ", "").replace(" × ", "x"))
    )
    return f"{what}-{precision}-{layout}-pt{major}{minor}-{device}"


USUAL = "fcn vgg16"
"""The network whose tables have no name of it."""


def network_name(model: Mapping[str, Any]) -> str:
    """Decoder and encoder of a composed model, or torchvision's name: ``fpn resnet34``."""
    kind = (model.get("decoder") or model)["_target_"].rpartition(".")[2].lower()
    kind = kind.removesuffix("decoder").removesuffix("network") or kind
    return f"{kind} {model.get('encoder') or model.get('name') or ''}".strip()


def named(what: str, model: Mapping[str, Any]) -> str:
    """``what`` and the network, for ``file_name``."""
    name = network_name(model)
    return what if name == USUAL else f"{what}-{re.sub('[^a-z0-9]+', '-', name)}"


def rounded(value: Any) -> Any:
    """A float to ``DIGITS`` significant digits, and an integer where these end before the point; NaN is None."""
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if abs(short) >= 10 ** (DIGITS - 1) else short


def write_csv(table: Table, into: Path) -> Path:
    """Write ``into/<name>.csv``, in a folder that is there; returns the file's path."""
    content = io.StringIO()
    writer = csv.DictWriter(content, list(table.rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: rounded(value) for key, value in row.items()} for row in table.rows)
    path = into / f"{table.name}.csv"
    write_whole(path, content.getvalue().encode())
    return path


def as_text(table: Table) -> str:
    """Title, aligned columns (numbers flush right) and remarks, for the screen."""
    head = list(table.rows[0])
    rows = [[rounded(row[key]) for key in head] for row in table.rows]
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    texts = {
        number
        for number, column in enumerate(zip(*rows, strict=True))
        if not all(value is None or isinstance(value, int | float) for value in column)
    }
    return "\n".join([table.title, aligned([head, *cells], texts), *table.remarks])
