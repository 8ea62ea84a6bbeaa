"""Predictions on disk: for each format a folder with one PNG per picture, under its name."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segkit.data.checks import UNREADABLE, PictureError
from segkit.data.images import MAX_MEGAPIXELS, decode_image
from segkit.data.overlay import Area, Painter
from segkit.data.records import SegmentationClass
from segkit.data.writer import Prediction, Writer, png
from segkit.distributed.memory import lacking
from segkit.errors import UserError
from segkit.models.full_size import to_confidence
from segkit.predict.pipeline import Seconds, staged
from segkit.predict.predictor import Segmenter, check_complete
from segkit.predict.sheet import Sheet
from segkit.runs.files import write_whole


class Overlay(Writer):
    """The classes' colours laid over the picture, and their legend."""

    name = "overlay"

    def picture(self, prediction: Prediction) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3)."""
        return prediction.with_legend(prediction.painted)

    def encode(self, prediction: Prediction) -> bytes:
        return png(self.picture(prediction))


class Mask(Writer):
    """A palette PNG: its pixel values are the classes, viewers show their colours."""

    name = "mask"

    def encode(self, prediction: Prediction) -> bytes:
        return mask_png(prediction.classes, prediction.class_list)


class Confidence(Writer):
    """``Prediction.confidence``, 8-bit grey."""

    name = "confidence"

    def encode(self, prediction: Prediction) -> bytes:
        return png(prediction.confidence)


GENERAL: tuple[type[Writer], ...] = (Overlay, Mask, Confidence, Sheet)
"""Those that know no data set."""


def mask_png(classes: NDArray[np.uint8], class_list: Sequence[SegmentationClass]) -> bytes:
    """Class numbers, uint8 (H, W), as a PNG whose palette has the classes' colours."""
    mask = Image.new("P", (classes.shape[1], classes.shape[0]))
    mask.frombytes(classes.tobytes())
    mask.putpalette([value for item in class_list for value in (item.colour or (0, 0, 0))])
    content = io.BytesIO()
    mask.save(content, "PNG")
    return content.getvalue()


FORMATS = tuple(kind.name for kind in GENERAL if kind.per_picture)


def writers_of(formats: Sequence[str] = FORMATS, own: Sequence[Writer] = ()) -> list[Writer]:
    """The general writers of ``formats``, or those of ``own`` in their stead, and all others of ``own``."""
    chosen = {kind.name: kind() for kind in GENERAL if kind.name in formats}
    return list((chosen | {writer.name: writer for writer in own}).values())


@dataclass
class Painted:
    """What came of the pictures.

    ``written`` counts pictures by the writers' names; ``unreadable`` gives the reason for each file that could not be
    read. ``areas`` are those of each picture, by its name. ``seconds``: what reading, network and writing took.
    """

    written: Counter[str] = field(default_factory=Counter)
    areas: dict[str, Sequence[Area]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    seconds: Seconds = field(default_factory=Seconds)


def paint_pictures(
    predictor: Segmenter,
    pictures: Sequence[Path],
    folder: Path,
    writers: Sequence[Writer],
    on_done: Callable[[Path], None] | None = None,
    painter: Painter | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Painted:
    """Predict each picture and have it written under ``folder`` by each of ``writers``.

    A picture that cannot be read keeps none of the others from being written. Reading and writing go on in other
    threads; ``on_done`` is called in this one, in the order of ``pictures``. ``painter``: of the predictor's classes;
    None = as pictures are painted where nobody says how. ``max_megapixels``: a larger picture is not read.
    """
    done = Painted()
    for writer in writers:
        if writer.per_picture:
            (folder / writer.name).mkdir(parents=True, exist_ok=True)
    stages = Stages(predictor, folder, writers, painter or Painter(predictor.class_list), max_megapixels)
    for path, written in staged(pictures, stages.read, stages.network, stages.write, done.seconds):
        if isinstance(written, UserError):
            done.unreadable[str(path)] = str(written)
        else:
            done.written.update(written.names)
            done.areas[path.stem] = written.areas
        if on_done is not None:
            on_done(path)
    for writer in writers:
        count = writer.finish(folder, not done.unreadable)
        if count is not None:
            done.written[writer.name] = count
    return done


class Read(NamedTuple):
    """A picture, RGB uint8 (H, W, 3), and the same as the network is shown it."""

    image: NDArray[np.uint8]
    views: list[NDArray[np.uint8]]


class Answer(NamedTuple):
    """The network's; see :class:`Prediction`."""

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    confidence_of: dict[int, NDArray[np.uint8]]
    painter: Painter
    areas: Sequence[Area]


class Written(NamedTuple):
    """The names of the writers that have written a picture, and its areas."""

    names: list[str]
    areas: Sequence[Area]


class Stages:
    """What is done with each picture. One that cannot be read goes through as the error that says why."""

    def __init__(
        self,
        predictor: Segmenter,
        folder: Path,
        writers: Sequence[Writer],
        painter: Painter,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> None:
        self.max_megapixels = max_megapixels
        self.predictor, self.folder, self.writers, self.painter = predictor, folder, writers, painter
        self.areas: Sequence[Area] = ()  # of the picture before; only here pictures come one after the other
        self.needed = sorted({writer.needs for writer in writers if writer.needs is not None})
        if self.needed:
            names = ", ".join(writer.name for writer in writers if writer.needs is not None)
            check_complete(predictor, f"format={names} cannot be written")

    def read(self, path: Path) -> Read | UserError:
        try:
            image = decode_image(path, self.max_megapixels)
            self._check_room(path, image)
        except UserError as error:
            return error
        return Read(image, self.predictor.views(image))

    def _check_room(self, path: Path, image: NDArray[np.uint8]) -> None:
        """Refuse a picture of which logits and probabilities find no room in this machine's memory."""
        if self.predictor.device.type == "cpu":
            told = lacking(image.size + 8 * len(self.predictor.class_list) * image.shape[0] * image.shape[1])
            if told:
                raise PictureError(UNREADABLE, path, f"takes {told}: give a smaller one")

    def network(self, read: Read | UserError) -> Answer | UserError:
        if isinstance(read, UserError):
            return read
        probabilities = self.probabilities(read)
        classes, sure = self.predictor.decide(probabilities)
        asked = {number: to_confidence(probabilities[number]).cpu().numpy() for number in self.needed}
        numbers = classes.cpu().numpy()
        self.areas = self.painter.areas(numbers, self.areas)
        return Answer(read.image, numbers, sure.cpu().numpy(), asked, self.painter, self.areas)

    def probabilities(self, read: Read) -> Tensor:
        """At the picture's own size, float32 (C, H, W)."""
        height, width = read.image.shape[:2]
        return self.predictor.probabilities_at(read.views, (height, width))

    def write(self, path: Path, answer: Answer | UserError) -> Written | UserError:
        if isinstance(answer, UserError):
            return answer
        return self.written(Prediction(path, *answer))

    def written(self, prediction: Prediction) -> Written:
        """As ``write``, of a picture that could be read."""
        written = []
        for writer in self.writers:
            content = writer.encode(prediction)
            if content is not None:
                write_whole(self.folder / writer.name / f"{prediction.path.stem}.png", content)
                written.append(writer.name)
        return Written(written, prediction.areas)
