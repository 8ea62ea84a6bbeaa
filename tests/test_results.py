"""The tables of results in README and docs say what the entries of the lab book say."""

import json
import re
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


def trained(name: str, split: str, **settings: object) -> dict[str, Any]:
    """The recipe of an entry that has these settings, by the last part of their keys."""
    (found,) = [
        one
        for one in entry(name)["recipes"]
        if one["split"] == split
        and all(value == settings.get(key.split(".")[-1], value) for key, value in one["settings"].items())
    ]
    return dict(found)


def percent(score: dict[str, float], scale: float = 100) -> str:
    if score["count"] == 1:
        return f"{scale * score['mean']:.1f} (1 seed)"
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
    control = entry("camvid_control")
    control_end, control_minutes = 100 * control["epochs"][-1]["val/iou"], control["seconds"]["fit"] / 60
    started, started_drive = (trained("pretraining", split, max_epochs=150) for split in ("official", "drive"))
    bundled, card = entry("bundled"), (ROOT / "segkit" / "bundled" / "README.md").read_text()
    _, scored_on_camvid = card.split("`segkit evaluate data=camvid", 1)
    found = re.search(r"^[|] road [|] ([0-9.]+)", scored_on_camvid, re.MULTILINE)
    assert found is not None
    small = f"road IoU {float(found[1]):.1f} (all parts), one seed"
    fcn, fpn = "FCN-8s, VGG16-BN", "FPN, VGG16-BN"
    end = "last_epoch"
    return [
        f"| CamVid, 11 classes | {fcn} | `camvid` | mean IoU {percent(camvid[end]['iou'])} "
        f"| {percent(camvid_drive[end]['iou'])} | {minutes(camvid_drive)} | [camvid](experiments/camvid) |",
        f"| CamVid, 11 classes | {fpn} | `camvid_best` | mean IoU {percent(best[end]['iou'])} "
        f"| {percent(best_drive[end]['iou'])} | {minutes(best_drive)} | [camvid](experiments/camvid) |",
        f"| the same, 8 views averaged | {fpn} | `camvid_best` | mean IoU {percent(averaged['scores']['mean_iou'])} "
        "| – | – | [camvid_average](experiments/camvid_average) |",
        f"| CamVid, 11 classes | {fcn} | `camvid_control` | mean IoU {control_end:.1f} (1 seed) "
        f"| – | {control_minutes:.1f} | [camvid_control](experiments/camvid_control) |",
        f"| CamVid's road, from a start on generated scenes | {fpn} | `camvid_road` "
        f"| road IoU {percent(started[end]['iou/road'])} | {percent(started_drive[end]['iou/road'])} "
        f"| {minutes(started_drive)} | [pretraining](experiments/pretraining) |",
        f"| 289 generated scenes | {fcn} | `scenes` | MaxF from above {percent(scenes[end]['road/bev/MaxF'], 1)} "
        f"| – | {minutes(scenes)} | [scenes](experiments/scenes) |",
        f"| CamVid's road, from generated scenes alone | FPN, ResNet-34 | `sim2real` | {road} "
        "| – | – | [sim2real](experiments/sim2real) |",
        f"| the same, by the network that comes along | FPN, MobileNetV3 | `bundled` | {small} "
        f"| – | {bundled['seconds']['fit'] / 60:.1f} | [its card](segkit/bundled/README.md) |",
    ]


def start_rows() -> list[str]:
    rows = []
    for start, scenes, epochs in (
        ("random", None, 40),
        ("2 000 scenes", 2000, 40),
        ("20 000 scenes", 20000, 40),
        ("60 000 scenes", 60000, 40),
        ("random", None, 150),
        ("20 000 scenes", 20000, 150),
    ):
        cells = []
        for split in ("official", "drive"):
            init_from = f"outputs/runs/scenes_{scenes}" if scenes else None
            try:
                if epochs == 150 and not scenes:
                    found = recipe("camvid", "camvid_best", split)
                else:
                    found = trained("pretraining", split, max_epochs=epochs, init_from=init_from)
            except ValueError:  # not measured
                cells.append("–")
            else:
                cells.append(percent(found["last_epoch"]["iou"]))
        rows.append(f"| {start} | {epochs} | {' | '.join(cells)} |")
    return rows


def test_the_table_of_starts_is_that_of_the_lab_book() -> None:
    page = (ROOT / "docs" / "networks.md").read_text().splitlines()
    assert [row for row in start_rows() if row not in page] == []


def test_the_table_of_results_is_that_of_the_lab_book() -> None:
    readme = (ROOT / "README.md").read_text().splitlines()
    assert [row for row in rows() if row not in readme] == []
