"""Headless Chromium, where it and playwright are; elsewhere tests are skipped with the reason."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZES = {"phone": (390, 844), "desk": (1280, 800)}

# Its own services have nothing to look for; the camera is a moving picture of its own.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream"]
FLAGS += ["--use-fake-ui-for-media-stream"]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, by Debian's or any other Chromium on the path."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on the path (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str, size: str = "desk", scheme: str = "light") -> "Iterator[Page]":
    """The page, ready. An error of its script, or anything asked of another server, fails the test."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=size == "phone",
        device_scale_factor=2 if size == "phone" else 1,
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda one: errors.append(one.url) if not one.url.startswith((address, "data:", "blob:")) else None
    )
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    yield page
    context.close()
    assert errors == []


def pixels(page: "Page", canvas: str) -> np.ndarray:
    """RGB of a canvas (H, W, 3)."""
    link = page.evaluate("(id) => document.getElementById(id).toDataURL('image/png')", canvas)
    return cv2.imdecode(np.frombuffer(base64.b64decode(link.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR_RGB)


def choose(page: "Page", *files: Path) -> None:
    """By the button, and wait until the last answer is painted."""
    page.set_input_files("#files", [str(file) for file in files])
    painted(page, files[0].name)


def painted(page: "Page", name: str) -> None:
    page.locator("#name", has_text=name).wait_for()
    page.locator("#busy").wait_for(state="hidden")
