from pathlib import Path
from typing import Any

import pytest

from segkit.reporting.swept import shown, sort_key, swept_values
from segkit.runs.read import Run, read_run
from tests.reporting.run_folders import write_run

FLIP = {"augment": {"flip": 0.5, "shadow": 0.0, "strength": 1.0}, "choices": {"augment": "flip"}}
ROAD = {"augment": {"flip": 0.5, "shadow": 0.6, "strength": 1.0}, "choices": {"augment": "road"}}


def runs(folder: Path, *settings: dict[str, Any]) -> list[Run]:
    return [read_run(write_run(folder / str(i), None, **own)) for i, own in enumerate(settings)]


def test_values_are_those_of_the_settings_that_differ(tmp_path: Path) -> None:
    found = runs(
        tmp_path,
        {"model__learning_rate": 1e-5, "data__image_shape": [80, 96], "seed": 0, "name": "a", "data__root": "here"},
        {"model__learning_rate": 1e-4, "data__image_shape": [80, 96], "seed": 1, "name": "b", "data__root": "there"},
    )
    assert swept_values(found) == [{"model.learning_rate": 1e-5, "seed": 0}, {"model.learning_rate": 1e-4, "seed": 1}]


def test_settings_that_only_refer_to_others_are_left_out(tmp_path: Path) -> None:
    own = {"model__width": "${data.image_shape[1]}"}
    shapes = [{**own, "data__image_shape": shape} for shape in ([160, 576], [256, 832], [160, 832])]
    found = swept_values(runs(tmp_path / "alike", *shapes))
    assert found == [
        {"data.image_shape": [160, 576]},
        {"data.image_shape": [256, 832]},
        {"data.image_shape": [160, 832]},
    ]
    found = swept_values(runs(tmp_path / "seeds", {}, {"seed": 1, "data__seed": 2}, {"data__seed": 0}))
    assert found == [{"seed": 0, "data.seed": 0}, {"seed": 1, "data.seed": 2}, {"seed": 0, "data.seed": 0}]


def test_augmentations_are_told_by_the_names_of_their_files(tmp_path: Path) -> None:
    assert swept_values(runs(tmp_path, FLIP, ROAD)) == [{"augment": "flip"}, {"augment": "road"}]


def test_what_the_file_does_not_say_is_told_beside_it(tmp_path: Path) -> None:
    halved = {**ROAD, "augment": ROAD["augment"] | {"strength": 0.5}}
    assert swept_values(runs(tmp_path / "one", ROAD, halved)) == [{"augment.strength": 1.0}, {"augment.strength": 0.5}]
    assert swept_values(runs(tmp_path / "two", FLIP, ROAD, halved)) == [
        {"augment": "flip", "augment.strength": 1.0},
        {"augment": "road", "augment.strength": 1.0},
        {"augment": "road", "augment.strength": 0.5},
    ]


def test_where_no_file_is_known_the_numbers_tell(tmp_path: Path) -> None:
    found = runs(tmp_path, *({"augment": own["augment"], "choices": {"augment": None}} for own in (FLIP, ROAD)))
    assert swept_values(found) == [{"augment.shadow": 0.0}, {"augment.shadow": 0.6}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-5, "1e-5"),
        (0.0001, "0.0001"),
        (1e9, "1e9"),
        (9.214143768450009e-5, "9.21414e-5"),
        (1e-10, "1e-10"),
        (2.0, "2"),
        (3, "3"),
        ([160, 576], "160×576"),
        ([0.01, 0.5], "[0.01, 0.5]"),
        ([], "[]"),
        (None, "null"),
        (True, "true"),
        ("vgg16", "vgg16"),
    ],
)
def test_values_are_written_as_people_write_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_values_have_an_order() -> None:
    ordered = [None, 1e-5, 2, 10, [160, 576], [90, 1200], [256, 832], "a", "b"]
    assert sorted(reversed(ordered), key=sort_key) == ordered
