"""The notebook is run from its first cell to its last, smaller."""

import json
import logging
import shlex
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from tests.commands.in_process import segkit

TOUR = Path(__file__).parents[1] / "examples" / "tour.ipynb"
SMALLER = {"(60, 6)": "(9, 3)", "[96, 320]": "[32, 96]", "[96,320]": "[32,96]", "max_epochs=8": "max_epochs=1"}
SMALLER |= {'"predictions=0"': '"predictions=0", "trainer.gpus=0", "model.decoder.width=8", "data.workers=0"'}


def cells(kind: str) -> list[str]:
    notebook = json.loads(TOUR.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def smaller(source: str) -> str:
    for shown, small in SMALLER.items():
        source = source.replace(shown, small)
    return source


def test_the_tour_has_ten_cells_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[export]'")
    monkeypatch.chdir(tmp_path)
    shown: list[tuple[int, ...]] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(tuple(plt.gcf().get_size_inches().astype(int))))
    names: dict[str, Any] = {}
    handlers = logging.getLogger().handlers[:]
    sources = cells("code")
    assert len(sources) == 10
    assert all(any(text in source for source in sources) for text in SMALLER)
    for source in sources:
        if source.startswith("!"):  # a line for the shell, with values of Python in braces
            program, *words = shlex.split(eval(f"f{source[1:].strip()!r}", names))
            assert program == "segkit"
            done = segkit(*words, "tolerance=0.01", cwd=tmp_path)
            assert done.code == 0, done.err
        else:
            exec(compile(smaller(source), str(TOUR), "exec"), names)
        plt.close("all")
    assert len(shown) == 4
    assert logging.getLogger().handlers == handlers
    assert "0.0000% of the pixels" in capsys.readouterr().out
    assert names["mask"].shape == names["unseen"].shape[:2]


def test_each_cell_is_told_what_it_is_for() -> None:
    heads = [text.splitlines()[0] for text in cells("markdown")]
    assert heads[0] == "# A tour of segkit"
    assert [head.split(".")[0] for head in heads[1:]] == [f"## {number}" for number in range(1, 11)]
