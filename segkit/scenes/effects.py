"""What lies over a painted picture: the wet ground's mirror image, the own car's bonnet, the lens and the file."""

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.canvas import Canvas
from segkit.scenes.classes import ObjectId
from segkit.scenes.look import Lens


def mirror_ground(canvas: Canvas, horizon: int, share: float) -> None:
    """Let the bare ground below the row ``horizon`` mirror ``share`` of what stands above it, drawn out downwards."""
    image = canvas.image
    rows = np.clip(2 * horizon - np.arange(horizon, image.shape[0]), 0, None)
    mirrored = cv2.blur(image[rows], (5, 31))
    below = image[horizon:]
    wet = cv2.addWeighted(below, 1 - share, mirrored, share, 0)
    cv2.copyTo(wet, (canvas.shown[horizon:] == 0).astype(np.uint8), below)


def paint_bonnet(canvas: Canvas, share: float) -> None:
    """Hide the lowest ``share`` of the picture's height, in the middle of the bonnet, behind the own car."""
    height, width = canvas.image.shape[:2]
    rng = np.random.default_rng([*canvas.view.drive.key, 8000])
    middle = (round(width * rng.uniform(0.2, 0.8)), height + round(0.3 * height))
    axes = (round(width * rng.uniform(0.5, 0.9)), round((0.3 + share) * height))
    colour = tuple(float(x) for x in rng.uniform(5, 200) * rng.uniform(0.8, 1.1, 3))
    turn = rng.uniform(-4, 4)
    cv2.ellipse(canvas.image, middle, axes, turn, 0, 360, colour, cv2.FILLED, cv2.LINE_AA)
    canvas.begin(ObjectId.EGO_VEHICLE)
    cv2.ellipse(canvas.shown, middle, axes, turn, 0, 360, canvas.note(), cv2.FILLED)
    if rng.random() < 0.6:
        rim = (axes[0], axes[1] - round(rng.uniform(0.01, 0.03) * height))
        bright = tuple(float(x) for x in rng.uniform(0.5, 1.0) * np.array(canvas.view.drive.light.horizon))
        cv2.ellipse(canvas.image, middle, rim, turn, 0, 360, bright, max(round(0.012 * height), 1), cv2.LINE_AA)


def record(image: Array, lens: Lens) -> Array:
    """The picture (H, W, 3), uint8 RGB, as lens and file leave it; same shape and type."""
    if lens.blur:
        image = cv2.GaussianBlur(image, (0, 0), lens.blur)
    tones = lens.glare + (1 - lens.glare) * (np.arange(256) / 255) ** lens.gamma
    image = cv2.LUT(image, np.clip(np.round(tones * 255), 0, 255).astype(np.uint8))
    if lens.vignette:
        height, width = image.shape[:2]
        x, y = np.linspace(-1, 1, 64, dtype=np.float32), np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
        light = cv2.resize(1 - np.float32(lens.vignette / 2) * (x * x + y * y), (width, height))
        image = cv2.multiply(image, cv2.merge([light] * 3), dtype=cv2.CV_8U)
    if lens.quality:
        _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, lens.quality))
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded
    return image
