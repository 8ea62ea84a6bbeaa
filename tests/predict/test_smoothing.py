import pytest
import torch

from segkit.predict.smoothing import Flicker, Smoothing


def test_the_mean_over_frames_by_hand() -> None:
    smoothing = Smoothing(0.75)
    frames = [torch.tensor([[[p]], [[1 - p]]]) for p in (1.0, 0.0, 0.0)]
    means = [float(smoothing(frame)[0, 0, 0]) for frame in frames]
    assert means == pytest.approx([1.0, 0.75, 0.5625])
    assert [float(frame[0, 0, 0]) for frame in frames] == [1.0, 0.0, 0.0]  # theirs stay as they are


def test_no_weight_changes_nothing_and_another_size_begins_anew() -> None:
    frame = torch.rand(2, 3, 4)
    assert Smoothing(0.0)(frame) is frame
    smoothing = Smoothing(0.9)
    smoothing(torch.zeros(2, 3, 4))
    other = torch.rand(2, 5, 4)
    assert torch.equal(smoothing(other), other)


def test_flicker_is_the_share_of_pixels_that_change() -> None:
    flicker = Flicker()
    assert flicker.share is None
    first = torch.zeros(4, 5, dtype=torch.uint8)
    second = first.clone()
    second[0] = 1  # 5 of 20 pixels
    for classes in (first, second, second, torch.zeros(2, 2, dtype=torch.uint8)):
        flicker.see(classes)
    assert flicker.share == pytest.approx(0.25 / 2)
