"""The tables of results in README and docs say what the entries of the lab book say."""

import csv
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

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


def pooled(*parts: dict[str, float]) -> dict[str, float]:
    """Mean, sample standard deviation and count of all seeds, from those of each entry."""
    count = sum(part["count"] for part in parts)
    mean = sum(part["count"] * part["mean"] for part in parts) / count
    within = sum((part["count"] - 1) * (part["sd"] or 0) ** 2 for part in parts)
    between = sum(part["count"] * (part["mean"] - mean) ** 2 for part in parts)
    return {"count": count, "mean": mean, "sd": ((within + between) / (count - 1)) ** 0.5}


def test_pooled_seeds_are_as_if_reported_together() -> None:
    one = {"mean": 1.0, "sd": None, "count": 1}
    found = pooled({"mean": 3.5, "sd": 0.5**0.5, "count": 2}, one)  # 3, 4 and 1
    assert found == {"count": 3, "mean": 8 / 3, "sd": pytest.approx((7 / 3) ** 0.5)}


def minutes(found: dict[str, Any]) -> str:
    return f"{found['seconds']['fit']['mean'] / 60:.1f}"


def rows() -> list[str]:
    """Scores are those of the last epoch, which nothing has chosen."""
    end = "last_epoch"
    camvid, best = recipe("camvid", "camvid", "official"), recipe("camvid", "camvid_best", "official")
    camvid_drive, best_drive = recipe("camvid", "camvid", "drive"), recipe("camvid", "camvid_best", "drive")
    averaged, scenes = recipe("camvid_average", "camvid_best"), recipe("scenes", "scenes")
    seen = {one["part"]: one["classes"]["iou"]["road"] for one in entry("sim2real")["evaluations"].values()}
    road = f"road IoU {100 * seen['val']:.1f} (train part {100 * seen['train']:.1f}), one seed"
    control = entry("camvid_control")
    control_end, control_minutes = 100 * control["epochs"][-1]["val/iou"], control["seconds"]["fit"] / 60
    started, started_drive = (trained("pretraining", split, max_epochs=150) for split in ("official", "drive"))
    third = entry("camvid_road")["epochs"][-1]["val/iou/road"]
    road_drive = pooled(started_drive[end]["iou/road"], {"mean": third, "sd": None, "count": 1})
    best_drives = pooled(best_drive[end]["iou"], long_drive()[end]["iou"])
    bundled, card = entry("bundled"), (ROOT / "segkit" / "bundled" / "README.md").read_text()
    _, scored_on_camvid = card.split("`segkit evaluate data=camvid", 1)
    found = re.search(r"^[|] road [|] ([0-9.]+)", scored_on_camvid, re.MULTILINE)
    assert found is not None
    small = f"road IoU {float(found[1]):.1f} (all parts), one seed"
    fcn, fpn = "FCN-8s, VGG16-BN", "FPN, VGG16-BN"
    return [
        f"| CamVid, 11 classes | {fcn} | `camvid` | mean IoU {percent(camvid[end]['iou'])} "
        f"| {percent(camvid_drive[end]['iou'])} | {minutes(camvid_drive)} | [camvid](experiments/camvid) |",
        f"| CamVid, 11 classes | {fpn} | `camvid_best` | mean IoU {percent(best[end]['iou'])} "
        f"| {percent(best_drives)} | {minutes(best_drive)} | [camvid](experiments/camvid) |",
        f"| the same, 8 views averaged | {fpn} | `camvid_best` | mean IoU {percent(averaged['scores']['mean_iou'])} "
        "| – | – | [camvid_average](experiments/camvid_average) |",
        f"| CamVid, 11 classes | {fcn} | `camvid_control` | mean IoU {control_end:.1f} (1 seed) "
        f"| – | {control_minutes:.1f} | [camvid_control](experiments/camvid_control) |",
        f"| CamVid's road, from a start on generated scenes | {fpn} | `camvid_road` "
        f"| road IoU {percent(started[end]['iou/road'])} | {percent(road_drive)} "
        f"| {minutes(started_drive)} "
        "| [pretraining](experiments/pretraining), [camvid_road](experiments/camvid_road) |",
        f"| 289 generated scenes | {fcn} | `scenes` | MaxF from above {percent(scenes[end]['road/bev/MaxF'], 1)} "
        f"| – | {minutes(scenes)} | [scenes](experiments/scenes) |",
        f"| CamVid's road, from generated scenes alone | FPN, ResNet-34 | `sim2real` | {road} "
        "| – | – | [sim2real](experiments/sim2real) |",
        f"| the same, by the network that comes along | FPN, MobileNetV3 | `bundled` | {small} "
        f"| – | {bundled['seconds']['fit'] / 60:.1f} | [its card](segkit/bundled/README.md) |",
    ]


def long_drive() -> dict[str, Any]:
    """`camvid_best` on the drive, a further seed."""
    return trained("pretraining_seeds", "drive", max_epochs=150, init_from=None)


def started(split: str, scenes: int | None, epochs: int) -> list[dict[str, Any]]:
    """What the entries have of a start and a length; its seeds may lie in several."""
    if epochs == 150 and not scenes:
        found = [recipe("camvid", "camvid_best", split)]
        return [*found, long_drive()] if split == "drive" else found
    init_from = f"outputs/runs/scenes_{scenes}" if scenes else None
    found = []
    for name in ("pretraining", "pretraining_seeds"):
        with suppress(ValueError):  # that entry has none
            found.append(trained(name, split, max_epochs=epochs, init_from=init_from))
    if epochs == 150 and split == "drive":  # camvid_road differs in the score that chooses best.ckpt alone
        last = entry("camvid_road")["epochs"][-1]["val/iou"]
        found.append({"last_epoch": {"iou": {"mean": last, "sd": None, "count": 1}}})
    return found


def cross_rows() -> list[str]:
    """On its own CamVid the last epochs of pretraining; all else by networks of one seed."""
    cells = {}
    for one in entry("cross_set")["recipes"]:
        scores = [f"{100 * one['scores'][name]['mean']:.1f}" for name in ("mean_iou", "iou/road")]
        start = "scenes" if "scenes_objects" in one["recipe"] else "both" if "init_from" in one["recipe"] else "CamVid"
        cells[start, one["scored"].split()[0]] = f"{scores[0]} (road {scores[1]})"
    for start, scenes in (("CamVid", None), ("both", 20000)):
        (found,) = started("official", scenes, 40)
        last = found["last_epoch"]
        cells[start, "data=camvid"] = f"{percent(last['iou'])} (road {percent(last['iou/road'])})"
    return [
        f"| {start} | {cells[start, 'data=camvid']} | {cells[start, 'data=kitti_semantic']} |"
        for start in ("scenes", "CamVid", "both")
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
            scores = [found["last_epoch"]["iou"] for found in started(split, scenes, epochs)]
            cells.append((percent(pooled(*scores)) if len(scores) > 1 else percent(*scores)) if scores else "–")
        rows.append(f"| {start} | {epochs} | {' | '.join(cells)} |")
    return rows


def test_the_table_of_starts_is_that_of_the_lab_book() -> None:
    page = (ROOT / "docs" / "networks.md").read_text().splitlines()
    assert [row for row in start_rows() if row not in page] == []


def test_the_table_across_sets_is_that_of_the_lab_book() -> None:
    page = (ROOT / "docs" / "generated-scenes.md").read_text().splitlines()
    assert [row for row in cross_rows() if row not in page] == []


def test_the_table_of_results_is_that_of_the_lab_book() -> None:
    readme = (ROOT / "README.md").read_text().splitlines()
    assert [row for row in rows() if row not in readme] == []


NETWORKS = {
    "train": "FCN-8s, VGG16",
    "train-fcn-vgg16-bn": "FCN-8s, VGG16-BN",
    "train-fpn-resnet34": "FPN, ResNet-34",
    "train-unet-resnet34": "U-Net, ResNet-34",
    "train-deeplabv3plus-resnet50": "DeepLabV3+, ResNet-50",
    "train-torchvision-fcn-resnet50": "torchvision's FCN, ResNet-50",
    "train-torchvision-deeplabv3-resnet50": "torchvision's DeepLabV3, ResNet-50",
}


def speed_rows() -> list[str]:
    """Of every table of training on an H200, those of segkit."""
    rows = []
    for path in (ROOT / "experiments" / "bench").glob("train*-bf16-nhwc-pt211-h200.csv"):
        label = NETWORKS[path.name.removesuffix("-bf16-nhwc-pt211-h200.csv")]
        with path.open() as file:
            measured = {(r["height"], r["width"], r["batch"], r["program"]): r for r in csv.DictReader(file)}
        for (*case, program), row in measured.items():
            if program != "segkit":
                continue
            height, width, batch = case
            rate = float(row["images_per_second"])
            smp = measured.get((*case, "segmentation_models.pytorch, plain loop"))
            beside = "" if smp is None else smp["images_per_second"] or "it fails"
            last = f"{rate / float(beside):.1f} times" if beside[:1].isdigit() else beside
            ratios = f"{float(row['ratio_to_plain']):.1f} times | {float(row['ratio_to_bare']):.2f} times"
            images = f"{rate:,.0f}".replace(",", " ")
            rows.append(f"| {label} | {height}×{width} | {batch} | {images} images/s | {ratios} | {last} |")
    return rows


def test_the_table_of_training_speed_is_that_of_the_measurements() -> None:
    page = (ROOT / "docs" / "speed.md").read_text().splitlines()
    assert len(speed_rows()) >= 24
    assert [row for row in speed_rows() if row not in page] == []
