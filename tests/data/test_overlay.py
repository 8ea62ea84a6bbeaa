"""Classes painted over pictures, and the legend beside them."""

import cv2
import numpy as np
import pytest

from segkit.data.datasets.camvid import CLASSES as CAMVID
from segkit.data.datasets.cityscapes import CLASSES as STREET
from segkit.data.legend import UNSCORED
from segkit.data.overlay import Area, Painter, mean_areas, percent
from segkit.data.records import SegmentationClass

ABC = [SegmentationClass(name, colour) for name, colour in {"rest": None, "a": (0, 255, 0), "b": (255, 0, 9)}.items()]
ROAD = [SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0))]


def test_colours_are_blended_where_a_class_has_one() -> None:
    image = np.full((1, 4, 3), (100, 50, 0), np.uint8)
    label = np.array([[0, 1, 2, 255]], np.uint8)
    painted = Painter(ABC, alpha=0.5, outlines=False).paint(image, label)
    assert painted.dtype == np.uint8
    assert painted[0].tolist() == [[100, 50, 0], [50, 152, 0], [178, 25, 4], [100, 50, 0]]
    assert Painter(ABC, alpha=1, outlines=False).paint(image, label)[0, 1].tolist() == [0, 255, 0]
    assert Painter(ABC, alpha=0.2, outlines=False).paint(image, label)[0, 1].tolist() == [80, 91, 0]
    assert (Painter(ABC, alpha=0, outlines=False).paint(image, label) == image).all()
    assert image[0, 1].tolist() == [100, 50, 0]


def test_unpainted_pixels_are_untouched_whatever_the_alpha() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    for alpha in (0.1, 0.3, 0.37, 0.9):
        assert (Painter(ABC, alpha=alpha).paint(image, np.zeros((1, 256), np.uint8)) == image).all()


def test_a_painted_area_ends_in_a_line_of_its_full_colour() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    label = np.zeros((9, 9), np.uint8)
    label[3:9, 3:9] = 1
    label[3:9, 7:9] = 2
    painted = Painter(ABC, alpha=0.5).paint(image, label)
    assert (painted[:3] == 100).all()
    assert painted[5].tolist() == [[100] * 3] * 3 + [
        [0, 255, 0],
        [50, 178, 50],
        [50, 178, 50],
        [0, 255, 0],
        [255, 0, 9],
        [178, 50, 54],
    ]


def test_labels_are_striped_where_they_are_not_scored() -> None:
    image, label = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20), 1, np.uint8)
    label[:, 10:] = 255
    painted = Painter(ABC, outlines=False).paint_label(image, label)
    assert (painted[:, :10] == (50, 178, 50)).all()
    colours, counts = np.unique(painted[:, 10:].reshape(-1, 3), axis=0, return_counts=True)
    assert colours.tolist() == [list(grey) for grey in UNSCORED]
    assert counts.min() > 70


def test_areas_with_opencv_5_whose_histograms_have_one_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    histogram = cv2.calcHist
    monkeypatch.setattr(cv2, "calcHist", lambda *given: histogram(*given).ravel())
    assert Painter(ABC).areas(np.array([[2, 2], [2, 0]], np.uint8)) == (Area(2, 0.75), Area(0, 0.25))


def test_areas_are_shares_of_the_picture_with_most_pixels_first() -> None:
    classes = np.array([[2, 2, 2, 1, 255, 7, 0, 2]], np.uint8)
    assert Painter(ABC).areas(classes) == (Area(2, 0.5), Area(0, 0.125), Area(1, 0.125))
    assert Painter(ABC).areas(np.full((3, 3), 1, np.uint8)) == (Area(1, 1.0),)
    assert Painter(ABC).areas(np.full((3, 3), 255, np.uint8)) == ()


def frame(**pixels: int) -> np.ndarray:
    numbers = {item.name.replace(" ", "_"): number for number, item in enumerate(CAMVID)}
    return np.concatenate([np.full(count, numbers[name], np.uint8) for name, count in pixels.items()])[None]


def order(*frames: np.ndarray) -> list[list[str]]:
    painter, areas, found = Painter(CAMVID), (), []
    for classes in frames:
        areas = painter.areas(classes, areas)
        found.append([CAMVID[area.number].name for area in areas])
    return found


def test_the_order_of_a_drive_stays_until_a_class_has_clearly_outgrown_another() -> None:
    begin, shift = frame(road=40, sky=30, tree=29, car=1), frame(road=33, sky=32, tree=34, car=1)
    assert order(begin, shift, begin) == [["road", "sky", "tree", "car"]] * 3
    assert order(shift) == [["tree", "road", "sky", "car"]]
    # Tree and car have half as much again as the sky has left.
    assert order(begin, frame(road=33, sky=15, tree=24, car=28))[1] == ["road", "tree", "car", "sky"]


def test_classes_that_come_and_go_leave_the_others_in_their_order() -> None:
    assert order(
        frame(road=40, sky=30, tree=29),
        frame(road=40, sky=28, tree=30, pole=2),
        frame(road=40, tree=60),
        frame(sky=60, tree=40),
    ) == [["road", "sky", "tree"], ["road", "sky", "tree", "pole"], ["road", "tree"], ["tree", "sky"]]


@pytest.mark.parametrize("classes", [CAMVID, STREET])
@pytest.mark.parametrize("size", [(360, 480), (375, 1242), (1024, 2048), (160, 576), (20, 30), (30, 90)])
def test_all_pictures_of_one_size_get_one_size_with_the_picture_at_the_upper_left(
    classes: tuple[SegmentationClass, ...], size: tuple[int, int]
) -> None:
    painter, rng = Painter(classes), np.random.default_rng(0)
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    shapes = set()
    for count in (1, len(classes)):
        numbers = rng.integers(0, count, size, np.uint8)
        shown = painter.with_legend(picture, painter.areas(numbers))
        shapes.add(shown.shape)
        assert (shown[: size[0], : size[1]] == picture).all()
        beside = shown.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)  # a number for each colour
        beside[: size[0], : size[1]] = 0xFFFFFF
        colours = {(number >> 16, number >> 8 & 255, number & 255) for number in np.unique(beside).tolist()}
        # Letters are grey at their edges.
        named = [item.colour for item in classes if item.colour is not None and len(set(item.colour)) > 1]
        assert [colour in colours for colour in named] == [
            colour in {item.colour for item in classes[:count]} for colour in named
        ]
    (shape,) = shapes
    if size[0] >= 360:  # it leaves the picture most of the place
        assert size[0] * size[1] > 0.7 * shape[0] * shape[1]
    if size[0] > 40:
        assert (shape[0] > size[0], shape[1] > size[1]) == (size[1] > 2 * size[0], size[1] <= 2 * size[0])


def test_a_class_has_its_colour_and_its_place_in_the_legend() -> None:
    painter = Painter(CAMVID)
    picture = np.full((360, 480, 3), 255, np.uint8)
    first = painter.with_legend(picture, [Area(3, 0.6), Area(0, 0.4)])
    second = painter.with_legend(picture, [Area(3, 0.3), Area(0, 0.7)])
    patches = [(shown[8, 488].tolist(), shown[26, 488].tolist()) for shown in (first, second)]
    assert patches == [([128, 64, 128], [128, 128, 128])] * 2
    assert (first != second).any()  # the numbers


def test_one_colour_gets_a_legend_only_where_it_is_asked_for() -> None:
    picture, areas = np.zeros((40, 200, 3), np.uint8), [Area(1, 0.25), Area(0, 0.75)]
    assert Painter(ROAD).with_legend(picture, areas) is picture
    assert Painter(ROAD, legend=True).with_legend(picture, areas).shape == (58, 200, 3)
    assert Painter(ABC).with_legend(picture, areas).shape != picture.shape
    assert Painter(ABC, legend=False).with_legend(picture, areas) is picture
    assert Painter(ROAD[:1], legend=True).with_legend(picture, areas) is picture


def test_the_mean_weighs_every_picture_the_same() -> None:
    areas = mean_areas([[Area(0, 1.0)], [Area(1, 0.75), Area(0, 0.25)], [Area(1, 1.0)], [Area(1, 1.0)]])
    assert areas == (Area(1, 0.6875), Area(0, 0.3125))
    assert Painter(ABC).shares(areas) == {"a": 0.6875, "rest": 0.3125}
    assert mean_areas([]) == ()


def test_shares_are_told_in_percent() -> None:
    assert [percent(share) for share in (0.0, 0.0001, 0.0005, 0.1234, 1.0)] == [
        "0.0 %",
        "<0.1 %",
        "0.1 %",
        "12.3 %",
        "100.0 %",
    ]
