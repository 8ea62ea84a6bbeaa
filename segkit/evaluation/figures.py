"""Class scores as pictures: the confusion matrix, and photographs beside label, prediction and errors."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.images import resize_image
from segkit.data.legend import Entry, strike_out, strip, write
from segkit.data.overlay import Painter, percent
from segkit.data.records import IGNORE_INDEX

ERROR = (213, 60, 0)
"""RGB of wrong pixels: vermilion, which colour-blind people tell apart from light grey."""

LIGHT = 150
"""The grey, 0…255, of right pixels that are black in the picture."""

PANEL, WIDTH = 696, 1400
"""Width in pixels of one of the four pictures, and of all."""

TEXT = 14
"""Height in pixels of letters."""

NUMBERED = 40
"""Most classes of a matrix whose cells are large enough for a number."""


def confusion_figure(matrix: Tensor, names: Sequence[str], title: str) -> NDArray[np.uint8]:
    """A confusion matrix whose rows, the true classes, are shares of their labelled pixels.

    A number is the share in percent, left out where it rounds to 0. The row of a class that no label holds is grey.

    Args:
        matrix: int64 (classes, classes), a row per true class, a column per predicted one.
        names: of the classes, in the order of the matrix.
        title: what stands above.

    Returns:
        RGB, uint8 (H, W, 3), the larger the more classes there are.
    """
    counts = matrix.double().numpy()
    labelled = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, labelled, out=np.full_like(counts, np.nan), where=labelled > 0)
    side = min(18.0, 3.2 + 0.42 * len(names))
    figure = Figure(figsize=(side + 0.6, side), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("#dddddd")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="% of the true class's pixels", shrink=0.8)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    if len(names) <= NUMBERED:
        for row, column in np.argwhere(np.nan_to_num(shares) >= 0.5):
            share = shares[row, column]
            colour = "white" if share > 55 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=9, color=colour)
    return _drawn(canvas)


def error_figure(
    image: NDArray[np.uint8], label: NDArray[np.uint8], predicted: NDArray[np.uint8], painter: Painter, title: str
) -> NDArray[np.uint8]:
    """Picture and label above prediction and errors, with a legend of the classes that label or prediction hold.

    Among the errors, right pixels show the picture in light grey, wrong ones are vermilion, unscored ones striped, as
    they are in the label.

    Args:
        image: RGB, uint8 (H, W, 3).
        label: class numbers uint8 (H, W), 255 not scored.
        predicted: class numbers uint8 (H, W).
        painter: of these classes.
        title: what stands above.

    Returns:
        RGB, uint8 (H', W', 3), ``WIDTH`` wide.
    """
    unscored = label == IGNORE_INDEX
    wrong = ~unscored & (predicted != label)
    scored = int((~unscored).sum())
    share = percent(int(wrong.sum()) / max(1, scored))
    panels = {
        "picture": image,
        "label": painter.paint_label(image, label),
        "prediction": painter.paint(image, predicted),
        f"errors: {share} of the scored pixels": error_map(image, label, predicted),
    }
    cells = []
    for name, panel in panels.items():
        shown = resize_image(panel, (round(PANEL * image.shape[0] / image.shape[1]), PANEL))
        cells.append(np.vstack([_line(name, PANEL, TEXT), shown]))
    gap = np.full((len(cells[0]), WIDTH - 2 * PANEL, 3), 255, np.uint8)
    rows = [np.hstack([left, gap, right]) for left, right in (cells[:2], cells[2:])]
    true, found = dict(painter.areas(label)), dict(painter.areas(predicted))
    shares = {number: (true.get(number, 0.0), found.get(number, 0.0)) for number in [*true, *found]}
    entries = [
        Entry(item.name, item.colour, f"{percent(before)} → {percent(after)}")
        for number, (before, after) in shares.items()
        if (item := painter.class_list[number]).colour is not None
    ]
    entries += [Entry("wrong", ERROR), Entry("not scored", None, percent(float(unscored.mean())))]
    about = _line("share of the label's pixels → of the prediction's", WIDTH, TEXT)
    return np.vstack([_line(title, WIDTH, 18), *rows, about, strip(entries, WIDTH, TEXT)])


def error_map(image: NDArray[np.uint8], label: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Right, wrong and unscored pixels of a picture, see :func:`error_figure`: RGB uint8 (H, W, 3)."""
    grey = LIGHT + cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) * ((255 - LIGHT) / 255)
    shown = np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
    shown[predicted != label] = ERROR
    strike_out(shown, label == IGNORE_INDEX)
    return shown


def _line(text: str, width: int, letters: int) -> NDArray[np.uint8]:
    canvas = np.full((round(1.6 * letters), width, 3), 255, np.uint8)
    write(canvas, text, (4, 0), letters)
    return canvas


def _drawn(canvas: FigureCanvasAgg) -> NDArray[np.uint8]:
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
