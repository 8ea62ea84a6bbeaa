from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from segkit.data.overlay import Painter
from segkit.training.callbacks.validation_images import ValidationPictures
from tests.training.test_task import CLASSES, small_task


def shown(outputs: Any, batch: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """The pictures in TensorBoard after a validation of one batch."""
    pictures, logger = ValidationPictures(count=2), TensorBoardLogger(folder)
    trainer: Any = SimpleNamespace(
        current_epoch=0, max_epochs=1, check_val_every_n_epoch=1, global_step=7, is_global_zero=True, logger=logger
    )
    trainer.val_dataloaders = SimpleNamespace(sampler=range(len(batch["name"])))
    task = small_task()
    pictures.on_validation_epoch_start(trainer, task)
    pictures.on_validation_batch_end(trainer, task, outputs, batch, 0)
    pictures.on_train_end(trainer, task)
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir).Reload()
    written = {tag: events.Images(tag)[0].encoded_image_string for tag in events.Tags()["images"]}
    return {tag: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) for tag, data in written.items()}


def batch_of_three() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 3, 4, 6), dtype=torch.uint8, generator=generator)
    label = torch.randint(0, 2, (3, 8, 12), dtype=torch.uint8, generator=generator)
    return {"image": image, "label": list(label), "name": ["a", "b", "c"]}


def test_prediction_and_label_lie_side_by_side_at_the_networks_input_size(tmp_path: Path) -> None:
    batch = batch_of_three()
    predicted = [1 - label for label in batch["label"]]
    found = shown({"predicted": predicted}, batch, tmp_path)
    assert sorted(found) == ["validation/a", "validation/b"]  # two of three, evenly spread
    painter = Painter(CLASSES)
    for number, name in ((0, "a"), (1, "b")):
        image = batch["image"][number].permute(1, 2, 0).numpy()
        # Of two pixels at twice the size the second is the one whose centre is nearest, as rounding goes.
        left, right = (np.ascontiguousarray(map_[number][1::2, 1::2].numpy()) for map_ in (predicted, batch["label"]))
        expected = np.hstack([painter.paint(image, left), painter.paint_label(image, right)])
        assert np.array_equal(found[f"validation/{name}"], expected)


@pytest.mark.parametrize("outputs", [None, torch.zeros(()), {"loss": torch.zeros(())}], ids=["none", "loss", "losses"])
def test_a_task_that_gives_no_prediction_has_no_pictures(outputs: Any, tmp_path: Path) -> None:
    assert shown(outputs, batch_of_three(), tmp_path) == {}
