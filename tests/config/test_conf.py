"""The files under conf/ against the code that reads them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from segkit.config.check import Strict
from segkit.config.compose import CONF, composed, resolved
from segkit.config.schema import BenchSettings, DataCommandSettings, Given, ReportSettings, TrainSettings, validate
from segkit.config.signature import read_signature
from segkit.config.trained_schema import AverageSettings, EvaluateSettings, PredictSettings, ServeSettings

COMMANDS: dict[str, tuple[type[Strict], list[str]]] = {
    "train": (TrainSettings, []),
    "bench": (BenchSettings, []),
    "predict": (PredictSettings, ["input=b"]),
    "serve": (ServeSettings, []),
    "report": (ReportSettings, ["run=[a,b]", "into=c"]),
    "data": (DataCommandSettings, []),
    "evaluate": (EvaluateSettings, []),
    "average": (AverageSettings, ["checkpoint=[a,b]", "output=c.ckpt"]),
}
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")


FOR_PYTHON = {"in_channels"}
"""Arguments that no file sets: no data set has pictures of other than three channels."""


def options(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found
    return found


def given(group: str) -> tuple[str, ...]:
    field = TrainSettings.model_fields.get(group)
    return next((each.names for each in field.metadata if isinstance(each, Given)), ()) if field else ()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_own_files_are_valid(command: str) -> None:
    schema, words = COMMANDS[command]
    settings = resolved(composed(command, words))
    validate(schema, settings)
    assert settings.keys() <= schema.model_fields.keys()


@pytest.mark.parametrize("command", ["train", "data", "evaluate"])
def test_every_choice_of_files_is_valid(command: str) -> None:
    schema, _ = COMMANDS[command]
    for group in composed(command, []).hydra.runtime.choices:
        for option in options(group) if group in GROUPS else []:
            settings = resolved(composed(command, [f"{group}={option}"]))
            validate(schema, settings)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_says_its_command(experiment: str) -> None:
    assert resolved(composed("train", [f"experiment={experiment}"]))["name"] == experiment
    assert "Command:" in (CONF / "experiment" / f"{experiment}.yaml").read_text()


@pytest.mark.parametrize("group", ["data", "model", "loss", "optimizer"])
def test_an_argument_of_a_class_stands_in_a_file_of_its_group(group: str) -> None:
    arguments: dict[str, set[str]] = {}
    written: dict[str, set[str]] = {}
    for option in options(group):
        node: Any = OmegaConf.to_container(composed("train", [f"{group}={option}"])[group])
        signature = read_signature(node["_target_"])
        assert signature is not None
        arguments[node["_target_"]] = signature.parameters.keys() - {*given(group), *FOR_PYTHON}
        written.setdefault(node["_target_"], set()).update(node.keys() - {"_target_"})
    assert written == arguments


def test_every_setting_is_explained_beside_its_key() -> None:
    for group in ("data", "model", "trainer", "optimizer", "loss"):
        for path in (CONF / group).glob("*.yaml"):
            inherited = inherited_keys(path)
            lines = path.read_text().splitlines()
            for above, line in zip(["", *lines], lines, strict=False):
                key = line.partition(":")[0]
                if (
                    line
                    and not line.endswith(":")
                    and not line.startswith(("#", " ", "_target_", "defaults"))
                    and key not in inherited
                ):
                    assert "#" in line or above.startswith("#"), f"{path.name}: {line}"


def inherited_keys(path: Path) -> set[str]:
    """Keys of a file that another one of its group has too, and explains."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    above = [path.with_name(f"{name}.yaml") for name in content.get("defaults", []) if isinstance(name, str)]
    found: set[str] = set()
    for other in above:
        if other.is_file():
            found |= yaml.safe_load(other.read_text()).keys() | inherited_keys(other)
    return found
