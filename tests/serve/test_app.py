"""What a server gives for what it is asked."""

import base64
import io
import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.data.records import SegmentationClass
from segkit.road.drawing import draw_on_picture
from segkit.road.free_space import free_road
from segkit.road.writers import GRID
from segkit.serve.app import page
from segkit.serve.openapi import openapi
from segkit.serve.pictures import TestPicture as Picture
from tests.fixtures import level_camera, write_rgb
from tests.serve.serving import TWO, Client, Redness, Reply, file_of, mask_in, picture, serving


def in_json(**content: Any) -> bytes:
    return json.dumps({"picture": base64.b64encode(file_of(picture())).decode()} | content).encode()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tiff", ".bmp"])
def test_a_mask_of_the_pictures_own_size_for_a_file_of_any_format(ending: str) -> None:
    content = file_of(picture(31, 47), ending)
    shown = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    with serving() as (_, _, ask):
        reply = ask("POST", "/invocations", content)
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    assert np.array_equal(mask_in(reply.content), shown[..., 0] > 127)
    palette = Image.open(io.BytesIO(reply.content)).getpalette()
    assert palette is not None
    assert palette[:6] == [0, 0, 0, 0, 200, 0]


def test_json_has_shares_runs_and_times() -> None:
    image = picture()
    with serving() as (_, _, ask):
        reply = ask("POST", "/invocations", file_of(image), Accept="application/json").json
    mask = image[..., 0] > 127
    assert np.array_equal(np.repeat(reply["runs"][::2], reply["runs"][1::2]).reshape(30, 50), mask)
    assert (reply["width"], reply["height"]) == (50, 30)
    assert [item["name"] for item in reply["classes"]] == ["background", "road"]
    assert [item["share"] for item in reply["classes"]] == pytest.approx([1 - mask.mean(), mask.mean()], abs=1e-6)
    assert reply["milliseconds"]["all"] >= reply["milliseconds"]["network"] > 0


def test_polygons_filled_are_the_mask_again() -> None:
    image = cv2.GaussianBlur(picture(60, 80), (0, 0), 3)
    image[..., 0] = cv2.equalizeHist(np.ascontiguousarray(image[..., 0]))
    image[20:41, 30:51, 0] = 255
    image[25:36, 35:46, 0] = 0  # a hole
    image[30, 40, 0] = 255  # a single pixel in it
    with serving() as (_, _, ask):
        reply = ask("POST", "/invocations", file_of(image), Accept="application/json; mask=polygons").json
    for number in (0, 1):
        filled = np.zeros((60, 80), np.uint8)
        for area in reply["polygons"]:
            if area["class"] == number:
                one = np.zeros((60, 80), np.uint8)
                cv2.fillPoly(one, [np.array(line) for line in (area["outline"], *area["holes"])], 1)
                filled |= one
        assert np.array_equal(filled == 1, (image[..., 0] > 127) == bool(number))
    assert any(area["holes"] for area in reply["polygons"])


def test_the_pages_form_has_pngs_of_classes_and_confidence() -> None:
    image = picture()
    with serving() as (_, _, ask):
        reply = ask("POST", "/invocations", file_of(image), Accept="application/json; mask=png").json
    mask, confidence = (
        cv2.imdecode(np.frombuffer(base64.b64decode(reply[key]), np.uint8), cv2.IMREAD_UNCHANGED)
        for key in ("mask", "confidence")
    )
    assert np.array_equal(mask, image[..., 0] > 127)
    assert np.array_equal(confidence, image[..., 0])
    assert "drawing" not in reply


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "image/png"),
        ("*/*", "image/png"),
        ("application/json", "application/json"),
        ("text/html, image/png;q=0.5, application/json; q=0.9", "application/json"),
        ("application/json;q=0, image/*", "image/png"),
    ],
)
def test_accept_chooses(accept: str | None, kind: str) -> None:
    with serving() as (_, _, ask):
        reply = ask("POST", "/invocations", file_of(picture()), **({} if accept is None else {"Accept": accept}))
    assert (reply.status, reply.headers["content-type"]) == (200, kind)


def test_a_threshold_moves_the_border_between_two_classes() -> None:
    image = picture()
    with serving() as (_, _, ask):
        reply = ask("POST", "/invocations", in_json(threshold=0.8), Content_Type="application/json")
        assert np.array_equal(mask_in(reply.content), image[..., 0] > 204)
    with serving(Three()) as (_, _, ask):
        reply = ask("POST", "/invocations", in_json(threshold=0.8), Content_Type="application/json")
        assert (reply.status, reply.sentence) == (400, "threshold is for networks of two classes; this one has 3.")


class Three(Redness):
    class_list = (*TWO, SegmentationClass("sky", (0, 0, 255)))


CAMERA = level_camera(350, (300, 75), 1.65)


def road_picture() -> np.ndarray:
    """A road 6 m wide up to 20 m ahead, red, seen by a camera 1.65 m over it."""
    image = np.zeros((300, 600, 3), np.uint8)
    corners = [(x * 350 / z + 300, 1.65 * 350 / z + 75) for x, z in ((-3, 20), (3, 20), (3, 2), (-3, 2))]
    cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], (255, 0, 0))
    return image


def test_metres_where_there_is_a_calibration() -> None:
    image = road_picture()
    body = {"picture": base64.b64encode(file_of(image)).decode(), "calibration": CAMERA.text()}
    kinds = {"Content_Type": "application/json", "Accept": "application/json; mask=png"}
    with serving() as (_, _, ask):
        reply = ask("POST", "/invocations", json.dumps(body).encode(), **kinds).json
    assert reply["free_road"]["free_ahead_m"] == pytest.approx(20, abs=1)
    assert reply["free_road"]["width_m"]["10"] == pytest.approx(6, abs=0.3)
    # The drawing, laid over anything, is what is drawn on it.
    free = free_road(GRID.warp(image[..., 0] > 127, CAMERA), GRID.seen(CAMERA, image.shape[:2]), GRID)
    layer = cv2.imdecode(np.frombuffer(base64.b64decode(reply["drawing"]), np.uint8), cv2.IMREAD_UNCHANGED).astype(
        float
    )
    noise, alpha = picture(300, 600), layer[..., 3:] / 255
    laid = noise * (1 - alpha) + layer[..., 2::-1] * alpha
    assert np.abs(laid - draw_on_picture(noise, free, CAMERA)).max() <= 6


def test_a_servers_own_calibration_is_every_pictures() -> None:
    image = road_picture()
    with serving(calibration=CAMERA) as (_, _, ask):
        assert ask("GET", "/metadata").json["calibrated"]
        reply = ask("POST", "/invocations", file_of(image), Accept="application/json").json
    assert reply["free_road"]["free_ahead_m"] == pytest.approx(20, abs=1)


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segkit.serve.app.decode", lambda content: pytest.fail("decoded"))
    with serving(max_megapixels=0.001, max_megabytes=0.0625) as (_, _, ask):
        reply = ask("POST", "/invocations", file_of(picture(), ".jpg"))
        assert (reply.status, reply.sentence) == (
            413,
            "The picture has 50 × 30 pixels; 0.001 megapixels are the most here.",
        )
        reply = ask("POST", "/invocations", bytes(70_000))
        assert (reply.status, reply.sentence) == (413, "The body is larger than 0.0625 MiB, the most here.")


def test_the_runs_pictures_are_shown(tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", picture(300, 500))
    write_rgb(tmp_path / "b.tiff", picture(20, 30))
    (tmp_path / "a.txt").write_text("P2: 1")
    pictures = [Picture("a", tmp_path / "a.png", tmp_path / "a.txt"), Picture("b", tmp_path / "b.tiff", None)]
    with serving(pictures=pictures) as (_, _, ask):
        assert ask("GET", "/metadata").json["pictures"] == [
            {"name": "a", "calibrated": True},
            {"name": "b", "calibrated": False},
        ]
        assert ask("GET", "/pictures/0").content == (tmp_path / "a.png").read_bytes()
        assert ask("GET", "/pictures/0/calibration").content == b"P2: 1"
        small = cv2.imdecode(np.frombuffer(ask("GET", "/pictures/0/small").content, np.uint8), cv2.IMREAD_COLOR)
        assert small.shape == (144, 240, 3)
        reply = ask("GET", "/pictures/1")
        assert reply.headers["content-type"] == "image/png"
        assert np.array_equal(cv2.imdecode(np.frombuffer(reply.content, np.uint8), 1)[..., ::-1], picture(20, 30))
        assert ask("GET", "/pictures/1/calibration").status == ask("GET", "/pictures/2").status == 404
        (tmp_path / "a.png").unlink()
        assert ask("GET", "/pictures/0/small").sentence == "a is no longer there."


def test_health_head_and_wrong_addresses() -> None:
    with serving() as (app, _, ask):
        assert ask("GET", "/ping").json == {"status": "healthy"}
        head = ask("HEAD", "/")
        assert (head.status, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(page()[0])
        assert ask("GET", "/nothing").status == 404
        assert ask("DELETE", "/ping").status == 405
        app.stop()
        assert ask("GET", "/ping").status == 503
    assert app.counts()["statuses"] == {200: 2, 404: 1, 405: 1, 503: 1}


def test_the_openapi_document_says_what_there_is() -> None:
    with serving() as (app, _, ask):
        document = ask("GET", "/openapi.json").json
        reply = ask("POST", "/invocations", file_of(picture()), Accept="application/json; mask=png").json
        metadata = ask("GET", "/metadata").json
    programs = {path for path in app.routes if path not in ("/", "/openapi.json") and "{" not in path}
    assert document["paths"].keys() == programs
    assert {path: [*methods] for path, methods in document["paths"].items()} == {
        path: [method.lower() for method in app.routes[path]] for path in programs
    }
    schemas = document["components"]["schemas"]
    for content, schema in ((reply, schemas["Segmented"]), (metadata, schemas["Metadata"])):
        assert set(schema["required"]) - {"version"} <= content.keys()
        assert content.keys() - schema["properties"].keys() <= {"pictures"}
    assert "threshold" not in json.dumps(openapi(app.limits, 3))
    references = set(part.split('"')[0] for part in json.dumps(document).split('"$ref": "#/components/schemas/')[1:])
    assert references == schemas.keys()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    content, policy = page()
    text = content.decode()
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in text  # the policy would not let it be applied


def test_a_network_that_fails_on_one_picture_serves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()

    class Fussy(Redness):
        def probabilities_at(self, views: Any, size: tuple[int, int]) -> Any:
            gate.wait(30)
            if (views[0] == 7).all():
                raise RuntimeError("no sevens")
            return super().probabilities_at(views, size)

    replies: dict[int, Reply] = {}
    with serving(Fussy()) as (_app, server, ask):

        def one(number: int) -> None:
            content = np.full((30, 50, 3), 7, np.uint8) if number == 2 else picture(seed=number)
            replies[number] = Client(server)("POST", "/invocations", file_of(content))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads:
            thread.join()
        assert ask("GET", "/ping").status == 200
    assert [replies[number].status for number in range(5)] == [200, 200, 500, 200, 200]
    assert replies[2].sentence == "The network failed on this picture; the server's log says how."
    assert "no sevens" in caplog.text
    for number in (0, 1, 3, 4):
        assert np.array_equal(mask_in(replies[number].content), picture(seed=number)[..., 0] > 127)
