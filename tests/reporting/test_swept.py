from pathlib import Path
from typing import Any

import pytest

from segkit.reporting.swept import shown, sort_key, swept_values
from segkit.runs.read import Run, read_run
from tests.reporting.run_folders import write_run

FLIP = [{"name": "HorizontalFlip", "p": 0.5}]
ROAD = [*FLIP, {"name": "RandomShadow", "p": "${augment.shadows}"}]


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
    crop = [{"name": "RandomCrop", "height": "${data.image_shape[0]}", "width": "${data.image_shape[1]}"}]
    own = {"augment": {"transforms": crop}}
    shapes = [{**own, "data__image_shape": shape} for shape in ([160, 576], [256, 832], [160, 832])]
    found = swept_values(runs(tmp_path / "alike", *shapes))
    assert found == [
        {"data.image_shape": [160, 576]},
        {"data.image_shape": [256, 832]},
        {"data.image_shape": [160, 832]},
    ]
    found = swept_values(runs(tmp_path / "seeds", {}, {"seed": 1, "data__seed": 2}, {"data__seed": 0}))
    assert found == [{"seed": 0, "data.seed": 0}, {"seed": 1, "data.seed": 2}, {"seed": 0, "data.seed": 0}]
    # Another list of transforms is not one that follows the shape.
    others = runs(tmp_path / "others", shapes[0], {"data__image_shape": [256, 832]})
    assert [set(own) for own in swept_values(others)] == [{"data.image_shape", "augment"}] * 2


def test_augmentations_are_told_by_the_names_of_their_files(tmp_path: Path) -> None:
    road = {"transforms": ROAD, "shadows": 0.5}
    found = runs(
        tmp_path,
        {"augment": {"transforms": FLIP}, "choices": {"augment": "flip"}},
        {"augment": road, "choices": {"augment": "road"}},
    )
    assert swept_values(found) == [{"augment": "flip"}, {"augment": "road"}]


def test_the_strength_of_an_augmentation_tells_more_than_its_transforms(tmp_path: Path) -> None:
    found = runs(
        tmp_path,
        {"augment": {"transforms": FLIP}, "choices": {"augment": "flip"}},
        *({"augment": {"transforms": ROAD, "shadows": p}, "choices": {"augment": "road"}} for p in (0.1, 0.9)),
    )
    assert swept_values(found[1:]) == [{"augment.shadows": 0.1}, {"augment.shadows": 0.9}]
    assert swept_values(found) == [
        {"augment": "flip"},
        {"augment": "road", "augment.shadows": 0.1},
        {"augment": "road", "augment.shadows": 0.9},
    ]


def test_transforms_of_unknown_files_are_told_by_their_names(tmp_path: Path) -> None:
    found = runs(tmp_path, *({"augment": {"transforms": own}} for own in (FLIP, [], 3)))  # 3: a job that failed for it
    assert [own["augment"] for own in swept_values(found)] == ["HorizontalFlip", "none", "3"]
    found = runs(tmp_path / "p", *({"augment": {"transforms": [{"name": "Blur", "p": p}]}} for p in (0.1, 0.2)))
    assert [own["augment"] for own in swept_values(found)] == [
        '[{"name": "Blur", "p": 0.1}]',
        '[{"name": "Blur", "p": 0.2}]',
    ]


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
