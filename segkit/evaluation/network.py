"""Scoring networks: every picture at its own size, clean and under a corruption."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from segkit.data.ahead import ahead
from segkit.data.checks import SIZES, PictureError
from segkit.data.images import decode_image
from segkit.data.module import SegmentationDataModule
from segkit.data.records import Record
from segkit.errors import UserError
from segkit.evaluation.compared import Compared, Comparison, compare_classes
from segkit.metrics.benchmark import Benchmark, Scored
from segkit.metrics.class_evaluation import ClassEvaluation
from segkit.metrics.trimap import trimap
from segkit.models.full_size import to_confidence
from segkit.predict.ensemble import Ensemble
from segkit.predict.exported import Exported
from segkit.predict.loading import load_predictor
from segkit.predict.predictor import Predictor, Segmenter, check_complete
from segkit.runs.find import TrainedRun, home_of

Image = NDArray[np.uint8]
Corrupt = Callable[[Image, str], Image]
"""Changes a picture RGB (H, W, 3), given its name."""


@dataclass(frozen=True)
class Part:
    """A network, or several whose probabilities are averaged, and the labelled records that they are shown.

    ``precision`` is as ``trainer.precision``; ``trust`` is as for :func:`segkit.models.trained.load_network`, and
    ``average`` as for :class:`segkit.predict.averaging.Averaging`.
    """

    networks: Sequence[TrainedRun]
    precision: Literal["auto", "fp32", "bf16"]
    data: SegmentationDataModule
    records: Sequence[Record]
    trust: Sequence[str] = ()
    average: Sequence[str | float] = ()


def score_networks(
    parts: Sequence[Part],
    conditions: Mapping[str, Corrupt | None],
    benchmark: Benchmark | None,
    gpu: int | None,
    on_done: Callable[[], None],
    compare: Mapping[str, Sequence[str]] | None = None,
) -> tuple[dict[str, Scored], list[str], Comparison | None]:
    """Show the records of each part to the part's network, under every condition, and score what comes out.

    Args:
        parts: networks and their pictures; several parts are counted together, as one set of pictures.
        conditions: name, and what is done to the pictures (None: nothing).
        benchmark: the data set's own, which is counted beside the class scores.
        gpu: device number, or None for the CPU.
        on_done: called after each record.
        compare: see :func:`segkit.evaluation.compared.compare_classes`; None: network and data have the same classes.

    Returns:
        What was scored by condition, what a user should know about it, in sentences, and how classes were compared.

    Raises:
        UserError: a checkpoint, picture or label is of no use, or the classes of network and data differ.
    """
    data = parts[0].data
    device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
    scores = {name: None if benchmark is None else benchmark.score() for name in conditions}
    classes: dict[str, ClassEvaluation] = {}
    predictors: dict[str, Segmenter] = {}
    notes, comparison, table = [], None, np.arange(256, dtype=np.uint8)
    for part in parts:
        members = {str(trained.checkpoint): _predictor(trained, part, data, gpu) for trained in part.networks}
        predictor: Segmenter = Ensemble(members)
        if compare is None:
            _check_classes(predictor, data)
        else:
            check_complete(predictor, "compare cannot be done")
            comparison = compare_classes(predictor.class_list, data.class_list, compare)
            predictor, table = Compared(predictor, comparison), comparison.data
        classes = classes or {name: ClassEvaluation(predictor.class_list) for name in conditions}
        for place, member in members.items():
            if member.trained_input != data.picture_input:
                name = "the network" if len(members) == 1 else place
                if isinstance(member, Exported):
                    sizes = f"is an exported file, which shows pictures at {member.trained_input}, not at"
                else:
                    sizes = f"was trained at {member.trained_input} and is scored at"
                notes.append(f"data.image_shape: {name} {sizes} {data.picture_input}")
        predictors |= {record.name: predictor for record in part.records}
        for record, (image, own_label, own_trimap) in ahead(
            partial(_load_to_score, data=data, table=table), part.records
        ):
            label, near = torch.from_numpy(own_label).to(device), torch.from_numpy(own_trimap).to(device)
            for name, corrupt in conditions.items():
                probabilities = predictor.probabilities(_changed(image, record, corrupt))
                classes[name].add(record, probabilities.max(0).indices, label, near)
                own = scores[name]
                if own is not None:
                    own.add(record, own.count(record, to_confidence(probabilities[1]), label))
            on_done()

    def again(corrupt: Corrupt | None, record: Record) -> tuple[Image, torch.Tensor, torch.Tensor]:
        image, label = _load(record, data, table)
        image = _changed(image, record, corrupt)
        confidence = to_confidence(predictors[record.name].probabilities(image)[1])
        return image, confidence.cpu(), torch.from_numpy(label)

    def predicted(corrupt: Corrupt | None, record: Record) -> tuple[Image, Image, Image]:
        image, label = _load(record, data, table)
        image = _changed(image, record, corrupt)
        decided, _ = Predictor.decide(predictors[record.name].probabilities(image))
        return image, decided.cpu().numpy(), label

    scored = {
        name: Scored(scores[name], classes[name], partial(again, corrupt), partial(predicted, corrupt))
        for name, corrupt in conditions.items()
    }
    return scored, notes, comparison


def _predictor(trained: TrainedRun, part: Part, data: SegmentationDataModule, gpu: int | None) -> Predictor | Exported:
    path, shown = trained.checkpoint, data.picture_input
    return load_predictor(path, "checkpoint", gpu, part.precision, shown, part.trust, home_of(path), part.average)


def _check_classes(predictor: Segmenter, data: SegmentationDataModule) -> None:
    trained, held = ([item.name for item in source.class_list] for source in (predictor, data))
    if trained != held:
        raise UserError(
            f"checkpoint: its classes ({', '.join(trained)}) are not those of data ({', '.join(held)}); "
            "compare={} scores those that have the same name, compare={<name>: [<theirs>, <ours>]} others too"
        )


def _load(record: Record, data: SegmentationDataModule, table: Image) -> tuple[Image, Image]:
    """A record's picture, and its label in the classes that are scored, by ``table``."""
    assert record.label is not None
    image, label = decode_image(record.image, data.max_megapixels), data.read_label(record.label)
    if image.shape[:2] != label.shape:
        sizes = f"is {label.shape[1]}×{label.shape[0]}, its image {image.shape[1]}×{image.shape[0]}"
        raise PictureError(SIZES, record.label, sizes)
    return image, table[label]


def _load_to_score(record: Record, data: SegmentationDataModule, table: Image) -> tuple[Image, Image, Image]:
    """As ``_load``, and the label around boundaries alone."""
    image, label = _load(record, data, table)
    return image, label, trimap(label)


def _changed(image: Image, record: Record, corrupt: Corrupt | None) -> Image:
    return image if corrupt is None else corrupt(image, record.name)
