"""``segkit export``, and what the other commands make of its files."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import segkit as package
from segkit.predict.loading import load_ensemble
from segkit.runs.find import find_runs
from segkit.serve.warm_up import warm_up
from tests.commands.in_process import Outcome, segkit
from tests.fixtures import write_kitti
from tests.serve.serving import mask_in, serving

pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[export]'")

TRAIN = [
    *("model=fcn8", "model.encoder=vgg16_bn", "model.weights=null", "model.fc_channels=8", "model.batch_norm_fc=true"),
    *(
        "model.skip_scale=[1,1]",
        "model.init=bilinear",
        "data.root=kitti",
        "data.split=fraction",
        "data.image_shape=[32,96]",
    ),
    *("data.workers=0", "data.batch_size=4", "optimizer.learning_rate=3e-3", "trainer.gpus=0", "trainer.max_epochs=4"),
    *("trainer.compile=false", "predictions=0", "hydra.run.dir=outputs/run"),
]
RUN = "checkpoint=outputs/run"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run on KITTI road, exported as ONNX into its folder."""
    folder = tmp_path_factory.mktemp("export")
    write_kitti(folder / "kitti")
    done(segkit("train", *TRAIN, cwd=folder))
    done(segkit("export", RUN, "hydra.run.dir=outputs/export", cwd=folder))
    return folder


def done(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.err


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_the_file_was_held_against_pytorch_on_the_runs_own_pictures(place: Path) -> None:
    told = result(place / "outputs/export")
    assert told["held"]["against"] == "validation pictures of its run"
    assert told["held"]["pictures"] > 0
    assert told["held"]["differing"] <= 0.001
    assert told["held"]["confidence"] <= 2
    assert told["held"]["per_second"] > 0 and told["held"]["plain_per_second"] > 0  # noqa: PT018
    assert json.loads((place / "outputs/run/exported/best.onnx.json").read_text()) == told
    assert sorted(path.name for path in (place / "outputs/run/exported").iterdir()) == ["best.onnx", "best.onnx.json"]


def test_the_file_says_what_it_is(place: Path) -> None:
    network = package.load(place / "outputs/run/exported/best.onnx")
    about = network.about  # type: ignore[attr-defined]
    assert [item["name"] for item in about["classes"]] == ["background", "road"]
    assert about["image_shape"] == [32, 96]
    assert about["data"] == "kitti_road"
    assert about["scores"]["iou"] == result(place / "outputs/run")["scores"]["iou"]
    assert about["segkit"] == package.__version__
    assert len(about["checkpoint_sha256"]) == 64


def test_it_paints_what_the_checkpoint_paints(place: Path) -> None:
    for name, network in {"file": "outputs/run/exported/best.onnx", "run": "outputs/run"}.items():
        words = ["input=kitti/testing/image_2", f"output={name}", "format=[mask,confidence]"]
        words += ["gpus=0", "precision=fp32"]
        done(segkit("predict", f"checkpoint={network}", *words, cwd=place))
    assert result(place / "file")["precision"] == "fp32"
    for path in (place / "run/confidence").iterdir():
        masks, sure = (
            [cv2.imread(str(place / name / kind / path.name), 0).astype(int) for name in ("file", "run")]
            for kind in ("mask", "confidence")
        )
        assert (masks[0] != masks[1]).mean() <= 0.001
        assert np.abs(sure[0] - sure[1]).max() <= 1


def test_a_server_answers_from_the_file_what_it_paints(place: Path) -> None:
    file = place / "outputs/run/exported/best.onnx"
    picture = place / "kitti/testing/image_2/um_000000.png"
    segmenter = load_ensemble([file], None, "fp32", trust=[], average=[])
    with serving(segmenter) as (_, _, ask):
        warm_up(segmenter, segmenter.trained_input.image_shape, 2)
        replies = [ask("POST", "/invocations", picture.read_bytes()) for _ in range(2)]
    mask, _ = package.load(file).predict(cv2.imread(str(picture), cv2.IMREAD_COLOR_RGB))
    for reply in replies:
        np.testing.assert_array_equal(mask_in(reply.content), mask)


def test_it_is_scored_as_the_checkpoint_on_the_pictures_that_its_run_held_out(place: Path) -> None:
    for name, network in {"scored": "outputs/run/exported/best.onnx", "plain": "outputs/run"}.items():
        words = ["view=perspective", "gpus=0", f"hydra.run.dir={name}"]
        done(segkit("evaluate", f"checkpoint={network}", *words, cwd=place))
    file, plain = result(place / "scored"), result(place / "plain")
    assert file["pictures"] == plain["pictures"]
    assert file["precision"] == "as exported"
    own, theirs = (each["perspective"]["URBAN_ROAD"]["MaxF"] for each in (file, plain))
    assert own == pytest.approx(theirs, abs=0.1)


def test_a_file_elsewhere_knows_its_run_from_what_lies_beside_it(place: Path) -> None:
    words = ["format=torch", "output=shipped/road.pt2", "hydra.run.dir=outputs/torch", "half=true", "tolerance=0.01"]
    done(segkit("export", RUN, *words, cwd=place))
    [trained] = find_runs(str(place / "shipped/road.pt2"))
    assert trained.folder == place / "outputs/run"
    assert trained.checkpoint == place / "shipped/road.pt2"
    sizes = [path.stat().st_size for path in (place / "shipped/road.pt2", place / "outputs/run/exported/best.onnx")]
    assert sizes[0] < 0.6 * sizes[1]
    (place / "shipped/road.pt2.json").unlink()
    assert find_runs(str(place / "shipped/road.pt2"))[0].run is None


def test_int8_is_calibrated_on_training_pictures_and_a_file_beyond_the_tolerance_is_not_kept(place: Path) -> None:
    words = ["quantise=int8", "output=small/road.onnx", "hydra.run.dir=outputs/int8"]
    refused = segkit("export", RUN, *words, "tolerance=0", cwd=place)
    assert refused.code == 2
    assert "tolerance=0;" in refused.err
    assert list((place / "small").iterdir()) == []
    assert not (place / "outputs/int8").exists()
    done(segkit("export", RUN, *words, "tolerance=0.05", cwd=place))
    told = result(place / "outputs/int8")
    assert told["calibrated_on"] > 0
    assert told["bytes"] < 0.4 * result(place / "outputs/export")["bytes"]
    assert package.load(place / "small/road.onnx").precision == "int8"


def test_bench_measures_it(place: Path) -> None:
    words = ["what=predict", "gpus=0", "data.root=kitti", "cases=[[40,120,2]]", "into=bench"]
    done(segkit("bench", "checkpoint=outputs/run/exported/best.onnx", *words, "hydra.run.dir=outputs/bench", cwd=place))
    alone, files = result(place / "outputs/bench")["tables"]
    assert alone["rows"][0]["images_per_second"] > 0
    assert files["rows"][0]["images_per_second"] > 0


def test_code_that_a_run_names_is_not_run_unasked(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "outputs/run", tmp_path / "run")
    path = tmp_path / "run/.hydra/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["data"]["augment"] = None
    config["data"]["target"] = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    path.write_text(yaml.safe_dump(config))
    refused = segkit("export", f"checkpoint={tmp_path}/run", f"output={tmp_path}/x.onnx", cwd=place)
    assert (refused.code, "os.mkdir" in refused.err, "trust" in refused.err) == (2, True, True), refused.err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("command", "words", "line"),
    [
        ("export", [RUN], "outputs/run/exported/best.onnx is there already"),
        ("export", ["checkpoint=outputs/run/exported/best.onnx"], "is an exported file"),
        ("export", [RUN, "output=x.onnx", "against=nowhere"], "against=nowhere: no picture there"),
        ("export", [RUN, "output=x.onnx", "quantise=int8", "data.root=nowhere"], "nowhere"),
        ("export", [RUN, "output=road.pt2"], "should end in .onnx"),
        ("export", [RUN, "format=torch", "quantise=int8"], "of format=onnx alone"),
        ("export", [RUN, "half=true", "quantise=int8"], "exclude each other"),
        (
            "predict",
            ["checkpoint=outputs/run/exported/best.onnx", "input=kitti/testing/image_2", "average=[flip]"],
            "average",
        ),
        ("train", [*TRAIN[:-1], "hydra.run.dir=x", "init_from=outputs/run/exported/best.onnx"], "is an exported file"),
    ],
)
def test_what_cannot_be_is_one_line(place: Path, command: str, words: list[str], line: str) -> None:
    outcome = segkit(command, *words, cwd=place)
    assert outcome.code == 2
    assert line in outcome.err
    assert "Traceback" not in outcome.err
    assert not (place / "x.onnx").exists()
