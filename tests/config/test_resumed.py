"""A run goes on with the config that it began with, whatever conf/ has become; words that are typed count on top."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from segkit.commands import train
from segkit.commands.runner import Typed, run_command
from segkit.config.compose import composed, kept_files, resolved, set_run_folder
from segkit.config.overrides import quoted
from segkit.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(folder: Path, *words: str, config_dir: Path | None = None) -> dict[str, Any]:
    """A run folder with the files of ``words``. Returns its settings."""
    config = composed("train", list(words), config_dir)
    set_run_folder(config, folder)
    (folder / ".hydra").mkdir(parents=True)
    for name, text in kept_files(config).items():
        (folder / ".hydra" / name).write_text(text)
    return resolved(config)


def edited(folder: Path, change: Any) -> None:
    path = folder / ".hydra" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def resumed(folder: Path, *words: str) -> tuple[dict[str, Any], str, dict[str, str]]:
    """Settings, the note on what is different today, and the kept files."""
    typed = train.prepare(Typed([f"resume={folder}", *words]))
    assert typed.resuming
    config = composed("train", typed.words, typed.config_dir, typed.base)
    set_run_folder(config, Path(config.hydra.run.dir))
    assert config.hydra.runtime.output_dir == str(folder)
    return resolved(config), typed.note, kept_files(config)


def test_the_same_settings_come_out_and_words_count_on_top(here: Path) -> None:
    first = made(
        here / "run", "model=fcn16", "seed=3", quoted("data.root=it's here"), "+loss.terms={a: 1}", "~loss.terms"
    )
    again, note, files = resumed(here / "run")
    assert (again, note) == (first, "")
    for name in ("config.yaml", "overrides.yaml"):
        assert files[name] == (here / "run" / ".hydra" / name).read_text()
    longer, note, files = resumed(here / "run", "trainer.max_epochs=99", "seed=4", "model=fcn16")
    assert note == ""
    assert longer["trainer"] == first["trainer"] | {"max_epochs": 99}
    assert (longer["seed"], longer["data"]["seed"]) == (4, 4)  # what refers to a value follows it still
    assert yaml.safe_load(files["overrides.yaml"])[-2:] == ["trainer.max_epochs=99", "seed=4"]
    assert yaml.safe_load(files["hydra.yaml"])["runtime"]["choices"]["model"] == "fcn16"


def test_an_edited_default_changes_nothing_and_is_told(here: Path) -> None:
    own = here / "own" / "augment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [none]\nshadow: 0.5\n")
    first = made(here / "run", "augment=mine", config_dir=here / "own")
    own.write_text(own.read_text().replace("0.5", "0.9"))
    again, note, _ = resumed(here / "run")
    assert again == first
    assert note == "resume: the run keeps its own augment.shadow; conf/ has something else by now"
    own.unlink()
    again, note, _ = resumed(here / "run")
    assert again == first
    assert "not all there" in note


def test_settings_that_are_newer_than_the_run_have_todays_defaults(here: Path) -> None:
    first = made(here / "run", "trainer.clip=2.0")
    edited(here / "run", lambda config: (config["trainer"].pop("deterministic"), config.pop("predictions")))
    again, note, _ = resumed(here / "run")
    assert (again, note) == (first, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=fcn32"], r"resume: model=fcn32 would make it another run; .* init_from=.*run$"),
        (["experiment=demo"], "resume: experiment=demo would make it another run"),
    ],
)
def test_another_file_is_refused(words: list[str], message: str, here: Path) -> None:
    made(here / "run")
    with pytest.raises(UserError, match=message):
        resumed(here / "run", *words)


def test_a_run_of_an_older_version_can_only_be_started_from(here: Path) -> None:
    made(here / "run")
    for group, change in (
        ("augment", lambda config: config.update(augment={"transforms": []})),
        ("loss", lambda config: config.pop("loss")),
    ):
        edited(here / "run", change)
        message = f"a run of an older version, without {group} settings of today's kind; .* init_from=.*run starts"
        with pytest.raises(UserError, match=message):
            resumed(here / "run")


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "overrides: {}"])
def test_a_damaged_folder_is_named(text: str, here: Path) -> None:
    made(here / "run")
    (here / "run" / ".hydra" / "hydra.yaml").write_text(text)
    with pytest.raises(UserError, match=r"its \.hydra folder is damaged"):
        resumed(here / "run")


def test_code_that_the_run_names_is_not_run_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    made(here / "run")
    edited(here / "run", lambda config: config["model"].update(_target_="mine.Network", depth=3))
    edited(here / "run", lambda config: config.update(trust=["mine"]))  # the file's own word does not count
    for words in ([], ["trust=other"], ["model.depth=4"]):
        with pytest.raises(SystemExit) as stop:
            run_command(train, "train", [f"resume={here / 'run'}", *words])  # type: ignore[arg-type]
        assert stop.value.code == 2
        told = capsys.readouterr().err
        assert "model._target_=mine.Network: code that a checkpoint or a run folder names" in told
        assert told.endswith("Allow it with trust=mine\n")
    assert not (here / "ran").exists()
    assert sorted(path.name for path in (here / "run").iterdir()) == [".hydra"]
