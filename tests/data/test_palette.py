"""The colours for colour-blind people, as the colour-blind see them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data.datasets.camvid import CLASSES as CAMVID
from segkit.data.datasets.cityscapes import CLASSES as STREET
from segkit.data.datasets.own.classes import palette
from segkit.data.images import decode_image
from segkit.data.overlay import Painter
from segkit.data.palette import ELEVEN, TWENTY, colour_blind
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from tests.colour_vision import SIGHTS, difference, lab, smallest_difference


def test_the_measure_is_ciede2000() -> None:
    # Pairs of the table by Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005.
    one = [
        (50, 2.6772, -79.7751),
        (50, -1.3802, -84.2814),
        (50, 2.5, 0),
        (50, -0.001, 2.49),
        (22.7233, 20.0904, -46.694),
    ]
    other = [(50, 0, -82.7485), (50, 0, -82.7485), (73, 25, -18), (50, 0.0011, -2.49), (23.0331, 14.973, -42.5619)]
    found = difference(np.array(one, float), np.array(other, float))
    assert np.round(found, 4).tolist() == [2.0425, 1.0, 27.1492, 4.7461, 2.0373]
    assert lab((255, 255, 255), "protanopia") == pytest.approx((100, 0, 0), abs=0.01)


@pytest.mark.parametrize(("classes", "least"), [(CAMVID, 17.5), (STREET, 12.4)])
def test_any_two_classes_differ_more_than_in_their_own_colours_to_everyone(
    classes: Sequence[SegmentationClass], least: float
) -> None:
    for sight in SIGHTS:
        own, found = (
            smallest_difference([item.colour for item in each], sight) for each in (classes, colour_blind(classes))
        )
        assert found > max(own, least)


@pytest.mark.parametrize("count", range(2, 21))
def test_they_beat_the_colours_of_own_pictures_for_any_number_of_classes(count: int) -> None:
    colours = palette(count)
    classes = [SegmentationClass(str(number), colour) for number, colour in enumerate(colours)]
    found = [item.colour for item in colour_blind(classes)]
    assert min(smallest_difference(found, sight) for sight in SIGHTS) > min(
        smallest_difference(colours, sight) for sight in SIGHTS
    )


def test_what_is_not_painted_stays_so_and_too_many_classes_are_told() -> None:
    background, road = SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0))
    assert colour_blind([background, road]) == (background, SegmentationClass("road", ELEVEN[0]))
    many = [SegmentationClass(str(number), (number, 0, 0)) for number in range(len(TWENTY) + 1)]
    assert len({item.colour for item in colour_blind(many[1:])}) == len(TWENTY)
    with pytest.raises(
        UserError, match=r"^paint\.colours=colour_blind: has 20 colours, and 21 classes are painted; give"
    ):
        colour_blind(many)


def test_the_road_stands_out_on_real_streets(shared_data: Path) -> None:
    """Nine of ten painted road pixels differ clearly from an unpainted one that lies within 25 pixels of the road."""
    road = SegmentationClass("road", (0, 255, 0))
    painter = Painter([SegmentationClass("background", None, background=True), road], colours="colour_blind")
    rng = np.random.default_rng(0)
    painted, beside = [], []
    for path in sorted((shared_data / "kitti_road/training/gt_image_2").glob("um_lane_*.png")):
        image = decode_image(path.parents[1] / "image_2" / path.name.replace("lane_", ""))
        label = decode_image(path)
        mask = (label[..., 2] > 0).astype(np.uint8)
        near = (cv2.dilate(mask, np.ones((51, 51), np.uint8)) > mask) & label.any(2)
        shown = painter.paint(image, mask)
        painted.append(rng.choice(shown[mask == 1], 500))
        beside.append(rng.choice(shown[near], 500))
    for sight in SIGHTS:
        differences = difference(lab(np.concatenate(painted), sight), lab(np.concatenate(beside), sight))
        assert np.percentile(differences, 10) > 18
