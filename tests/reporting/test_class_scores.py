"""Class scores of several evaluations side by side: who is a seed of whose recipe, and the numbers, by hand."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from segkit.evaluation.entry import Evaluation
from segkit.reporting.class_scores import recipes, side_by_side
from segkit.reporting.lab_book import write_entry

BASE = ["experiment=camvid", "trainer.gpus=1", "data.root=/here"]


def evaluation(
    iou: float, *training: str, scored: tuple[str, ...] = (), pixels: int = 100, checkpoint: str = "best", **own: Any
) -> Evaluation:
    """Of two classes: sky at ``iou``, pole at half of it."""
    classes = {
        "iou": {"sky": iou, "pole": iou / 2},
        "mean_iou": 0.75 * iou,
        "mean_recall": iou,
        "accuracy": 0.9,
        "pixels": {"sky": pixels, "pole": 7},
        "interval": {"mean_iou": [0.1, 0.2], "iou": {"sky": [0.3, 0.4], "pole": [None, None]}, "level": 0.95},
        "trimap_iou": {"mean_iou": iou / 4, "iou": {}, "width": 3},
        "absent": [],
    }
    result = {
        "classes": classes,
        "checkpoint": [f"runs/{'_'.join(training)}/checkpoints/{checkpoint}.ckpt"],
        "training": [[*BASE, *training]],
        "part": "val",
        "pictures": {"0016E5": 3},
        "versions": {"torch": "2.11.0"},
        "gpu": None,
        "commit": None,
    }
    return Evaluation(Path(f"eval/{iou}"), result | own, [f"checkpoint={iou}", *scored])


def test_seeds_of_one_recipe_are_one_row() -> None:
    found = recipes(
        [
            evaluation(0.4, "seed=0"),
            evaluation(0.6, "loss=dice", "seed=0"),
            evaluation(0.8, "seed=1", "loss=dice"),
            evaluation(0.7, "loss=dice", "seed=2"),
        ]
    )
    assert [(recipe.name, len(recipe.evaluations)) for recipe in found] == [("only what all have", 1), ("loss=dice", 3)]
    _, _, *overall, _, _, _, head, _, plain, dice, _ = "\n".join(side_by_side(found)).split("\n")
    assert overall[0] == "| recipe | seeds | mean IoU | trimap IoU | mean recall | accuracy |"
    assert overall[2] == "| only what all have | 1 | 30.00 (10.0–20.0) | 10.00 | 40.00 | 90.00 |"
    # 0.6, 0.8, 0.7: mean 0.7, sample standard deviation 0.1.
    assert overall[3] == "| loss=dice | 3 | 52.50 ± 7.50 | 17.50 ± 2.50 | 70.00 ± 10.00 | 90.00 ± 0.00 |"
    assert head == "| recipe | sky | pole |"
    assert plain == "| only what all have | 40.00 (30.0–40.0) | 20.00 |"
    assert dice == "| loss=dice | 70.00 ± 10.00 | 35.00 ± 5.00 |"
    result = found[1].result()
    assert result["evaluations"] == ["eval/0.6", "eval/0.8", "eval/0.7"]
    assert result["scores"]["mean_iou"] == {"mean": pytest.approx(0.525), "sd": pytest.approx(0.075), "count": 3}
    assert result["scores"]["iou/pole"]["sd"] == pytest.approx(0.05)
    assert "corrupted/mean_iou" not in result["scores"]


@pytest.mark.parametrize(
    "other",
    [
        evaluation(0.5, "seed=1", average=["flip"], scored=("average=[flip]",)),
        evaluation(0.5, "seed=1", part="test"),
        evaluation(0.5, "seed=1", pictures={"0016E5": 2, "0001TP": 1}),
        evaluation(0.5, "seed=1", pixels=99),
        evaluation(0.5, "seed=1", checkpoint="last"),
        evaluation(0.5, "seed=1", scored=("data.image_shape=[96,128]",)),
        evaluation(0.5, "seed=1", "loss=dice"),
        evaluation(0.5, "seed=1", training=[[*BASE, "seed=1"], [*BASE, "seed=2"]]),
    ],
    ids=["average", "part", "pictures", "pixels", "checkpoint", "scored", "training", "networks"],
)
def test_what_differs_in_more_than_its_seed_is_no_seed_of_the_recipe(other: Evaluation) -> None:
    assert len(recipes([evaluation(0.4, "seed=0"), evaluation(0.6, "seed=1")])) == 1
    assert len(recipes([evaluation(0.4, "seed=0"), other])) == 2


def test_averaged_scores_say_so_even_where_all_are() -> None:
    averaged = [evaluation(0.5, f"seed={seed}", average=["flip", 1.25], scored=("average=x",)) for seed in (0, 1)]
    rows = side_by_side(recipes(averaged))[2].split("\n")
    assert rows[0].startswith("| recipe | average | seeds |")
    assert rows[2].startswith("| experiment=camvid | flip, 1.25 | 2 |")
    rows = side_by_side(recipes([*averaged, evaluation(0.5, "seed=0", average=[])]))[2].split("\n")
    assert [row.split("|")[2].strip() for row in rows[2:]] == ["flip, 1.25", ""]


def test_other_pictures_and_another_way_of_scoring_have_columns() -> None:
    plain, other = evaluation(0.5, "seed=0"), evaluation(0.5, "seed=0", part="test", scored=("part=test", "data.x=1"))
    rows = side_by_side(recipes([plain, other]))[2].split("\n")
    assert rows[0].startswith("| recipe | scored with | pictures | seeds |")
    assert rows[3].startswith("| experiment=camvid | data.x=1 | test, 0016E5 3 | 1 |")


def test_corrupted_pictures_have_a_column() -> None:
    own = {"corrupted": {"corruption": "fog 3", "classes": {"mean_iou": 0.25}}}
    rows = side_by_side(recipes([evaluation(0.5, "seed=0", **own), evaluation(0.5, "loss=dice")]))[2].split("\n")
    assert rows[0].endswith("| mean IoU, corrupted |")
    assert [row.split("|")[-2].strip() for row in rows[2:]] == ["25.00", "–"]


def test_the_same_seed_twice_is_said_and_told_apart_by_the_checkpoints(caplog: pytest.LogCaptureFixture) -> None:
    first, second = evaluation(0.5, "seed=0"), evaluation(0.6, "seed=0", checkpoint="best")
    second.result["checkpoint"] = ["elsewhere/best.ckpt"]
    with caplog.at_level(logging.WARNING):
        found = recipes([first, second])
    assert "because several of these evaluations have the same: eval/0.5, eval/0.6" in caplog.text
    assert [recipe.name for recipe in found] == [
        "experiment=camvid runs/seed=0/checkpoints/best.ckpt",
        "experiment=camvid elsewhere/best.ckpt",
    ]


def test_a_seed_that_was_not_typed_is_0(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(recipes([evaluation(0.5), evaluation(0.6, "seed=0")])) == 2
    assert "because several of these evaluations have the same" in caplog.text
    assert len(recipes([evaluation(0.5), evaluation(0.6, "seed=1")])) == 1


def test_the_entry(tmp_path: Path) -> None:
    places = []
    for seed, iou in enumerate((0.4, 0.6)):
        item = evaluation(iou, f"seed={seed}")
        place = tmp_path / str(seed)
        (place / ".hydra").mkdir(parents=True)
        (place / ".hydra" / "overrides.yaml").write_text(json.dumps(item.overrides))
        (place / "result.json").write_text(json.dumps(item.result))
        places.append(place)
    (tmp_path / "entry").mkdir()
    write_entry(tmp_path / "entry", places, "", 4)
    text = (tmp_path / "entry" / "README.md").read_text()
    assert "| experiment=camvid | 2 | 37.50 ± 10.61 | 12.50 ± 3.54 | 50.00 ± 14.14 | 90.00 ± 0.00 |" in text
    assert "segkit evaluate -m checkpoint=0.4,0.6" in text
    assert "- Pictures: val, 0016E5 3\n" in text
    result = json.loads((tmp_path / "entry" / "result.json").read_text())
    assert list(result["evaluations"]) == [str(place) for place in places]
    assert result["recipes"][0]["scores"]["iou/sky"]["mean"] == pytest.approx(0.5)
