"""Label ids for the servers of Cityscapes and KITTI."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data.datasets.cityscapes import CATEGORIES, CLASSES, train_ids
from segkit.data.datasets.cityscapes_server import LabelIds
from segkit.data.overlay import Painter
from segkit.data.records import SegmentationClass
from segkit.data.writer import Prediction
from segkit.errors import UserError

NAME = Path("berlin_000000_000019_leftImg8bit.png")
VALUES = np.arange(38, dtype=np.uint8).reshape(2, 19) % 19


def write(writer: LabelIds, folder: Path, path: Path = NAME) -> Path:
    prediction = Prediction(path, np.zeros((2, 19, 3), np.uint8), VALUES, VALUES, {}, Painter(CLASSES))
    file = folder / "cityscapes" / f"{path.stem}.png"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(writer.encode(prediction))
    return file


def test_files_hold_the_label_ids_of_the_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = LabelIds(CLASSES, [NAME])
    file = write(writer, tmp_path)
    np.testing.assert_array_equal(train_ids(file.read_bytes(), file), VALUES)
    ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert ids[0].tolist() == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    with caplog.at_level(logging.WARNING):
        writer.finish(tmp_path, True)
    assert "the server wants its 1525 test pictures" in caplog.text
    assert len(list((tmp_path / "cityscapes").iterdir())) == 1


def test_a_file_that_was_changed_or_lost_is_found(tmp_path: Path) -> None:
    writer = LabelIds(CLASSES, [NAME])
    file = write(writer, tmp_path)
    cv2.imwrite(str(file), np.zeros((2, 19), np.uint8))
    with pytest.raises(UserError, match="has a label id that is not scored"):
        writer.finish(tmp_path, True)
    cv2.imwrite(str(file), np.full((3, 19), 7, np.uint8))
    with pytest.raises(UserError, match="is no 8-bit grey PNG of 19×2"):
        writer.finish(tmp_path, True)
    file.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        writer.finish(tmp_path, True)


def test_kittis_pictures_keep_their_names(tmp_path: Path) -> None:
    writer = LabelIds(CLASSES, [Path("000003_10.png")])
    assert writer.wanted == 200
    assert write(writer, tmp_path, Path("000003_10.png")).name == "000003_10.png"


def test_other_pictures_and_other_classes_are_refused() -> None:
    with pytest.raises(UserError, match=r"photo\.jpg is not called <city>_<sequence>_<frame>_leftImg8bit\.png"):
        LabelIds(CLASSES, [NAME, Path("photo.jpg")])
    with pytest.raises(UserError, match="two of the pictures of input= have the same name"):
        LabelIds(CLASSES, [NAME, Path("other") / NAME])
    with pytest.raises(UserError, match=r"classes that are not Cityscapes' \(flat, construction, object"):
        LabelIds([SegmentationClass(name, None) for name in CATEGORIES], [NAME])
