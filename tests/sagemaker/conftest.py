"""Repositories from which training jobs are started."""

import subprocess
from pathlib import Path

import pytest

from tests.sagemaker.container import REPOSITORY
from tests.sagemaker.projects import git


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the source, as far as training needs it, with what is not committed yet."""
    clone = tmp_path / "clone"
    for name in ("segkit", "conf", "train.py"):
        subprocess.run(["cp", "-r", "--parents", name, str(tmp_path)], cwd=REPOSITORY, check=True)
        clone.mkdir(exist_ok=True)
        (tmp_path / name).rename(clone / name)
    (clone / ".gitignore").write_text("outputs/\n__pycache__/\n")
    git(clone, "init", "-q")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "all")
    return clone


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's own repository, without train.py."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "own.py").write_text("")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "all")
    return folder
