"""What a container for inference serves."""

from pathlib import Path

import pytest

from segkit.errors import UserError
from segkit.sagemaker.serving import served_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_run_folder_or_the_only_checkpoint(model: Path) -> None:
    checkpoint = put(model / "packed" / "soup.ckpt")
    assert served_model() == checkpoint
    put(model / "checkpoints" / "best.ckpt")
    assert served_model() == model


def test_no_container_and_a_training_jobs(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(model / "checkpoints" / "best.ckpt")
    (model.parent / "input" / "config").mkdir(parents=True)
    assert served_model() is None
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(model / "nowhere"))
    assert served_model() is None


def test_what_cannot_be_served_is_told(model: Path) -> None:
    with pytest.raises(UserError, match=r"should hold a run folder or one \.ckpt file, and has none"):
        served_model()
    put(model / "a.ckpt")
    put(model / "b.ckpt")
    with pytest.raises(UserError, match="and has 2 of them"):
        served_model()
