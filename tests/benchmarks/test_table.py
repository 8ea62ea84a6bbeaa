import math
from pathlib import Path

import pytest

from segkit.benchmarks.table import Table, as_text, file_name, rounded, write_csv

ROWS = [
    {"program": "segkit", "step_ms": 33.2461, "images_per_second": 1925.33, "peak_memory_gib": None},
    {"program": "bare loop", "step_ms": 4.0, "images_per_second": math.nan, "peak_memory_gib": 2.5},
]


@pytest.mark.parametrize(
    ("gpu", "device"),
    [
        (None, "cpu"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("4 × NVIDIA H200", "4xh200"),
        ("NVIDIA GeForce RTX 4090", "geforce-rtx-4090"),
    ],
)
def test_a_file_says_of_what_it_is(gpu: str | None, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segkit.benchmarks.table.version", lambda package: "2.11.0+cu128")
    assert file_name("train", "bf16", "nhwc", gpu) == f"train-bf16-nhwc-pt211-{device}"


def test_rounding_keeps_four_digits() -> None:
    values = [1925.33, 33.2461, 0.00123456, 123456.0, 0.0, -2.71828, 17, "text", None, math.nan]
    assert [rounded(value) for value in values] == [1925, 33.25, 0.001235, 123500, 0, -2.718, 17, "text", None, None]


def test_csv_has_a_line_for_each_row_and_nothing_for_a_figure_that_does_not_exist(tmp_path: Path) -> None:
    path = write_csv(Table("train-fp32-nhwc-pt211-cpu", "Training", ROWS, []), tmp_path)
    assert path == tmp_path / "train-fp32-nhwc-pt211-cpu.csv"
    assert path.read_text().splitlines() == [
        "program,step_ms,images_per_second,peak_memory_gib",
        "segkit,33.25,1925,",
        "bare loop,4.0,,2.5",
    ]


def test_on_the_screen_numbers_are_flush_right() -> None:
    assert as_text(Table("name", "Training", ROWS, ["2 cores"])).splitlines() == [
        "Training",
        "program    step_ms  images_per_second  peak_memory_gib",
        "segkit       33.25               1925",
        "bare loop      4.0                                 2.5",
        "2 cores",
    ]
