"""The README's table of results says what the entries of the lab book say."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def entry(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((ROOT / "experiments" / name / "result.json").read_text())
    return result


def recipe(name: str, experiment: str, split: str | None = None) -> dict[str, Any]:
    (found,) = [
        one
        for one in entry(name)["recipes"]
        if one["recipe"] == f"experiment={experiment}" and one.get("split") == split
    ]
    return dict(found)


def percent(score: dict[str, float], scale: float = 100) -> str:
    seeds = "" if score["count"] == 3 else f" ({score['count']} seeds)"
    return f"{scale * score['mean']:.1f} ± {scale * score['sd']:.1f}{seeds}"


def minutes(found: dict[str, Any]) -> str:
    return f"{found['seconds']['fit']['mean'] / 60:.1f}"


def rows() -> list[str]:
    """Scores are those of the last epoch, which nothing has chosen."""
    camvid, best = recipe("camvid", "camvid", "official"), recipe("camvid", "camvid_best", "official")
    camvid_drive, best_drive = recipe("camvid", "camvid", "drive"), recipe("camvid", "camvid_best", "drive")
    averaged, scenes = recipe("camvid_average", "camvid_best"), recipe("scenes", "scenes")
    seen = {one["part"]: one["classes"]["iou"]["road"] for one in entry("sim2real")["evaluations"].values()}
    road = f"road IoU {100 * seen['val']:.1f} (train part {100 * seen['train']:.1f}), one seed"
    fcn, fpn = "FCN-8s, VGG16-BN", "FPN, VGG16-BN"
    end = "last_epoch"
    return [
        f"| CamVid, 11 classes | {fcn} | `camvid` | mean IoU {percent(camvid[end]['iou'])} "
        f"| {percent(camvid_drive[end]['iou'])} | {minutes(camvid_drive)} | [camvid](experiments/camvid) |",
        f"| CamVid, 11 classes | {fpn} | `camvid_best` | mean IoU {percent(best[end]['iou'])} "
        f"| {percent(best_drive[end]['iou'])} | {minutes(best_drive)} | [camvid](experiments/camvid) |",
        f"| the same, 8 views averaged | {fpn} | `camvid_best` | mean IoU {percent(averaged['scores']['mean_iou'])} "
        "| – | – | [camvid_average](experiments/camvid_average) |",
        f"| 289 generated scenes | {fcn} | `scenes` | MaxF from above {percent(scenes[end]['road/bev/MaxF'], 1)} "
        f"| – | {minutes(scenes)} | [scenes](experiments/scenes) |",
        f"| CamVid's road, from generated scenes alone | FPN, ResNet-34 | `sim2real` | {road} "
        "| – | – | [sim2real](experiments/sim2real) |",
    ]


def test_the_table_of_results_is_that_of_the_lab_book() -> None:
    readme = (ROOT / "README.md").read_text().splitlines()
    assert [row for row in rows() if row not in readme] == []
