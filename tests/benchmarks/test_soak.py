"""``segkit bench what=soak``: what it looks at, and a short one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segkit.benchmarks import serve, soak
from segkit.benchmarks.usage import MARK, Usage, marked, slopes, usage
from segkit.config.compose import composed, resolved
from segkit.config.schema import TrainSettings, validate
from segkit.config.trained_schema import PredictSettings, ServeSettings
from tests.fixtures import write_kitti

SLEEPS = "import sys, time; file = open('/dev/null'); print(flush=True); sys.stdin.read()"


def used(memory: float, disk: float = 0.0) -> Usage:
    return Usage(memory, 10, 1, 0.0, disk)


def test_growth_is_that_within_processes_of_any_level() -> None:
    # 1 MiB a minute each, once from 100 MiB and once from 500; the first quarter is another matter.
    first = [(float(at), used(100 + at / 60 + (99 if at < 20 else 0))) for at in range(0, 80, 10)]
    second = [(float(at), used(500 + at / 60, disk=7.0)) for at in range(100, 180, 10)]
    growth = slopes([first, second, [(200.0, used(1.0))]])
    assert growth["memory_mib"] == pytest.approx(60)
    assert growth["disk_mib"] == growth["descriptors"] == pytest.approx(0)
    assert all(value != value for value in slopes([[]]).values())


def test_what_marked_processes_use_is_found_also_when_their_parent_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(bytes(3 * 2**20))
    mark = tmp_path.name
    start = [sys.executable, "-c", SLEEPS]
    with subprocess.Popen(
        start, env=os.environ | {MARK: mark}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert list(marked(mark)) == [process.pid]
        found = usage(mark, tmp_path, os.listdir("/dev/shm"))
        assert process.stdin is not None
        process.stdin.close()
    assert found.processes == 1
    assert found.descriptors >= 4
    assert 1 < found.memory_mib < 200
    assert 3 <= found.disk_mib < 4
    assert list(marked(mark)) == []
    assert usage(mark, tmp_path, ()).memory_mib == 0


STAND_IN = """
import http.server, json, os, signal, subprocess, sys, time
from pathlib import Path

kind = sys.argv[1] if sys.argv[1] in ("predict", "serve") else "train"
words = {key: value.strip("'\\"") for key, _, value in (word.partition("=") for word in sys.argv[1:])}
scratch, fault = Path(os.environ["TMPDIR"]).parent, os.environ.get("FAULT")
with (scratch / f"{kind}.words").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")


def tell(status):
    path.write_text(json.dumps({"status": status, "epochs": epochs}))


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"mask")

    def log_message(self, *words):
        pass


if kind == "train":
    folder = Path(words.get("resume") or words["hydra.run.dir"])
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    path, epochs = folder / "result.json", []
    epochs = [*(json.loads(path.read_text())["epochs"] if path.exists() else []), {"epoch": 1}]
    if fault == "left":
        subprocess.Popen(["sleep", "30"])
        (scratch / "tmp" / "left").touch()
    signal.signal(signal.SIGTERM, lambda *_: (tell("interrupted"), sys.exit(143)))
    (folder / "checkpoints" / "last.ckpt").touch()
    tell("running")
    signal.pause()
elif kind == "predict":
    mask = Path(words["output"]) / "mask" / "a.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    mask.write_text(str(time.time_ns()) if fault == "other" else "mask")
    sys.exit(fault == "code")
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    print(f"serving at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
"""


def soaked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The rows of a short one whose programs are stand-ins."""
    write_kitti(folder / "kitti", count=1, tests=0)
    (folder / "network.ckpt").touch()
    for module, name, value in (
        (soak, "TRAIN", ("-c", STAND_IN)),
        (soak, "SERVE", ("-c", STAND_IN)),
        (serve, "SERVE", ("-c", STAND_IN, "serve")),
        (soak, "bad_requests", list),
        (soak, "EVERY", 0.05),
    ):
        monkeypatch.setattr(module, name, value)
    words = ["gpus=0", f"data.root={folder / 'kitti'}", f"checkpoint={folder / 'network.ckpt'}", "seconds=3"]
    (table,) = soak.run(resolved(composed("bench", ["what=soak", "epoch_pictures=1", *words])), folder)
    return {row["what"]: row for row in table.rows}


def test_all_are_tried_again_and_again_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = soaked(tmp_path, monkeypatch)
    assert list(rows) == ["training", "predicting", "serving", "after each turn"]
    assert all(row["tried"] == row["held"] > 1 for row in rows.values())
    assert [rows[name]["tried"] for name in ("training", "after each turn")] == [2, 2]
    assert [row["processes"] for row in rows.values()] == [1, 1, 1, 0]
    # The words are right: they are held against the settings of today.
    for command, schema in (("train", TrainSettings), ("predict", PredictSettings), ("serve", ServeSettings)):
        lines = (tmp_path / "scratch" / f"{command}.words").read_text().splitlines()
        given = [word for word in json.loads(lines[0]) if word not in ("predict", "serve") and "--config" not in word]
        own = tmp_path / "scratch" / "conf"
        validate(schema, resolved(composed(command, given, own)))
    assert "resume=" in (tmp_path / "scratch" / "train.words").read_text().splitlines()[1]


@pytest.mark.parametrize(
    ("fault", "row"), [("left", "after each turn"), ("other", "predicting"), ("code", "predicting")]
)
def test_what_does_not_hold_is_told(fault: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", fault)
    rows = soaked(tmp_path, monkeypatch)
    assert rows[row]["held"] < rows[row]["tried"]
    assert all(other["held"] == other["tried"] for name, other in rows.items() if name != row)
