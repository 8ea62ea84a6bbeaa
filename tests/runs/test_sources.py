"""The source of the user's own classes in the run folder."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segkit.runs.sources import import_from, keep_sources


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with modules of the user's, which no other test has imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    files = {
        "own_module.py": "class Net: made = 'here'\n",
        "unrelated.py": "",
        "own_package/__init__.py": "",
        "own_package/deep/__init__.py": "",
        "own_package/deep/net.py": "from own_package.deep.block import Block\nclass Net: block = Block\n",
        "own_package/deep/block.py": "class Block: pass\n",
        "own_package/other.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    forget()


def forget() -> None:
    """As in a new process."""
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def kept(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run / "code")) for path in run.rglob("*.py"))


def test_only_modules_of_the_working_folder_are_kept(here: Path) -> None:
    targets = ["own_module.Net", "segkit.errors.UserError", "torch.nn.Conv2d", "json.JSONDecoder", "nowhere.Net", "Net"]
    assert keep_sources(here / "run", targets) == [here / "run" / "code" / "own_module.py"]
    assert kept(here / "run") == ["own_module.py"]


def test_a_module_of_a_package_comes_with_those_beside_it(here: Path) -> None:
    keep_sources(here / "run", ["own_package.deep.net.Net"])
    deep = ["own_package/deep/__init__.py", "own_package/deep/block.py", "own_package/deep/net.py"]
    assert kept(here / "run") == ["own_package/__init__.py", *deep]


def test_a_class_of_a_packages_own_file_is_kept(here: Path) -> None:
    keep_sources(here / "run", ["own_package.Net"])
    assert kept(here / "run") == ["own_package/__init__.py", "own_package/other.py"]


def test_what_began_the_run_is_not_written_over(here: Path) -> None:
    keep_sources(here / "run", ["own_module.Net"])
    (here / "own_module.py").write_text("class Net: made = 'later'\n")
    assert keep_sources(here / "run", ["own_module.Net"]) == []
    assert "here" in (here / "run" / "code" / "own_module.py").read_text()


def test_kept_modules_are_imported_wherever_the_folder_lies(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_sources(here / "run", ["own_module.Net", "own_package.deep.net.Net"])
    (here / "own_module.py").write_text("class Net: made = 'later'\n")
    (here / "run" / "code" / "json.py").write_text("raise AssertionError('an installed module goes first')\n")
    forget()
    before = list(sys.path)
    with import_from(here / "run"):
        assert importlib.import_module("own_module").Net.made == "here"
        importlib.reload(importlib.import_module("json"))
    assert sys.path == before
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(here)])
    with import_from(here / "run"):
        block = importlib.import_module("own_package.deep.net").Net.block
    assert sys.modules[block.__module__].__file__ == str(here / "run" / "code" / "own_package/deep/block.py")
