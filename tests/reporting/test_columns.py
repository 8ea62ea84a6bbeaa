import csv
import io
from pathlib import Path

from segkit.reporting.columns import cell_rows, columns, csv_text, screen_text
from segkit.reporting.comparison import Comparison, compare
from segkit.runs.find import run_folders
from segkit.runs.read import read_run
from tests.reporting.run_folders import epoch, finished, write_run

LONG = "out of GPU memory: CUDA out of memory, tried to allocate\n20.00 GiB. Lower data.batch_size"


def sweep(folder: Path) -> Comparison:
    """Three runs: finished, failed with two lines of reason, and cut off after an epoch."""
    scores = {"road/bev/MaxF": 91.234, "road/bev/AP": 80.0}
    write_run(folder / "a", finished(0.7, fit=123.4, best=3, **scores), model__learning_rate=1e-4, seed=1)
    failed = {"status": "failed", "reason": LONG, "epochs": []}
    write_run(folder / "b", failed, model__learning_rate=1e-3, data__image_shape=[90, 1200], seed=1)
    running = {"status": "running", "epochs": [epoch(1, 0.5, iou=0.8, loss=12345.6)]}
    write_run(folder / "c", running, model__learning_rate=1e-5, seed=1)
    return compare([read_run(path) for path in run_folders(folder)], folder)


def test_the_table(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    table = columns(found, found.rows)
    titles = ["#", "image_shape", "learning_rate", "iou", "mean_iou", "accuracy", "loss", "road/bev/MaxF"]
    assert [column.title for column in table] == [*titles, "best epoch", "seconds", "status"]
    assert cell_rows(table) == [
        ("1", "160×576", "1e-5", "0.8000", "–", "–", "1.23e+04", "–", "1", "–", "cut off, 1 of 4 epochs"),
        ("2", "160×576", "0.0001", "0.7000", "0.3500", "0.9000", "0.3000", "91.23", "3", "123", ""),
        ("–", "90×1200", "0.001", "–", "–", "–", "–", "–", "–", "–", "failed, 0 of 4 epochs"),
    ]


def test_columns_sort_by_numbers(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    table = {column.title: column for column in columns(found, found.rows)}
    rates, shapes = table["learning_rate"].order, table["image_shape"].order
    assert rates[0] < rates[1] < rates[2]  # type: ignore[operator]
    assert shapes[0] == shapes[1] < shapes[2]  # type: ignore[operator]  # 90 × 1200 pixels are more than 160 × 576
    assert table["iou"].order == (0.8, 0.7, None)
    assert (table["iou"].largest_first, table["loss"].largest_first) == (True, False)


def test_the_screen_says_why_in_one_short_line(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    lines = screen_text(found, found.rows).splitlines()
    assert len(lines) == 6  # three of the head
    assert lines[0].split() == ["road/"]
    assert lines[-1].endswith("failed, 0 of 4 epochs: out of GPU memory: CUDA out of memory, tried to allocate 20…")
    assert lines[-3].split()[:4] == ["1", "160×576", "1e-5", "0.8000"]


def test_the_csv_file_has_everything(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert [row["folder"] for row in rows] == ["c", "a", "b"]
    assert rows[1] == {
        "rank": "2",
        "data.image_shape": "[160, 576]",
        "model.learning_rate": "0.0001",
        "iou": "0.7",
        "loss": "0.30000000000000004",
        "road/bev/MaxF": "91.234",
        "mean_iou": "0.35",
        "accuracy": "0.9",
        "iou/road": "0.7",
        "road/bev/AP": "80.0",
        "best_epoch": "3",
        "seconds/data": "1.5",
        "seconds/fit": "123.4",
        "status": "finished",
        "reason": "",
        "folder": "a",
    }
    assert (rows[2]["rank"], rows[2]["iou"], rows[2]["reason"]) == ("", "", LONG)
