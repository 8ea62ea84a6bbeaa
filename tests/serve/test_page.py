"""The page as a person uses it, in a browser."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.serve.pictures import TestPicture as Picture
from tests.fixtures import write_rgb
from tests.serve.browser import choose, chromium, opened, painted, pixels
from tests.serve.serving import mask_in, serving
from tests.serve.test_app import CAMERA, Three, road_picture

GREEN = np.array([0, 200, 0])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``road.png``, whose camera is known, and ``steps.png``, whose red grows from left to right; two small ones."""
    folder = tmp_path_factory.mktemp("files")
    write_rgb(folder / "road.png", road_picture())
    (folder / "road.txt").write_text(CAMERA.text())
    steps = np.zeros((40, 256, 3), np.uint8)
    steps[..., 0] = np.arange(256)
    write_rgb(folder / "steps.png", steps)
    return folder


@pytest.fixture(scope="module")
def address(files: Path) -> Iterator[str]:
    pictures = [Picture("road", files / "road.png", files / "road.txt"), Picture("steps", files / "steps.png", None)]
    with serving(pictures=pictures, about={"checkpoint": ["outputs/train/run"]}) as (_, server, _):
        yield server.address


def painted_columns(page: Any) -> np.ndarray:
    """Which columns of ``steps.png`` are painted: half of the colour over them."""
    before, after = pixels(page, "picture").astype(int), pixels(page, "painted").astype(int)
    over = np.abs(after - (before + GREEN) / 2).max(2) <= 2
    assert np.array_equal(over | (after == before).all(2), np.ones(over.shape, bool))
    return over.all(0)


def test_a_chosen_picture_is_painted_and_the_threshold_moves_without_the_server(
    browser: Any, address: str, files: Path
) -> None:
    with opened(browser, address) as page:
        assert page.locator("#save-mask").is_disabled()
        choose(page, files / "steps.png")
        assert np.array_equal(painted_columns(page), np.arange(256) > 127)
        assert page.locator("#legend li").nth(1).inner_text().split() == ["road", "50.0", "%"]
        assert re.fullmatch(r"network \d+ ms, with sending \d+ ms", page.locator("#time").inner_text())
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.locator("#threshold").fill("80")
        assert np.array_equal(painted_columns(page), np.arange(256) > 204)
        page.locator("#legend input").nth(1).uncheck()
        assert not painted_columns(page).any()
        assert asked == []
        page.locator("#legend input").nth(1).check()
        with page.expect_download() as download:
            page.locator("#save-mask").click()
        assert download.value.suggested_filename == "steps_mask.png"
        assert np.array_equal(mask_in(download.value.path().read_bytes())[0], np.arange(256) > 204)
        with page.expect_download() as download:
            page.locator("#save-overlay").click()
        saved = np.array(Image.open(io.BytesIO(download.value.path().read_bytes())))[..., :3]
        assert np.array_equal(saved, pixels(page, "painted"))


def test_the_slider_follows_pointer_and_keys(browser: Any, address: str, files: Path) -> None:
    with opened(browser, address) as page:
        choose(page, files / "road.png")
        box = page.locator("#painted").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 30)
        page.mouse.up()
        handle = page.locator("#handle").bounding_box()
        assert handle["x"] + handle["width"] / 2 == pytest.approx(box["x"] + 0.8 * box["width"], abs=2)
        assert (
            page.locator("#painted")
            .evaluate("(canvas) => getComputedStyle(canvas).clipPath")
            .startswith("inset(0px 0px 0px 80%")
        )
        page.locator("#split").focus()
        page.keyboard.press("Home")
        handle = page.locator("#handle").bounding_box()
        assert handle["x"] + handle["width"] / 2 == pytest.approx(box["x"], abs=2)


def test_dropped_pictures_are_painted_and_kept_to_choose_from(browser: Any, address: str, files: Path) -> None:
    with opened(browser, address) as page:
        names = ["steps.png", "road.png"]
        data = page.evaluate_handle(
            """(files) => { const data = new DataTransfer();
            for (const [name, bytes] of files)
                data.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
            return data; }""",
            [[name, list((files / name).read_bytes())] for name in names],
        )
        page.dispatch_event("#stage", "dragenter", {"dataTransfer": data})
        assert page.locator("#stage.over").count() == 1
        page.dispatch_event("#stage", "drop", {"dataTransfer": data})
        painted(page, "steps.png")
        assert np.array_equal(painted_columns(page), np.arange(256) > 127)
        page.locator("#pictures img[alt='road.png']").click()
        painted(page, "road.png")
        assert pixels(page, "picture").shape == (300, 600, 3)


def test_a_test_picture_has_its_metres_and_a_calibration_file_gives_them_to_others(
    browser: Any, address: str, files: Path
) -> None:
    with opened(browser, address, "phone") as page:
        page.locator("#pictures button").first.click()
        painted(page, "road")
        assert float(page.locator("#ahead").inner_text().split()[0]) == pytest.approx(20, abs=1)
        assert "picture's own calibration" in page.locator("#calibration-note").inner_text()
        drawn = pixels(page, "painted")
        page.locator("#pictures button").nth(1).click()
        painted(page, "steps")
        assert page.locator("#metres").is_hidden()
        choose(page, files / "road.png")
        assert page.locator("#metres").is_hidden()
        page.set_input_files("#calibration", str(files / "road.txt"))
        page.locator("#metres").wait_for()
        assert "With road.txt for every picture." in page.locator("#calibration-note").inner_text()
        assert np.array_equal(pixels(page, "painted"), drawn)
        # Nothing is wider than the phone.
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_camera_is_painted_frame_by_frame_until_it_is_stopped(browser: Any, address: str) -> None:
    with opened(browser, address) as page:
        page.locator("#live").click()
        painted(page, "Camera")
        page.locator("#size", has_text="frames/s").wait_for()
        for _ in range(3):
            with page.expect_response("**/invocations") as answer:
                pass
            assert answer.value.status == 200
        assert pixels(page, "picture").std() > 0
        page.locator("#live").click()
        assert page.locator("#live").inner_text() == "Camera"


def test_a_video_is_painted_while_it_plays(browser: Any, address: str, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "drive.webm"), cv2.VideoWriter.fourcc(*"VP90"), 10, (64, 48))
    for i in range(10):
        writer.write(np.full((48, 64, 3), (0, 0, 20 * i), np.uint8))
    writer.release()
    with opened(browser, address) as page:
        page.set_input_files("#files", str(tmp_path / "drive.webm"))
        page.locator("#size", has_text="64 × 48").wait_for()
        assert page.locator("#name").inner_text() == "drive.webm"


def test_what_is_wrong_is_said(browser: Any, address: str, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with opened(browser, address) as page:
        page.set_input_files("#files", str(tmp_path / "broken.png"))
        page.locator("#message", has_text="broken.png: this browser cannot show it as a picture.").wait_for()


def test_a_picture_beyond_the_limit_is_made_smaller_first(browser: Any, files: Path) -> None:
    with (
        serving(Three(), max_megapixels=0.09) as (_, server, _),
        opened(browser, server.address, scheme="dark") as page,
    ):
        assert page.locator("#two").is_hidden()
        choose(page, files / "road.png")
        assert "made smaller for the server" in page.locator("#size").inner_text()
        height, width, _ = pixels(page, "picture").shape
        assert height * width <= 90_000 < 1.02 * height * width
