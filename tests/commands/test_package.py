"""``segkit package``: a folder that stands for the run that it was made of."""

import importlib.util
import json
import logging
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

import segkit as library
from tests.commands.in_process import Outcome, segkit
from tests.fixtures import write_kitti

TRAIN = [
    *("model=fpn", "model.encoder=resnet18", "model.weights=null", "model.decoder.width=8", "data.root=kitti"),
    *("data.split=fraction", "data.image_shape=[32,96]", "data.workers=0", "data.batch_size=4", "trainer.gpus=0"),
    *("trainer.max_epochs=2", "trainer.compile=false", "predictions=2", "hydra.run.dir=outputs/run"),
]
PICTURE = "kitti/testing/image_2/um_000000.png"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run on KITTI road, and the package ``nets/road`` of it."""
    folder = tmp_path_factory.mktemp("package")
    write_kitti(folder / "kitti")
    done(segkit("train", *TRAIN, cwd=folder))
    done(segkit("package", "checkpoint=outputs/run", "output=nets/road", "license=apache-2.0", cwd=folder))
    return folder


def done(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.err
    logging.disable(logging.NOTSET)
    return outcome


def result(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return read


def test_a_package_predicts_what_its_run_predicts(place: Path) -> None:
    picture = cv2.imread(str(place / PICTURE), cv2.IMREAD_COLOR_RGB)
    own, given = (library.load(place / folder) for folder in ("outputs/run", "nets/road"))
    assert given.class_list == own.class_list
    for one, other in zip(own.predict(picture), given.predict(picture), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_package_is_scored_predicted_with_and_trained_on_like_its_run(place: Path) -> None:
    data = ["data.root=kitti", "data.split=fraction", "data.image_shape=[32,96]", "view=perspective", "gpus=0"]
    for checkpoint, into in (("outputs/run", "own"), ("nets/road", "given")):
        done(segkit("evaluate", f"checkpoint={checkpoint}", *data, f"hydra.run.dir={into}", cwd=place))
    assert result(place / "given")["classes"] == result(place / "own")["classes"]
    assert result(place / "given")["perspective"] == result(place / "own")["perspective"]
    done(segkit("predict", "checkpoint=nets/road", f"input={PICTURE}", "output=painted", "gpus=0", cwd=place))
    assert (place / "painted/overlay/um_000000.png").is_file()
    further = [word for word in TRAIN if not word.startswith(("hydra.run.dir", "predictions"))]
    told = segkit("train", *further, "init_from=nets/road", "predictions=0", "hydra.run.dir=further", cwd=place)
    assert "not taken" not in done(told).err + told.out
    assert "tensors taken" in told.err + told.out


def test_the_card_says_what_the_run_reached(place: Path) -> None:
    card = (place / "nets/road/README.md").read_text()
    _, front, text = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert (metadata["license"], metadata["pipeline_tag"]) == ("apache-2.0", "image-segmentation")
    best = result(place / "outputs/run")
    assert f"| iou | {best['scores']['iou']:.4f} |" in text
    assert "| 1 | road |" in text
    assert "pictures: train 15, val 3, test 6" in text
    assert "model.decoder.width=8" in text
    shown = sorted(path.name for path in (place / "nets/road/pictures").iterdir())
    assert len(shown) == 2
    assert all(f"](pictures/{name})" in text for name in shown)
    assert "{" not in text
    lines = text.splitlines()
    assert all(not lines[i - 1] and not lines[i + 1] for i, line in enumerate(lines) if line.startswith("## "))


def test_half_the_bits_are_kept_and_the_network_computes_with_them(place: Path) -> None:
    done(segkit("package", "checkpoint=outputs/run", "output=nets/half", "half=true", "pictures=0", cwd=place))
    sizes = [(place / folder / "model.safetensors").stat().st_size for folder in ("nets/road", "nets/half")]
    assert 0.45 < sizes[1] / sizes[0] < 0.55
    whole, half = (library.load(place / folder) for folder in ("nets/road", "nets/half"))
    picture = cv2.imread(str(place / PICTURE), cv2.IMREAD_COLOR_RGB)
    difference = (whole.probabilities(picture) - half.probabilities(picture)).abs()
    assert 0 < difference.max() < 0.1
    again = segkit("package", "checkpoint=nets/half", "output=nets/again", "half=true", cwd=place)
    assert done(again).code == 0
    weights = [(place / folder / "model.safetensors").read_bytes() for folder in ("nets/half", "nets/again")]
    assert weights[0] == weights[1]


def test_the_card_shows_evaluations_of_the_very_weights(place: Path) -> None:
    score = ["data.root=kitti", "data.split=fraction", "view=perspective", "gpus=0"]
    done(segkit("evaluate", "checkpoint=nets/road", *score, "hydra.run.dir=scored", cwd=place))
    words = ["checkpoint=outputs/run", "pictures=0", "about=Of grey pictures, alone.", "evaluations=[scored]"]
    done(segkit("package", *words, "output=nets/carded", cwd=place))
    card, found = (place / "nets/carded/README.md").read_text(), result(place / "scored")
    assert "\nOf grey pictures, alone.\n" in card
    command = " ".join(["segkit evaluate checkpoint=nets/road", *score])
    assert f"`{command}` (val, um 1, umm 1, uu 1 pictures; CPU), in percent:" in card
    assert f"| perspective | URBAN_ROAD | clean | {found['perspective']['URBAN_ROAD']['MaxF']:.2f} |" in card
    assert f"| road | {100 * found['classes']['iou']['road']:.2f}" in card
    for other, told in (("outputs/run", "no finished folder of segkit evaluate"), ("scored", "scored other weights")):
        half = ["half=true"] if other == "scored" else []
        refused = segkit("package", *words[:3], f"evaluations={other}", "output=nets/x", *half, cwd=place)
        assert (refused.code, told in refused.err, (place / "nets/x").exists()) == (2, True, False), refused.err


@pytest.mark.parametrize("source", ["nets/road", "outputs/run"])
def test_a_package_or_a_run_with_exported_files_may_lie_elsewhere(place: Path, tmp_path: Path, source: str) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    shutil.copytree(place / source, tmp_path / "network")
    (tmp_path / "network/exported").mkdir()
    (tmp_path / "network/exported/best.onnx").touch()
    memory.put(str(tmp_path / "network"), f"/hub/{source}", recursive=True)
    words = [f"checkpoint=memory://hub/{source}", f"input={PICTURE}", f"output={tmp_path}/far", "format=mask", "gpus=0"]
    done(segkit("predict", *words, cwd=place))
    assert (tmp_path / "far/mask/um_000000.png").is_file()


def app(place: Path, gradio: ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module ``app.py`` of the package."""
    if gradio is not None:
        monkeypatch.setitem(sys.modules, "gradio", gradio)
    spec = importlib.util.spec_from_file_location("app", place / "nets/road/app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_apps_function_finds_the_road(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradio: Any = ModuleType("gradio")
    gradio.Image = gradio.AnnotatedImage = lambda **options: SimpleNamespace(**options)
    gradio.Interface = lambda find, image, annotated, **options: (find, image, annotated, options)
    find, image, annotated, options = app(place, gradio, monkeypatch).demo
    assert image.type == "numpy"
    assert (annotated.color_map, options["title"]) == ({"road": "#00ff00"}, "road")
    picture = cv2.imread(str(place / PICTURE), cv2.IMREAD_COLOR_RGB)
    shown, found = find(picture)
    assert shown is picture
    mask, _ = library.load(place / "outputs/run").predict(picture)
    assert [name for _, name in found] == ["road"] * bool((mask == 1).any())
    assert all((own == (mask == 1)).all() for own, _ in found)


def test_the_app_starts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="needs gradio, which the packaged page alone uses: pip install gradio")
    import urllib.request

    demo = app(place, None, monkeypatch).demo
    demo.launch(prevent_thread_lock=True, quiet=True)
    try:
        with urllib.request.urlopen(demo.local_url) as page:
            assert b"road" in page.read()
    finally:
        demo.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["checkpoint=outputs/run", "output=nets/road"], "output=nets/road is there already"),
        (["checkpoint=nowhere", "output=x"], "does not exist"),
        (["checkpoint=outputs/run", "output=x", "license='a b'"], "should be a term of model hubs"),
    ],
)
def test_mistakes_are_told_in_a_line(place: Path, words: list[str], told: str) -> None:
    refused = segkit("package", *words, cwd=place)
    assert (refused.code, told in refused.err, (place / "x").exists()) == (2, True, False)


def test_a_damaged_package_is_refused(place: Path, tmp_path: Path) -> None:
    for content, told in ((b"{", "config.json cannot be read"), (b"[]", "was not written by segkit package")):
        (tmp_path / "model.safetensors").write_bytes((place / "nets/road/model.safetensors").read_bytes())
        (tmp_path / "config.json").write_bytes(content)
        refused = segkit("predict", f"checkpoint={tmp_path}", f"input={PICTURE}", "output=x", cwd=place)
        assert (refused.code, told in refused.err) == (2, True), refused.err
