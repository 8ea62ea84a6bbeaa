import numpy as np

from segkit.data.overlay import paint
from segkit.data.records import SegmentationClass


def test_colours_are_blended_where_a_class_has_one():
    image = np.full((1, 4, 3), (100, 50, 0), np.uint8)
    label = np.array([[0, 1, 2, 255]], np.uint8)
    colours = {"rest": None, "a": (0, 255, 0), "b": (255, 0, 9)}
    classes = [SegmentationClass(name, colour) for name, colour in colours.items()]
    painted = paint(image, label, classes, alpha=0.5)
    assert painted.dtype == np.uint8
    assert painted[0].tolist() == [[100, 50, 0], [50, 152, 0], [178, 25, 4], [100, 50, 0]]
    assert paint(image, label, classes, alpha=1.0)[0, 1].tolist() == [0, 255, 0]
    assert image[0, 1].tolist() == [100, 50, 0]
