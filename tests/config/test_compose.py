"""What is typed over what the files say."""

from pathlib import Path

import pytest

from segkit.config.compose import composed, resolved


@pytest.mark.parametrize("typed", [[], ["data.classes={car: [car]}", "data.classes={bus: [bus]}"]])
def test_a_typed_merge_of_classes_takes_the_place_of_a_recipes(tmp_path: Path, typed: list[str]) -> None:
    recipe = tmp_path / "experiment" / "streets.yaml"
    recipe.parent.mkdir()
    recipe.write_text(
        "# @package _global_\ndefaults:\n  - override /data: cityscapes\n"
        "data:\n  classes: {road: [road], vehicle: [car, truck]}\n"
    )
    config = composed("train", ["experiment=streets", *typed], tmp_path)
    expected = {"bus": ["bus"]} if typed else {"road": ["road"], "vehicle": ["car", "truck"]}
    assert resolved(config)["data"]["classes"] == expected
    assert list(config.hydra.overrides.task) == ["experiment=streets", *typed]
