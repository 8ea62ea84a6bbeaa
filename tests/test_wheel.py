"""What an installed segkit consists of, and that it runs in a folder of somebody else's."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from segkit import __version__

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, built from a copy: building leaves files behind."""
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("segkit", "conf"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = f"from setuptools.build_meta import build_wheel; print(build_wheel({str(work)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(work / done.stdout.split()[-1]) as wheel:
        wheel.extractall(work / "installed")
    return work / "installed"


def segkit(installed: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", "from segkit.cli import main; main()", *words]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_a_wheel_holds_every_file_that_is_read(installed: Path) -> None:
    for folder, place in ((REPOSITORY / "conf", "segkit/conf"), (REPOSITORY / "segkit", "segkit")):
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (installed / place / path.relative_to(folder)).is_file(), path
    assert {path.name for path in installed.iterdir()} == {"segkit", f"segkit-{__version__}.dist-info"}
    scripts = (installed / f"segkit-{__version__}.dist-info" / "entry_points.txt").read_text()
    assert "segkit = segkit.cli:main" in scripts


def test_an_installed_segkit_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    told = segkit(installed, "train", "--help", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "trainer.max_epochs" in told.stdout
    assert segkit(installed, "--version", cwd=tmp_path).stdout == f"segkit {__version__}\n"
    done = segkit(installed, "data", "action=generate", "data.root=scenes", "count=[1,1]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "scenes" / "training" / "image_2").iterdir())) == 1
    (folder,) = (tmp_path / "outputs" / "data").iterdir()
    assert (folder / ".hydra" / "config.yaml").is_file()


def test_without_data_training_says_how_to_get_some(installed: Path, tmp_path: Path) -> None:
    done = segkit(installed, "train", "trainer.gpus=0", cwd=tmp_path)
    assert done.returncode == 2
    assert "segkit data action=download" in done.stderr
    assert "action=generate" in done.stderr
    assert list(tmp_path.iterdir()) == []
