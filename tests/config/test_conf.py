"""The files under conf/ against the code that reads them."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from segkit.config.instantiate import import_subclass
from segkit.config.schema import (
    KNOWN_TARGETS,
    BenchSettings,
    DataCommandSettings,
    EvaluateSettings,
    PredictSettings,
    ReportSettings,
    TrainSettings,
    validate,
)

CONF = Path(__file__).resolve().parents[2] / "conf"
GIVEN_BY_THE_RUN = {"classes", "image_shape", "metrics", "resize", "window", "overlap"}


def composed(name: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose(name, list(overrides)), resolve=True)
    assert isinstance(config, dict)
    return config


def options(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found
    return found


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_and_is_valid(experiment: str) -> None:
    config = composed("train", f"experiment={experiment}")
    validate(TrainSettings, config)
    assert config["name"] == experiment
    head = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert "Command:" in head


@pytest.mark.parametrize("group", ["data", "model", "augment", "trainer"])
def test_every_option_of_every_group_is_valid(group: str) -> None:
    for option in options(group):
        validate(TrainSettings, composed("train", f"{group}={option}"))


def test_the_other_commands_are_valid() -> None:
    validate(BenchSettings, composed("bench"))
    validate(PredictSettings, composed("predict", "checkpoint=a", "input=b"))
    validate(ReportSettings, composed("report", "run=[a,b]", "into=c"))
    for option in options("data"):
        validate(DataCommandSettings, composed("data", f"data={option}"))
        validate(EvaluateSettings, composed("evaluate", f"data={option}"))


@pytest.mark.parametrize("target", KNOWN_TARGETS)
def test_settings_are_the_constructors_arguments(target: str) -> None:
    constructors = [
        base.__init__ for base in import_subclass(target, object, "target").__mro__ if "segkit" in str(base)
    ]
    arguments = {name for one in constructors for name in inspect.signature(one).parameters}
    arguments -= {"self", "args", "common", "kwargs"}
    settings = set(KNOWN_TARGETS[target].model_fields) - {"import_path"}
    if target.endswith("Task"):
        arguments -= GIVEN_BY_THE_RUN
    assert settings == arguments


def test_every_setting_is_explained_beside_its_key() -> None:
    for group in ("data", "model", "trainer"):
        for path in (CONF / group).glob("*.yaml"):
            lines = path.read_text().splitlines()
            for above, line in zip(["", *lines], lines, strict=False):
                if line and not line.startswith(("#", " ", "_target_", "defaults", "stride: 16", "stride: 32")):
                    assert "#" in line or above.startswith("#"), f"{path.name}: {line}"
