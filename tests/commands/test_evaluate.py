"""``segkit evaluate``: of checkpoints, of saved maps, of folds, and what people do wrong with it."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from segkit.commands.evaluate import prepare, run
from segkit.commands.runner import Typed
from segkit.config.compose import combinations, composed, resolved
from segkit.config.overrides import quoted
from segkit.data.datasets.camvid import CamVidDataModule
from segkit.data.records import IGNORE_INDEX, Record
from segkit.errors import UserError
from segkit.road import BirdsEyeView, Calibration
from segkit.road.dataset import KittiRoadDataModule
from segkit.road.score import RoadScore, confidence_counts
from segkit.runs.find import find_runs
from segkit.runs.folder import RunFolder
from segkit.scenes.generate import generate_scenes
from tests.fixtures import write_calibrations, write_camvid, write_kitti
from tests.processes import SEGKIT, Ended, python

SMALL = [
    "data.image_shape=[32,64]",
    "data.workers=0",
    "augment=none",
    "model.encoder=vgg16_bn",
    "model.weights=null",
    "model.fc_channels=8",
    "model.skip_scale=[1,1]",
    "optimizer.learning_rate=1e-3",
    "trainer.gpus=0",
    "predictions=0",
]


def segkit(*words: str, cwd: Path) -> Ended:
    return python(SEGKIT, *words, cwd=cwd)


def settings(*words: str) -> dict[str, Any]:
    """The composed config of a command line, as ``run`` gets it."""
    typed = prepare(Typed([quoted(word) for word in words]))
    return resolved(composed("evaluate", typed.words, typed.config_dir, typed.base))


def evaluate(output: Path, *words: str) -> dict[str, Any]:
    folder = RunFolder(output)
    run(settings("gpus=0", *words), folder)
    folder.close()
    return json.loads((output / "result.json").read_text())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def root(work: Path) -> Path:
    write_kitti(work / "kitti")
    write_calibrations(work / "kitti")
    return work / "kitti"


@pytest.fixture(scope="module")
def trained(root: Path, work: Path) -> Path:
    words = ["data.split=fraction", "data.val_fraction=0.4", "trainer.max_epochs=4"]
    words += ["trainer.monitor=val/road/bev/MaxF", f"data.root={root}", f"hydra.run.dir={work / 'trained'}"]
    done = segkit("train", *SMALL, *words, cwd=work)
    assert done.returncode == 0, done.stderr
    return work / "trained"


@pytest.fixture(scope="module")
def folds(root: Path, work: Path) -> Path:
    words = ["-m", "data.split=fold", "data.fold=0,1,2,3,4", "trainer.max_epochs=1"]
    done = segkit("train", *SMALL, *words, f"data.root={root}", f"hydra.sweep.dir={work / 'folds'}", cwd=work)
    assert done.returncode == 0, done.stderr
    for path in (work / "folds").glob("fold_*"):  # under names that tests can say
        path.rename(work / "folds" / path.name.removeprefix("fold_").partition("-")[0])
    return work / "folds"


def data_module(root: Path, split: str = "none", fold: int = 0) -> KittiRoadDataModule:
    return KittiRoadDataModule(root, (32, 64), 1, split=split, fold=fold)  # type: ignore[arg-type]


def write_maps(root: Path, folder: Path, above: int | None = None) -> Path:
    """The labels of a tree as perfect maps; with ``above``, from above and shifted to the right by so many cells."""
    folder.mkdir(parents=True)
    data, view = data_module(root), BirdsEyeView()
    for record in data.records("train"):
        assert record.label is not None
        pixels = (data.read_label(record.label) == 1).astype(np.uint8) * 255
        if above is not None:
            calibration = Calibration.from_file(record.extra["calibration"])
            pixels = np.roll(view.warp(pixels, calibration), above, axis=1)
        cv2.imwrite(str(folder / record.name.replace("_", "_road_")) + ".png", pixels)
    return folder


def test_training_logs_the_benchmarks_scores_and_selects_on_them(trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    names = {f"road/{view}/{figure}" for view in ("perspective", "bev") for figure in ("MaxF", "AP")}
    assert names <= result["scores"].keys()
    epochs = [epoch["val/road/bev/MaxF"] for epoch in result["epochs"]]
    assert result["best"]["epoch"] == 1 + epochs.index(max(epochs))
    assert result["scores"]["road/bev/MaxF"] == max(epochs)


def test_a_network_is_scored_as_it_was_during_training(trained: Path, tmp_path: Path) -> None:
    scores = json.loads((trained / "result.json").read_text())["scores"]
    result = evaluate(tmp_path / "out", f"checkpoint={trained}")
    assert result["pictures"] == {"um": 2, "umm": 2, "uu": 2}
    for view in ("perspective", "bev"):
        assert list(result[view]) == ["UM_ROAD", "UMM_ROAD", "UU_ROAD", "URBAN_ROAD"]
        for figure in ("MaxF", "AP"):
            # A last bit of a probability may round the other way in a batch of another size.
            assert result[view]["URBAN_ROAD"][figure] == pytest.approx(scores[f"road/{view}/{figure}"], abs=0.05)
        assert 0 <= result[view]["URBAN_ROAD"]["threshold"] <= 1
    assert result["classes"]["iou"]["road"] == pytest.approx(scores["iou"], abs=1e-3)
    assert sum(map(sum, result["classes"]["confusion"]["pixels"])) > 0
    for view in ("perspective", "bev"):
        assert (tmp_path / "out" / "figures" / f"precision_recall_{view}.png").is_file()
        shown = sorted(path.name.split("_")[0] for path in (tmp_path / "out/figures/clean" / view).iterdir())
        assert shown == ["best"] * 3 + ["worst"] * 3
    assert list((tmp_path / "out" / "tensorboard").iterdir())
    assert len((tmp_path / "out" / "pictures.csv").read_text().splitlines()) == 1 + 6
    assert not list((tmp_path / "out").rglob("confusion.png"))  # the benchmark has figures of its own


def test_the_data_settings_are_those_of_the_run_unless_given(trained: Path, root: Path) -> None:
    data = settings(f"checkpoint={trained}")["data"]
    assert (data["root"], data["image_shape"], data["split"]) == (str(root), [32, 64], "fraction")
    data = settings(f"checkpoint={trained / 'checkpoints' / 'last.ckpt'}", "data.image_shape=[64,128]")["data"]
    assert (data["root"], data["image_shape"], data["resize"]) == (str(root), [64, 128], [64, 128])
    data = settings(f"checkpoint=[{trained},nowhere]")["data"]
    assert (data["root"], data["image_shape"], data["split"]) == (str(root), [32, 64], "fraction")
    data = settings(f"checkpoint={trained}", "data=camvid")["data"]
    assert (data["root"], data["image_shape"]) == ("data/camvid", [32, 64])


def test_several_networks_each_have_the_data_settings_of_their_run(trained: Path, folds: Path) -> None:
    words = [f"checkpoint={trained},{folds / '1'}", "severity=1,2"]
    found = [settings(*chosen) for chosen in combinations(words, None)]
    assert [(each["data"]["split"], each["data"]["fold"], each["severity"]) for each in found] == [
        ("fraction", 0, 1),
        ("fraction", 0, 2),
        ("fold", 1, 1),
        ("fold", 1, 2),
    ]


def test_a_checkpoint_away_from_its_run_is_said_to_be_so(
    trained: Path, root: Path, tmp_path: Path, caplog: Any
) -> None:
    (tmp_path / "away.ckpt").write_bytes((trained / "checkpoints" / "best.ckpt").read_bytes())
    words = [f"checkpoint={tmp_path / 'away.ckpt'}", f"data.root={root}", "data.split=fold", "view=perspective"]
    result = evaluate(tmp_path / "out", *words)
    assert "lies in no run folder, so nobody knows which pictures it was trained on" in caplog.text
    assert "the network was trained at 32×64 and is scored at 160×576" in caplog.text
    assert result["training"] == [[]]


def test_clean_and_corrupted_stand_side_by_side(trained: Path, tmp_path: Path, caplog: Any) -> None:
    clean = evaluate(tmp_path / "clean", f"checkpoint={trained}", "view=bev")
    with caplog.at_level("INFO"):
        both = evaluate(tmp_path / "both", f"checkpoint={trained}", "view=bev", "corruption=night", "severity=5")
    assert both["bev"] == clean["bev"]
    assert both["corrupted"]["corruption"] == "night 5"
    assert both["corrupted"]["bev"] != clean["bev"]
    assert "perspective" not in both
    assert "night 5" in caplog.text
    assert (tmp_path / "both" / "figures" / "night_5" / "bev").is_dir()


def test_labels_score_100_against_themselves_and_shifted_ones_do_not(tmp_path: Path) -> None:
    generate_scenes(tmp_path / "scenes", (4, 0), seed=3, workers=1)
    words = [f"data.root={tmp_path / 'scenes'}", "part=all"]
    perfect = write_maps(tmp_path / "scenes", tmp_path / "perfect")
    result = evaluate(tmp_path / "a", *words, f"predictions={perfect}", "view=both")
    for view in ("perspective", "bev"):
        for name, figures in result[view].items():
            assert figures["MaxF"] == figures["AP"] == figures["PRE"] == figures["REC"] == 100, (view, name)
            assert figures["FPR"] == figures["FNR"] == 0
    assert sum(result["pictures"].values()) == 4
    assert not (tmp_path / "a" / "pictures.csv").exists()  # of maps no classes are known
    above = write_maps(tmp_path / "scenes", tmp_path / "above", above=0)
    assert evaluate(tmp_path / "b", *words, f"predictions={above}", "view=bev")["bev"] == result["bev"]
    shifted = write_maps(tmp_path / "scenes", tmp_path / "shifted", above=10)  # 10 cells are 0.5 m
    figures = evaluate(tmp_path / "c", *words, f"predictions={shifted}", "view=bev")["bev"]["URBAN_ROAD"]
    assert 60 < figures["MaxF"] < 98


def test_a_category_without_pictures_is_said_and_not_scored(root: Path, tmp_path: Path) -> None:
    maps = write_maps(root, tmp_path / "maps")
    for path in root.rglob("*uu_*"):
        target = tmp_path / "rest" / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    result = evaluate(tmp_path / "out", f"data.root={tmp_path / 'rest'}", f"predictions={maps}", "part=all")
    assert result["bev"]["UM_ROAD"] == dict.fromkeys(["MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold"]) | {
        "reason": "no pictures"
    }
    assert result["bev"]["UU_ROAD"]["MaxF"] == result["bev"]["URBAN_ROAD"]["MaxF"] == 100


def test_the_lane_has_one_benchmark(root: Path, tmp_path: Path) -> None:
    data = KittiRoadDataModule(root, (32, 64), 1, target="lane", split="none")
    (tmp_path / "maps").mkdir()
    for record in data.records("train"):
        assert record.label is not None
        lane = (data.read_label(record.label) == 1).astype(np.uint8) * 200
        cv2.imwrite(str(tmp_path / "maps" / record.name.replace("_", "_lane_")) + ".png", lane)
    words = [f"data.root={root}", "data.target=lane", f"predictions={tmp_path / 'maps'}", "part=all"]
    result = evaluate(tmp_path / "out", *words)
    assert list(result["perspective"]) == list(result["bev"]) == ["UM_LANE"]
    assert result["bev"]["UM_LANE"]["MaxF"] == 100


def test_folds_are_joined_by_their_counts(folds: Path, root: Path, tmp_path: Path) -> None:
    from segkit.models.full_size import to_confidence
    from segkit.models.trained import read_checkpoint
    from segkit.predict.predictor import Predictor

    joined = evaluate(tmp_path / "out", f"checkpoint={folds}", "view=perspective")
    assert joined["pictures"] == {"um": 6, "umm": 6, "uu": 6}
    assert len(joined["checkpoint"]) == 5
    # By hand: each picture by the network that did not see it, all counts in one score.
    score = RoadScore()
    for number, trained in enumerate(find_runs(str(folds))):
        predictor = Predictor(read_checkpoint(trained.checkpoint, "checkpoint"))
        data = data_module(root, "fold", number)
        for record in data.records("val"):
            assert record.label is not None
            image = cv2.imread(str(record.image))[..., ::-1]
            confidence = to_confidence(predictor.probabilities(np.ascontiguousarray(image))[1])
            label = torch.from_numpy(data.read_label(record.label))
            assert int((label == IGNORE_INDEX).sum()) > 0
            score.add(confidence_counts(confidence, label), record.group)
    for name, figures in score.compute().items():
        assert joined["perspective"][name] == pytest.approx(figures)


def scored_by_hand(root: Path, probabilities: Any) -> dict[str, Any]:
    """The road score in the picture of what ``trained`` held out, from each picture's probabilities (2, H, W)."""
    from segkit.models.full_size import to_confidence

    score = RoadScore()
    for record in KittiRoadDataModule(root, (32, 64), 1, split="fraction", val_fraction=0.4).records("val"):
        assert record.label is not None
        image = cv2.cvtColor(cv2.imread(str(record.image)), cv2.COLOR_BGR2RGB)
        label = torch.from_numpy(data_module(root).read_label(record.label))
        score.add(confidence_counts(to_confidence(probabilities(image)[1]), label), record.group)
    return score.compute()


def test_views_are_averaged_and_the_scores_say_so(trained: Path, root: Path, tmp_path: Path, caplog: Any) -> None:
    import segkit

    words = [f"checkpoint={trained}", "view=perspective"]
    with caplog.at_level("INFO"):
        plain = evaluate(tmp_path / "plain", *words)
    assert (plain["average"], plain["networks"]) == ([], 1)
    assert "average=" not in caplog.text
    with caplog.at_level("INFO"):
        result = evaluate(tmp_path / "mean", *words, "average=[flip,0.5]")
    assert (result["average"], result["networks"]) == (["flip", 0.5], 1)
    assert caplog.text.count("average=[flip,0.5]:\n") == 2  # over the road's table and the classes'
    network = segkit.load(trained)

    def by_hand(image: np.ndarray) -> torch.Tensor:
        half = segkit.load(trained)
        half.picture_input = half.picture_input.of([16, 32])
        views = [network.probabilities(image), half.probabilities(image)]
        mirrored = np.ascontiguousarray(image[:, ::-1])
        return sum([*views, *(each.probabilities(mirrored).flip(-1) for each in (network, half))]) / 4  # type: ignore[return-value]

    for name, figures in scored_by_hand(root, by_hand).items():
        assert result["perspective"][name] == pytest.approx(figures, abs=0.2)
    change = result["perspective"]["URBAN_ROAD"]["MaxF"] - plain["perspective"]["URBAN_ROAD"]["MaxF"]
    assert abs(change) > 0.4


def test_several_networks_are_averaged_over_the_pictures_of_the_first(
    trained: Path, folds: Path, root: Path, tmp_path: Path, caplog: Any
) -> None:
    import segkit

    places = [trained, folds / "1", folds / "4"]
    with caplog.at_level("INFO"):
        result = evaluate(tmp_path / "out", f"checkpoint=[{','.join(map(str, places))}]", "view=perspective")
    assert result["checkpoint"] == [str(place / "checkpoints" / "best.ckpt") for place in places]
    assert (result["average"], result["networks"], len(result["training"])) == ([], 3, 3)
    assert result["pictures"] == {"um": 2, "umm": 2, "uu": 2}
    assert caplog.text.count("mean of 3 networks:\n") == 2
    (seen,) = [line for line in caplog.messages if " was trained on " in line]  # fold 4 has held them out too
    assert f"{folds / '1'} was trained on 6 of the 6 pictures that are scored" in seen
    networks = [segkit.load(place) for place in places]
    expected = scored_by_hand(root, lambda image: torch.stack([each.probabilities(image) for each in networks]).mean(0))
    for name, figures in expected.items():
        assert result["perspective"][name] == pytest.approx(figures, abs=0.2)


def test_what_cannot_be_averaged_is_said(trained: Path, folds: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"checkpoint: .*folds/checkpoints/best\.ckpt does not exist; give a"):
        evaluate(tmp_path / "a", f"checkpoint=[{trained},{folds}]")
    best = trained / "checkpoints" / "best.ckpt"
    with pytest.raises(UserError, match=r"checkpoint: .*best\.ckpt is given twice"):
        evaluate(tmp_path / "b", f"checkpoint=[{trained},{best}]")
    content = torch.load(best, weights_only=True)
    content["segkit"]["classes"][1]["name"] = "lane"
    torch.save(content, tmp_path / "lane.ckpt")
    with pytest.raises(UserError, match=r"best\.ckpt and .*lane\.ckpt cannot be averaged, their classes are"):
        evaluate(tmp_path / "c", f"checkpoint=[{trained},{tmp_path / 'lane.ckpt'}]")


def test_folds_that_do_not_make_a_whole_are_refused(folds: Path, root: Path, tmp_path: Path) -> None:
    def linked(name: str, numbers: list[int]) -> Path:
        (tmp_path / name).mkdir()
        for i, number in enumerate(numbers):
            (tmp_path / name / str(i)).symlink_to(folds / str(number))
        return tmp_path / name

    with pytest.raises(UserError, match=r"pictures are held out by no run; data\.fold=2 is missing"):
        evaluate(tmp_path / "a", f"checkpoint={linked('four', [0, 1, 3, 4])}")
    with pytest.raises(UserError, match="two runs hold out fold 2"):
        evaluate(tmp_path / "b", f"checkpoint={linked('twice', [0, 2, 2])}")
    with pytest.raises(UserError, match=r"part=all: folds are joined over their held-out pictures"):
        evaluate(tmp_path / "c", f"checkpoint={folds}", "part=all")
    with pytest.raises(UserError, match=r"15 pictures are held out by no run; data\.fold=0,1,2,4 is missing"):
        evaluate(tmp_path / "d", f"checkpoint={linked('one', [3])}")
    with pytest.raises(UserError, match="each run of a sweep has its own held-out part"):
        evaluate(tmp_path / "e", f"checkpoint={folds}", "data.split=fraction")
    with pytest.raises(UserError, match="leave split and fold out"):
        evaluate(tmp_path / "f", f"checkpoint={folds}", "data.fold=2")


def test_folds_are_of_one_training_and_finished(folds: Path, tmp_path: Path) -> None:
    shutil.copytree(folds, tmp_path / "unlike")
    config = tmp_path / "unlike" / "3" / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("learning_rate: 0.001", "learning_rate: 0.1"))
    with pytest.raises(UserError, match=r"no folds of one training, optimizer\.learning_rate is 0\.001 and 0\.1"):
        evaluate(tmp_path / "a", f"checkpoint={tmp_path / 'unlike'}")
    shutil.copytree(folds, tmp_path / "cut")
    (tmp_path / "cut" / "4" / "result.json").write_text('{"status": "interrupted"}')
    with pytest.raises(UserError, match=r"cut/4 has not finished; resume="):
        evaluate(tmp_path / "b", f"checkpoint={tmp_path / 'cut'}")


@pytest.fixture(scope="module")
def camvid(work: Path) -> Path:
    """A run on CamVid, whose data set lies beside it and has a test part of two pictures, without labels yet."""
    root = write_camvid(work / "camvid")
    for i, path in enumerate(sorted((root / "val").iterdir())[:2]):
        target = root / "test" / f"Seq05VD_{i:05d}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    words = ["data=camvid", f"data.root={root}", "trainer.max_epochs=1"]
    done = segkit("train", *SMALL, *words, f"hydra.run.dir={work / 'camvid_run'}", cwd=work)
    assert done.returncode == 0, done.stderr
    return work / "camvid_run"


def test_another_data_set_has_class_scores_alone(camvid: Path, tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level("INFO"):
        result = evaluate(tmp_path / "out", f"checkpoint={camvid}")
    assert "perspective" not in result
    classes = result["classes"]
    assert len(classes["confusion"]["pixels"]) == 11
    assert classes["pictures"] == dict.fromkeys(classes["iou"], 3)
    assert list(classes["iou"])[:3] == ["sky", "building", "pole"]  # in their order
    low, high = classes["interval"]["mean_iou"]
    assert 0 <= low <= classes["mean_iou"] <= high <= 1
    # Ten classes of four columns each: all but the first and the last column lie within 3 px of another class.
    assert classes["trimap_iou"]["pixels"] == 3 * 26 * 38
    assert "trimap IoU" in caplog.text
    figures = sorted(path.name for path in (tmp_path / "out" / "figures" / "clean").iterdir())
    assert figures[0] == "confusion.png"
    assert [name[:8] for name in figures[1:]] == ["worst_1_", "worst_2_", "worst_3_"]
    with open(tmp_path / "out" / "pictures.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == [f"0016E5_{i:05d}" for i in range(3)]
    lowest = min(rows, key=lambda row: float(row["mean_iou"]))
    assert figures[1] == f"worst_1_{lowest['picture']}.png"
    # Pictures are of one size, and no two of them hold unlike numbers of a class.
    assert sum(float(row["accuracy"]) for row in rows) / 3 == pytest.approx(classes["accuracy"], abs=1e-5)
    with pytest.raises(UserError, match=r"its classes .* are not those of data"):
        evaluate(tmp_path / "b", f"checkpoint={camvid}", "data.classes=road")


def test_every_part_that_has_labels_is_scored(camvid: Path, tmp_path: Path, caplog: Any) -> None:
    words = [f"checkpoint={camvid}"]
    with pytest.raises(UserError, match=r"^part=test: none of its 2 pictures has a label, so nothing can be scored$"):
        evaluate(tmp_path / "a", *words, "part=test")
    assert "was trained on" not in caplog.text
    assert evaluate(tmp_path / "b", *words, "part=all")["pictures"] == {"0001TP": 6, "0016E5": 3}
    assert f"{camvid} was trained on 6 of the 9 pictures that are scored" in caplog.text
    caplog.clear()
    drive = evaluate(tmp_path / "g", *words, "data.split=drive")
    assert drive["pictures"] == {"0001TP": 6}
    assert f"{camvid} was trained on 6 of the 6 pictures that are scored" in caplog.text
    caplog.clear()
    root = tmp_path / "camvid"
    shutil.copytree(camvid.parent / "camvid", root)
    (root / "testannot").mkdir()
    for i, path in enumerate(sorted((root / "valannot").iterdir())[:2]):
        shutil.copy(path, root / "testannot" / f"Seq05VD_{i:05d}.png")
    words.append(f"data.root={root}")
    assert evaluate(tmp_path / "c", *words, "part=test")["pictures"] == {"Seq05VD": 2}
    assert evaluate(tmp_path / "d", *words, "part=train")["pictures"] == {"0001TP": 6}
    assert "was trained on" not in caplog.text  # that of another folder nobody can tell, and part=train asks for them
    assert evaluate(tmp_path / "e", *words, "part=all")["pictures"] == {"0001TP": 6, "0016E5": 3, "Seq05VD": 2}


def test_pictures_without_a_label_are_left_out_and_counted(
    camvid: Path, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_one_bare(self: CamVidDataModule, part: str) -> list[Record]:
        first, *others = self.layout.parts[part]
        return [replace(first, label=None), *others]

    monkeypatch.setattr(CamVidDataModule, "records", with_one_bare)
    assert evaluate(tmp_path / "out", f"checkpoint={camvid}")["pictures"] == {"0016E5": 2}
    assert "part=val: 1 of 3 pictures have no label, and are left out" in caplog.text


def test_corrupted_pictures_have_figures_and_lines_of_their_own(camvid: Path, tmp_path: Path) -> None:
    result = evaluate(tmp_path / "out", f"checkpoint={camvid}", "corruption=night", "severity=5")
    assert result["corrupted"]["classes"]["pixels"] == result["classes"]["pixels"]
    for condition in ("clean", "night_5"):
        assert (tmp_path / "out" / "figures" / condition / "confusion.png").is_file()
    lines = (tmp_path / "out" / "pictures.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in lines[1:]] == ["clean"] * 3 + ["night 5"] * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predictions=a", "checkpoint=b"], r"give checkpoint=.* or predictions="),
        (["predictions=a", "corruption=fog"], "saved maps cannot be corrupted"),
        (["predictions=a", "average=[flip]"], "average: saved maps are scored as they are; it goes with checkpoint="),
        (["predictions=a", "data.unscored=road"], "use data.unscored=ignore"),
        (["predictions=nothing", "part=all"], "predictions=nothing: no such folder"),
        (["predictions=.", "data.split=none"], "part=val: there are no such pictures"),
        (["predictions=.", "part=test", "data.split=fraction"], "part=test: none of its 6 pictures has a label"),
        (["checkpoint=nothing"], "checkpoint: nothing does not exist"),
    ],
)
def test_what_cannot_be_scored_is_said(words: list[str], message: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(tmp_path / "out", f"data.root={root}", *words)


def test_birds_eye_view_needs_calibrations(root: Path, tmp_path: Path) -> None:
    write_kitti(tmp_path / "bare", count=2, tests=0)
    maps = write_maps(tmp_path / "bare", tmp_path / "maps")
    words = [f"data.root={tmp_path / 'bare'}", f"predictions={maps}", "part=all"]
    with pytest.raises(UserError, match=r"view=both: 6 of 6 pictures have no calibration .*calib/um_000000\.txt"):
        evaluate(tmp_path / "a", *words)
    assert evaluate(tmp_path / "b", *words, "view=perspective")["perspective"]["URBAN_ROAD"]["MaxF"] == 100
    words = [*SMALL, f"data.root={tmp_path / 'bare'}", "data.split=fraction", "trainer.monitor=val/road/bev/AP"]
    done = segkit("train", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "no such score; 1 of 1 validation pictures have no calibration; there are val/loss, " in done.stderr
    assert "val/road/perspective/MaxF" in done.stderr


def test_scores_are_kept_when_a_picture_cannot_be_shown(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root")
    maps = write_maps(root, tmp_path / "maps")
    for image in (tmp_path / "root" / "training" / "image_2").glob("*.png"):
        image.write_bytes(image.read_bytes()[:-200])  # its header is whole
    words = [f"predictions={maps}", f"data.root={tmp_path / 'root'}", "part=all"]
    with pytest.raises(UserError, match=r"\.png is truncated"):
        evaluate(tmp_path / "out", *words)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["bev"]["URBAN_ROAD"]["MaxF"] == 100


def test_a_label_of_another_size_than_its_picture_is_named(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root")
    maps = write_maps(root, tmp_path / "maps")
    label = tmp_path / "root" / "training" / "gt_image_2" / "um_road_000002.png"
    pixels = cv2.imread(str(label))
    cv2.imwrite(str(label), pixels[1:])
    words = [f"predictions={maps}", f"data.root={tmp_path / 'root'}", "part=all"]
    with pytest.raises(UserError, match=r"gt_image_2/um_road_000002\.png is \d+×\d+, its image \d+×\d+"):
        evaluate(tmp_path / "a", *words)
    label.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"gt_image_2/um_road_000002\.png is no PNG"):
        evaluate(tmp_path / "b", *words)


def test_all_damaged_maps_are_named_at_once(root: Path, tmp_path: Path) -> None:
    maps = write_maps(root, tmp_path / "maps")
    for name in ("um_road_000001", "uu_road_000004"):
        path = maps / f"{name}.png"
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"(?s)files that cannot be decoded: 2\n.*um_road_000001.*uu_road_000004"):
        evaluate(tmp_path / "out", f"data.root={root}", f"predictions={maps}", "part=all")


def test_figures_of_an_evaluation_before_are_gone(root: Path, tmp_path: Path) -> None:
    maps = write_maps(root, tmp_path / "maps")
    words = [f"data.root={root}", f"predictions={maps}", "part=all"]
    evaluate(tmp_path / "out", *words, "view=perspective")
    mine = tmp_path / "out" / "figures" / "clean" / "mine.png"
    mine.touch()
    evaluate(tmp_path / "out", *words, "view=bev")
    assert mine.exists()
    assert not list((tmp_path / "out" / "figures" / "clean" / "perspective").iterdir())
    assert len(list((tmp_path / "out" / "tensorboard").iterdir())) == 1
    assert [path.name for path in (tmp_path / "out" / "figures").glob("*.png")] == ["precision_recall_bev.png"]


def test_a_mistake_leaves_one_line_and_code_2(root: Path, tmp_path: Path) -> None:
    maps = write_maps(root, tmp_path / "maps")
    (maps / "um_road_000003.png").unlink()
    cv2.imwrite(str(maps / "uu_road_000001.png"), np.zeros((40, 120), np.uint16))
    done = segkit("evaluate", f"predictions={maps}", f"data.root={root}", "part=all", cwd=tmp_path)
    assert done.returncode == 2
    assert "um_road_000003.png" in done.stderr
    assert "uu_road_000001.png is 16-bit" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_real_labels_score_100_against_themselves(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "kitti_road" / "training"
    for folder, pattern in (("image_2", "um_00000[01].png"), ("gt_image_2", "um_road_*.png")):
        (tmp_path / "root" / "training" / folder).mkdir(parents=True)
        for path in (source / folder).glob(pattern):
            (tmp_path / "root" / "training" / folder / path.name).symlink_to(path)
    calib = sorted((shared_data / "kitti_road" / "testing" / "calib").glob("*.txt"))[0]  # of a picture as large
    (tmp_path / "root" / "training" / "calib").mkdir()
    for name in ("um_000000", "um_000001"):
        (tmp_path / "root" / "training" / "calib" / f"{name}.txt").symlink_to(calib)
    maps = write_maps(tmp_path / "root", tmp_path / "maps")
    result = evaluate(tmp_path / "out", f"data.root={tmp_path / 'root'}", f"predictions={maps}", "part=all")
    assert result["bev"]["UM_ROAD"]["MaxF"] == result["perspective"]["UM_ROAD"]["MaxF"] == 100
