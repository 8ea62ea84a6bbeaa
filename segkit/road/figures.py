"""Scores as pictures: precision-recall curves, and photographs with their errors painted in.

Colours are those of Okabe and Ito, which colour-blind people can tell apart.
"""

import math
from collections.abc import Mapping
from itertools import cycle

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.records import IGNORE_INDEX
from segkit.road.score import precision_recall, road_scores

CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")

GREEN, FALSE_POSITIVE, FALSE_NEGATIVE = (0, 158, 115), (40, 160, 255), (255, 105, 0)
"""RGB of found road and of errors: blue and vermilion, lighter than in print because they lie on dark road."""

FONT, THICKNESS = cv2.FONT_HERSHEY_SIMPLEX, 1
MARGIN, LINE = 6, 22  # pixels of a strip: around its text, and from line to line
LARGEST, SMALLEST = 0.5, 0.25  # OpenCV's font scale


def precision_recall_figure(
    curves: Mapping[str, Tensor], title: str, corrupted: Mapping[str, Tensor] | None = None, corruption: str = ""
) -> NDArray[np.uint8]:
    """Precision over recall, a curve per benchmark, its working point marked and its MaxF in the legend.

    Args:
        curves: counts (2, 256) by benchmark (``UM_ROAD``), see ``RoadScore.category_counts``; one without road pixels
            is named in the legend alone.
        title: what stands above.
        corrupted: counts of the same benchmarks under a corruption: dashed, in the same colours.
        corruption: its name for the legend, such as ``shadow 3``.

    Returns:
        RGB, uint8 (600, 800, 3).
    """
    figure = Figure(figsize=(8, 6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, counts), colour in zip(curves.items(), cycle(CURVES), strict=False):
        _curve(axes, counts, name, "-", colour)
        if corrupted is not None:
            _curve(axes, corrupted[name], f"{name}, {corruption}", "--", colour)
    axes.set(title=title, xlabel="recall in %", ylabel="precision in %", xlim=(0, 101), ylim=(0, 101))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _curve(axes: Axes, counts: Tensor, name: str, style: str, colour: str) -> None:
    figures = road_scores(counts)
    if math.isnan(figures["MaxF"]):
        axes.plot([], [], style, color=colour, label=f"{name}: no road pixels")
        return
    precision, recall = precision_recall(counts)
    label = f"{name}: MaxF {figures['MaxF']:.2f} %"
    axes.plot(100 * recall.numpy(), 100 * precision.numpy(), style, color=colour, label=label)
    axes.plot([figures["REC"]], [figures["PRE"]], "o", color=colour, markeredgecolor="black", zorder=3)


def error_picture(
    image: NDArray[np.uint8], positive: NDArray[np.bool_], label: NDArray[np.uint8], caption: str
) -> NDArray[np.uint8]:
    """A picture with the errors in it, under a strip with the caption and what the colours mean.

    False positives are blue, false negatives orange-red, road that was found faintly green; what is not scored is dark.

    Args:
        image: RGB, uint8 (H, W, 3), in either view.
        positive: what was called road, (H, W).
        label: uint8 (H, W): 0 not road, 1 road, 255 not scored.
        caption: what stands above; ASCII, the font has nothing else.

    Returns:
        RGB, uint8 (H + the strip's height, W, 3), a new array.
    """
    found, missed, wrong = positive & (label == 1), ~positive & (label == 1), positive & (label == 0)
    painted = image.astype(np.float32)
    painted[label == IGNORE_INDEX] *= 0.4
    for pixels, colour, share in ((found, GREEN, 0.25), (wrong, FALSE_POSITIVE, 0.65), (missed, FALSE_NEGATIVE, 0.65)):
        painted[pixels] = (1 - share) * painted[pixels] + share * np.array(colour, np.float32)
    strip = _strip(image.shape[1], caption)
    return np.vstack([strip, np.rint(painted).astype(np.uint8)])


def _strip(width: int, caption: str) -> NDArray[np.uint8]:
    """Caption and legend, white on black: on one line where ``width`` allows it, else on two."""
    legend = (("false positive", FALSE_POSITIVE), ("false negative", FALSE_NEGATIVE), ("road found", GREEN))
    room = width - 2 * MARGIN
    legend_width = sum(_legend_entry(text, LARGEST) for text, _ in legend)
    one_line = _text_width(caption, LARGEST) + 3 * MARGIN + legend_width <= room
    strip = np.zeros((LINE + MARGIN if one_line else 2 * LINE + MARGIN, width, 3), np.uint8)
    scale = max(SMALLEST, min(LARGEST, LARGEST * room / max(1, _text_width(caption, LARGEST))))
    _write(strip, caption, MARGIN, LINE, scale)
    scale = max(SMALLEST, min(LARGEST, LARGEST * room / legend_width))
    left = width - MARGIN - legend_width if one_line else MARGIN
    base = LINE if one_line else 2 * LINE
    for text, colour in legend:
        box = round(20 * scale)
        strip[base - box : base, left : left + box] = colour
        _write(strip, text, left + round(32 * scale), base, scale)
        left += _legend_entry(text, scale)
    return strip


def _legend_entry(text: str, scale: float) -> int:
    """Pixels from the start of a coloured box to the start of the next one."""
    return round(56 * scale) + _text_width(text, scale)


def _text_width(text: str, scale: float) -> int:
    return cv2.getTextSize(text, FONT, scale, THICKNESS)[0][0]


def _write(strip: NDArray[np.uint8], text: str, left: int, base: int, scale: float) -> None:
    cv2.putText(strip, text, (left, base), FONT, scale, (255, 255, 255), THICKNESS, cv2.LINE_AA)
