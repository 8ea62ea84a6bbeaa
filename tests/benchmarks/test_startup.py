import json
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from segkit.benchmarks import startup
from segkit.benchmarks.programs import ProgramError
from segkit.config.overrides import split_flags


class FakeRun:
    """Stands for ``train.py``: starts after 0.5 s, imports for 6 s, and logs its first loss 9 s after its launch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.words: list[str] = []
        monkeypatch.setattr(startup.time, "time", lambda: 1000.0)
        monkeypatch.setattr(startup, "seconds", self)

    def __call__(self, words: list[str]) -> tuple[float, str]:
        self.words = words
        folder = Path(next(word for word in words if word.startswith("hydra.run.dir=")).partition("=")[2])
        cache = Path(next(word for word in words if word.startswith("data.cache_dir=")).partition("=")[2])
        cache.mkdir(parents=True)
        with SummaryWriter(str(folder / "tensorboard")) as writer:
            writer.add_scalar("train/loss", 0.7, 1, walltime=1009.0)
            writer.add_scalar("train/loss", 0.6, 2, walltime=1009.5)
        seconds = {"import": 6.0, "data": 0.25, "network": 0.75, "fit": 4.0}
        (folder / "result.json").write_text(json.dumps({"started": 1000.5, "seconds": seconds}))
        return 12.0, ""


def test_the_phases_add_up_to_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRun(monkeypatch)
    phases = startup.first_step(tmp_path / "root", tmp_path / "scratch")
    assert phases == {
        "interpreter and settings": 0.5,
        "imports": 6.0,
        "pictures checked and cached": 0.25,
        "network and trainer": 0.75,
        "to the end of the first step": 1.5,
        "first step": 9.0,
    }
    assert not list((tmp_path / "scratch").iterdir())
    flags, settings = split_flags(fake.words[1:])
    assert not flags
    assert {"trainer.gpus=0", "model.weights=null"} <= set(settings)


def test_what_ends_otherwise_than_expected_is_an_error_with_its_last_words() -> None:
    taken, said = startup.seconds(["-c", "print(1)"])
    assert taken > 0
    assert said == "1\n"
    assert startup.seconds(["-c", "raise SystemExit(2)"], expected=2)[1] == ""
    with pytest.raises(ProgramError, match=r"(?s)exit code 1:.*ZeroDivisionError"):
        startup.seconds(["-c", "raise ZeroDivisionError"])
