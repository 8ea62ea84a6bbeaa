import base64
import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.reporting.sweep_report import write_report
from segkit.runs.find import run_folders
from segkit.runs.read import read_run
from tests.reporting.run_folders import epoch, finished, paint, write_run

REASON = "the loss is <not> finite & more"


def write_sweep(folder: Path) -> Path:
    """Five jobs: three finished, one failed, one cut off."""
    for i, iou in enumerate((0.6, 0.9, 0.7)):
        paint(write_run(folder / f"job{i}", finished(iou) | {"devices": str(i)}, seed=i), "um_0", "um_1", f"only_{i}")
    write_run(folder / "job3", {"status": "failed", "reason": REASON, "epochs": []}, seed=3)
    write_run(folder / "job4", {"status": "running", "epochs": [epoch(1, 0.5, iou=0.1)]}, seed=4)
    start = {"command": "python train.py -m seed=range(5)", "launcher": "gpus", "started": 1.0, "jobs": 5}
    (folder / "sweep.json").write_text(json.dumps([start | {"seconds": 90.5}, start | {"seconds": 9.6}]))
    return folder


def report(sweep: Path, count: int = 4) -> Path:
    into = sweep.parent / "entry"
    into.mkdir(exist_ok=True)
    write_report(into, [read_run(path) for path in run_folders(sweep)], sweep, "Which <seed>?", count)
    return into


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of ``write_sweep``, to be read."""
    return report(write_sweep(tmp_path_factory.mktemp("report") / "sweep"))


class Page(HTMLParser):
    """What a page shows and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.orders: list[list[str]] = []
        self.loaded: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []  # every element is closed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)
        own = dict(attrs)
        self.loaded += [str(own[name]) for name in ("src", "href", "data", "action") if name in own]
        if tag == "tr":
            self.rows.append([])
            self.orders.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "td":
            self.orders[-1].append(str(own["data-order"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data.strip()


def test_the_files_of_a_report(entry: Path) -> None:
    assert sorted(path.name for path in entry.iterdir()) == [
        "README.md",
        "best_um_0.jpg",
        "best_um_1.jpg",
        "loss_curves.png",
        "report.csv",
        "report.html",
        "result.json",
        "score_seed.png",
        "score_time.png",
        "worst_um_0.jpg",
        "worst_um_1.jpg",
    ]
    assert cv2.imread(str(entry / "best_um_0.jpg")).shape == (80, 800, 3)


def test_the_readme(entry: Path) -> None:
    text = (entry / "README.md").read_text()
    assert text.startswith("# Which <seed>?\n")
    assert text.count("python train.py -m seed=range(5)") == 1
    assert "5 runs: 3 finished, 1 failed, 1 cut off; best: seed=1, iou 0.9000" in text
    assert "- Hardware: NVIDIA H200 (3 devices on 1 machine); commit: abc\n- Versions: torch 2.11.0" in text
    assert "training of all runs together 180; the sweep 100" in text
    assert "| 1 | 1 | 0.9000 | 0.4500 | 0.9000 | 0.1000 | 2 | 60.0 |  |" in text
    assert "| 4 | 4 | 0.1000 | – | – | – | 1 | – | cut off, 1 of 4 epochs |" in text
    assert f"- `seed=3`: {REASON}" in text
    assert "The best run: seed=1, iou 0.9000\n\n![best_um_0](best_um_0.jpg)\n![best_um_1](best_um_1.jpg)" in text
    assert "The worst run: seed=0, iou 0.6000" in text
    assert "![score_seed](score_seed.png)" in text


def test_the_result_is_small_and_complete(entry: Path) -> None:
    result = json.loads((entry / "result.json").read_text())
    assert [(row["folder"], row["status"], row["swept"]) for row in result["rows"]] == [
        ("job1", "finished", {"seed": 1}),
        ("job2", "finished", {"seed": 2}),
        ("job0", "finished", {"seed": 0}),
        ("job4", "cut off", {"seed": 4}),
        ("job3", "failed", {"seed": 3}),
    ]
    assert result["rows"][0]["scores"]["iou/road"] == 0.9
    assert result["rows"][0]["seconds"] == {"data": 1.5, "fit": 60.0}
    assert result["rows"][-1]["reason"] == REASON
    assert "epochs" not in result["rows"][0]
    assert (result["commit"], result["seconds"]) == ("abc", 100.1)


def test_the_page_stands_alone(entry: Path) -> None:
    text = (entry / "report.html").read_text()
    page = Page(text)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert len(page.loaded) == 3 + 4  # figures and pictures
    for source in page.loaded:
        kind, _, content = source.partition(";base64,")
        assert kind in ("data:image/png", "data:image/jpeg")
        assert cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR) is not None


def test_what_the_page_shows(entry: Path) -> None:
    page = Page((entry / "report.html").read_text())
    (titles, recipe), (head, *rows) = page.rows[:2], page.rows[2:]
    assert titles == ["recipe", "seeds", "iou", "iou in the end", "seconds of a run"]
    assert recipe == ["only what all have", "3 of 5", "0.7333 ± 0.1528", "0.3667 ± 0.0764", "60.0"]
    assert head == ["#", "seed", "iou", "mean_iou", "accuracy", "loss", "best epoch", "seconds", "status"]
    assert rows[0] == ["1", "1", "0.9000", "0.4500", "0.9000", "0.1000", "2", "60.0", ""]
    assert [row[1] for row in rows] == ["1", "2", "0", "4", "3"]
    assert [orders[2] for orders in page.orders[3:]] == ["0.9", "0.7", "0.6", "0.1", ""]  # what clicking sorts by
    for shown in ("Which <seed>?", REASON, "python train.py -m seed=range(5)", "NVIDIA H200", "abc", "torch 2.11.0"):
        assert shown in page.text


def test_a_report_made_again_keeps_what_is_somebodys_own(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    into = report(sweep)
    (into / "mine.png").write_text("mine")
    (into / "best_mine.jpg").write_text("mine")
    report(sweep, count=1)
    left = sorted(path.name for path in into.glob("*.jpg"))
    assert left == ["best_mine.jpg", "best_um_0.jpg", "worst_um_0.jpg"]
    assert (into / "mine.png").exists()


def test_a_sweep_of_which_nothing_has_begun(tmp_path: Path) -> None:
    for i in range(2):
        write_run(tmp_path / "sweep" / str(i), None, seed=i)
    into = report(tmp_path / "sweep", 4)
    text = (into / "README.md").read_text()
    assert "2 runs: 2 waiting." in text
    assert "python train.py seed=0\npython train.py seed=1\n" in text
    assert "Hardware: CPU; commit: not recorded" in text
    assert "| – | 0 | – |" in text
    assert Page((into / "report.html").read_text()).loaded == []
