"""Seeds of one recipe as mean ± standard deviation, counted by hand."""

import json
import logging
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from segkit.reporting.comparison import compare
from segkit.reporting.recipes import Recipes, recipes
from segkit.reporting.spread import words_apart
from segkit.reporting.sweep_report import write_report
from segkit.runs.read import Run, read_run
from tests.reporting.run_folders import epoch, finished, write_run

OTHER = [{"name": "HorizontalFlip", "p": 0.5}, {"name": "RandomShadow", "p": 1}]


def ablation(folder: Path) -> list[Run]:
    """The old recipe, with ``augment=street``, and with Dice besides: two seeds each on both splits."""
    steps: list[tuple[list[str], dict[str, Any]]] = [
        ([], {}),
        (["augment=street"], {"augment__transforms": OTHER}),
        (["augment=street", "loss=dice"], {"augment__transforms": OTHER, "loss": {"_target_": "Dice"}}),
    ]
    runs = []
    for step, (words, settings) in enumerate(steps):
        for split, base in (("official", 0.6), ("drive", 0.4)):
            for seed in (0, 1):
                iou = base + step / 10 + seed / 100
                scores = {"iou/sky": iou, "iou/pole": iou / 2, "iou/sign symbol": None if step == 0 else iou / 4}
                result = finished(iou, fit=60.0 + 20 * seed, **scores)
                result["epochs"] = [epoch(1, 1.0, iou=iou), epoch(2, 0.5, iou=iou - 0.1 - seed / 50)]
                place = folder / f"{step}_{split}_{seed}"
                choices = {"augment": "street" if step else "flip"}
                write_run(place, result, choices, data__split=split, seed=seed, **settings)
                typed = [
                    "experiment=camvid",
                    "sweep.name=x",
                    "data.root=/here",
                    f"data.split={split}",
                    *words,
                    f"seed={seed}",
                ]
                (place / ".hydra" / "overrides.yaml").write_text(json.dumps(typed))
                runs.append(read_run(place))
    return runs


def of(runs: list[Run]) -> Recipes:
    return recipes(compare(runs, runs[0].folder.parent))


def rows(found: Recipes) -> list[tuple[str, ...]]:
    return list(zip(*(column.cells for column in found.columns()), strict=True))


def test_an_ablation_is_one_row_per_recipe_with_columns_per_split(tmp_path: Path) -> None:
    found = of(ablation(tmp_path))
    assert found.common == ["experiment=camvid"]
    assert [column.title for column in found.columns()] == [
        "recipe",
        "seeds",
        "iou, official",
        "iou in the end, official",
        "iou, drive",
        "iou in the end, drive",
        "iou, mean over splits",
        "seconds of a run",
    ]
    best = f"{stdev([0.60, 0.61]):.4f}"
    last = f"{stdev([0.50, 0.49]):.4f}"
    assert (best, last) == ("0.0071", "0.0071")
    assert [row[:2] for row in rows(found)] == [
        ("only what all have", "2"),
        ("augment=street", "2"),
        ("augment=street loss=dice", "2"),
    ]
    assert [row[2:] for row in rows(found)] == [
        ("0.6050 ± 0.0071", "0.4950 ± 0.0071", "0.4050 ± 0.0071", "0.2950 ± 0.0071", "0.5050", "70.0"),
        ("0.7050 ± 0.0071", "0.5950 ± 0.0071", "0.5050 ± 0.0071", "0.3950 ± 0.0071", "0.6050", "70.0"),
        ("0.8050 ± 0.0071", "0.6950 ± 0.0071", "0.6050 ± 0.0071", "0.4950 ± 0.0071", "0.7050", "70.0"),
    ]


def test_what_is_good_comes_first_when_a_column_is_sorted(tmp_path: Path) -> None:
    for monitor in ("iou", "loss"):
        for seed in range(2):
            result = finished(0.5) | {"scores": {monitor: 0.5}}
            write_run(tmp_path / f"{monitor}{seed}", result, seed=seed, trainer__monitor=f"val/{monitor}")
        found = of([read_run(tmp_path / f"{monitor}{seed}") for seed in range(2)])
        large = {column.title for column in found.columns() if column.largest_first}
        assert large == ({"iou", "iou in the end"} if monitor == "iou" else set())


def test_the_classes_of_each_recipe_and_split(tmp_path: Path) -> None:
    table = of(ablation(tmp_path)).class_rows()
    assert table[0] == ["recipe", "split", "road", "sky", "pole", "sign symbol"]
    assert table[1] == ["only what all have", "official", "60.5 ± 0.7", "60.5 ± 0.7", "30.2 ± 0.4", "–"]
    assert table[4] == ["augment=street", "drive", "50.5 ± 0.7", "50.5 ± 0.7", "25.2 ± 0.4", "12.6 ± 0.2"]
    assert len(table) == 7


def test_the_result_has_every_score_of_each_recipe_and_split(tmp_path: Path) -> None:
    first, *_ = of(ablation(tmp_path)).result()
    assert (first["recipe"], first["split"], first["seeds"], first["finished"]) == (
        "only what all have",
        "official",
        [0, 1],
        2,
    )
    assert first["scores"]["iou"] == {"mean": pytest.approx(0.605), "sd": pytest.approx(0.1**2 / 2**0.5), "count": 2}
    assert first["last_epoch"]["iou"]["mean"] == pytest.approx(0.495)
    assert first["seconds"]["fit"]["mean"] == 70
    assert "iou/sign symbol" not in first["scores"]
    assert set(first["settings"]) == {"augment"}


def test_seeds_of_one_split_and_runs_that_have_not_finished(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, (rate, seed, iou) in enumerate([(1e-4, 0, 0.6), (1e-4, 1, 0.8), (1e-4, 2, None), (1e-5, 0, 0.5)]):
        result = {"status": "failed", "epochs": []} if iou is None else finished(iou)
        write_run(tmp_path / str(number), result, model__learning_rate=rate, seed=seed)
    found = of([read_run(tmp_path / str(number)) for number in range(4)])
    assert [column.title for column in found.columns()][2:4] == ["iou", "iou in the end"]
    assert [row[:3] for row in rows(found)] == [
        ("model.learning_rate=0.0001", "2 of 3", "0.7000 ± 0.1414"),
        ("model.learning_rate=1e-05", "1", "0.5000"),
    ]
    assert found.class_rows() == []  # of two classes the scores above say it all
    assert caplog.text == ""


def test_without_several_seeds_there_are_no_recipes(tmp_path: Path) -> None:
    for number in range(2):
        write_run(tmp_path / str(number), finished(0.5), model__learning_rate=10.0**-number, seed=number)
    runs = [read_run(tmp_path / str(number)) for number in range(2)]
    assert of(runs).recipes == ()
    assert of(runs).result() == []


def test_runs_that_are_alike_are_no_matter_of_seeds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = [read_run(write_run(tmp_path / name, finished(0.5))) for name in "ab"]
    assert of(runs).recipes == ()
    assert caplog.text == ""


def test_folds_of_several_seeds_are_pooled_before_they_are_averaged(tmp_path: Path) -> None:
    runs = []
    for seed, hits in enumerate((6, 8)):
        for fold in range(5):
            place = write_run(tmp_path / f"{seed}{fold}", finished(0.5), data__split="fold", data__fold=fold, seed=seed)
            classes = {"names": ["background", "road"], "foreground": ["road"], "pixels": [[10, 0], [10 - hits, hits]]}
            (place / "counts.json").write_text(json.dumps({"classes": classes}))
            runs.append(read_run(place))
    ((name, seeds, iou, last, seconds),) = rows(of(runs))
    assert (name, seeds, iou, last) == ("only what all have", "2", "0.7000 ± 0.1414", "–")
    assert seconds == "300"


def test_the_same_seed_twice_is_said_and_not_averaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, seed, rate in (("a", 0, 1), ("b", 0, 1), ("c", 1, 1), ("d", 0, 2), ("e", 1, 2)):
        write_run(tmp_path / name, finished(0.5), model__learning_rate=rate, seed=seed)
    with caplog.at_level(logging.WARNING):
        found = of([read_run(tmp_path / name) for name in "abcde"])
    assert "because several of these runs have the same: a, b, c" in caplog.text
    assert [recipe.name for recipe in found.recipes] == ["only what all have"]


def test_recipes_that_were_typed_alike_are_told_by_their_settings(tmp_path: Path) -> None:
    for number, (rate, seed) in enumerate([(1, 0), (1, 1), (2, 0)]):
        place = write_run(tmp_path / str(number), finished(0.5), model__learning_rate=rate, seed=seed)
        (place / ".hydra" / "overrides.yaml").write_text(f"- seed={seed}\n")
    found = of([read_run(tmp_path / str(number)) for number in range(3)])
    assert [recipe.name for recipe in found.recipes] == ["learning_rate=1", "learning_rate=2"]


def test_the_report_shows_recipes_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = ablation(tmp_path / "runs")
    (tmp_path / "entry").mkdir()
    with caplog.at_level(logging.INFO):
        write_report(tmp_path / "entry", runs, tmp_path / "runs", "What pays?", 0)
    text = (tmp_path / "entry" / "README.md").read_text()
    assert "Recipes (all have `experiment=camvid`), mean ± sample standard deviation over seeds" in text
    assert text.index("| augment=street loss=dice | 2 | 0.8050 ± 0.0071 |") < text.index("The runs, best first:")
    assert "| augment=street | drive | 50.5 ± 0.7 |" in text
    assert "0.8050 ± 0.0071" in caplog.text
    assert "0.8050 ± 0.0071" in (tmp_path / "entry" / "report.html").read_text()
    assert len(json.loads((tmp_path / "entry" / "result.json").read_text())["recipes"]) == 6


def test_other_drives_and_other_data_sets_have_columns_of_their_own(tmp_path: Path) -> None:
    for drives in (["0001TP"], ["0006R0"]):
        for seed in (0, 1):
            settings = {"data__split": "drive", "data__held_out": drives, "data__root": "/here/camvid"}
            write_run(tmp_path / f"{drives[0]}_{seed}", finished(0.5), seed=seed, **settings)
    places = sorted(path for path in tmp_path.iterdir())
    assert [column.title for column in of([read_run(place) for place in places]).columns()][2::2] == [
        "iou, 0001TP",
        "iou, 0006R0",
        "iou, mean over splits",
    ]
    for seed in (0, 1):  # the same set in another place is the same one
        write_run(tmp_path / f"scenes_{seed}", finished(0.5), seed=seed, data__split="fraction", data__root="/x/scenes")
        write_run(tmp_path / f"moved_{seed}", finished(0.5), seed=seed + 2, data__split="fraction", data__root="scenes")
    found = of([read_run(place) for place in sorted(tmp_path.iterdir())])
    assert found.splits == ["drive 0001TP, camvid", "drive 0006R0, camvid", "fraction, scenes"]
    assert [recipe.name for recipe in found.recipes] == ["only what all have"]
    assert [len(own) for own in found.recipes[0].parts.values()] == [2, 2, 4]


def test_a_loss_given_by_its_class_is_called_a_loss(tmp_path: Path) -> None:
    for number, (loss, seed) in enumerate([("mine.Soft", 0), ("mine.Soft", 1), ("mine.Hard", 0)]):
        place = write_run(tmp_path / str(number), finished(0.5), loss={"_target_": loss}, seed=seed)
        (place / ".hydra" / "overrides.yaml").write_text(f"- seed={seed}\n")
    found = of([read_run(tmp_path / str(number)) for number in range(3)])
    assert [recipe.name for recipe in found.recipes] == ["loss=mine.Soft", "loss=mine.Hard"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([["experiment=camvid", "loss=dice"], ["experiment=camvid"]], ["loss=dice", ""]),
        ([["experiment=camvid", "model=unet"], ["model=unet", "experiment=camvid"]], ["experiment=camvid"] * 2),
        ([["model=unet"]], [""]),
    ],
)
def test_recipes_are_named_by_what_sets_them_apart_or_else_by_their_experiment(
    words: list[list[str]], names: list[str]
) -> None:
    assert words_apart(words)[1] == names
