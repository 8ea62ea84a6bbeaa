"""The counts in ``experiments/reliability``: what a session has tried stands beside what others have."""

import csv
import json
from pathlib import Path

from tests import reliability


def test_areas_are_counted_beside_those_that_are_there(tmp_path: Path) -> None:
    reliability.write({"kill: train": {"tried": 8, "held": 7}, "EIO: train": {"tried": 3, "held": 3}}, tmp_path)
    (tmp_path / "soak-auto-nhwc-pt211-cpu.csv").write_text("what,tried,memory_mib_per_hour\ntraining,2,0.5\n")
    reliability.write({"kill: train": {"tried": 8, "held": 8, "note": "mended"}}, tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["areas"] == {
        "EIO: train": {"tried": 3, "held": 3},
        "kill: train": {"tried": 8, "held": 8, "note": "mended"},
    }
    (slopes,) = result["soak"]["soak-auto-nhwc-pt211-cpu"]
    assert slopes["memory_mib_per_hour"] == "0.5"
    rows = list(csv.DictReader((tmp_path / f"{reliability.NAME}.csv").open()))
    assert rows[-1] == {"area": "all", "tried": "11", "held": "11"}
    text = (tmp_path / "README.md").read_text()
    assert text.count("kill: train |") == 1
    assert "- kill: train: mended" in text
