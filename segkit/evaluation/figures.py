"""Class scores as pictures: the confusion matrix, and photographs beside label, prediction and errors."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.overlay import paint
from segkit.data.records import IGNORE_INDEX, SegmentationClass

ERROR = (255, 105, 0)
"""RGB of wrong pixels: vermilion, which colour-blind people tell apart from grey."""

NUMBERED = 40
"""Most classes of a matrix whose cells are large enough for a number."""

LEGEND_COLUMNS = 7


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
    image: NDArray[np.uint8],
    label: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    class_list: Sequence[SegmentationClass],
    title: str,
) -> NDArray[np.uint8]:
    """Picture and label above prediction and errors, with a legend of the classes that label or prediction hold.

    Unscored pixels are black in the label and dark among the errors; a class without a colour shows the dimmed picture.

    Args:
        image: RGB, uint8 (H, W, 3).
        label: class numbers uint8 (H, W), 255 not scored.
        predicted: class numbers uint8 (H, W).
        class_list: the classes by their numbers.
        title: what stands above.

    Returns:
        RGB, uint8 (H', W', 3), 1400 pixels wide.
    """
    dimmed = (image * 0.45).astype(np.uint8)
    painted = paint(dimmed, label, class_list, alpha=1)
    painted[label == IGNORE_INDEX] = 0
    wrong = (label != IGNORE_INDEX) & (predicted != label)
    errors = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    errors[label == IGNORE_INDEX] //= 4
    errors[wrong] = ERROR
    scored = int((label != IGNORE_INDEX).sum())
    panels = {
        "picture": image,
        "label": painted,
        "prediction": paint(dimmed, predicted, class_list, alpha=1),
        f"errors: {100 * int(wrong.sum()) / max(1, scored):.1f} % of the scored pixels": errors,
    }
    here = [
        (item.name, "#{:02x}{:02x}{:02x}".format(*item.colour))
        for number, item in enumerate(class_list)
        if item.colour is not None and ((label == number) | (predicted == number)).any()
    ]
    here.append(("wrong", "#{:02x}{:02x}{:02x}".format(*ERROR)))
    marks = [Patch(color=colour, label=name) for name, colour in here]
    legend_rows = -(-len(marks) // LEGEND_COLUMNS)
    height = 14 * image.shape[0] / image.shape[1] + 1.1 + 0.25 * legend_rows
    figure = Figure(figsize=(14, height), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (name, panel) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        axes.imshow(panel)
        axes.set_title(name, fontsize=11)
        axes.set_axis_off()
    figure.suptitle(title)
    figure.legend(handles=marks, loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False)
    return _drawn(canvas)


def _drawn(canvas: FigureCanvasAgg) -> NDArray[np.uint8]:
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
