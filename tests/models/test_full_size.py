"""The way back to the picture's own size."""

import itertools

import pytest
import torch
from torch import Tensor

from segkit.models.full_size import sliding_window, to_confidence


def pointwise(images: Tensor) -> Tensor:
    """Logits that depend on each pixel alone."""
    pixels = images.float() / 255
    return torch.cat([pixels.mean(1, keepdim=True), pixels[:, :1] ** 2], 1)


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("size", [(16, 24), (17, 25), (40, 24), (33, 71), (9, 60), (5, 7)])
def test_a_pointwise_network_gives_what_it_gives_of_the_whole_picture(size: tuple[int, int], overlap: float) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    logits = sliding_window(pointwise, image, (16, 24), overlap)
    assert torch.allclose(logits, pointwise(image[None])[0], atol=1e-6)


@pytest.mark.parametrize("overlap", [0, 0.5, 0.75])
def test_windows_have_one_shape_cover_all_and_overlap_enough(overlap: float) -> None:
    seen: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        seen.extend(images)
        return images[:, :1].float()

    columns = torch.arange(100, dtype=torch.uint8).expand(3, 10, 100)
    sliding_window(network, columns, (10, 16), overlap)
    assert {window.shape for window in seen} == {(3, 10, 16)}
    lefts = [int(window[0, 0, 0]) for window in seen]
    assert (lefts[0], lefts[-1]) == (0, 84)
    steps = [b - a for a, b in itertools.pairwise(lefts)]
    assert 0 < max(steps) <= 16 * (1 - overlap)


def test_the_middle_of_a_window_weighs_more_than_its_edge() -> None:
    """The first window says 0 and the second 1: from one to the other logits rise without a step."""
    calls = iter([0.0, 1.0])

    def network(images: Tensor) -> Tensor:
        return torch.stack([torch.full((1, 4, 16), next(calls)) for _ in images])

    row = sliding_window(network, torch.zeros(3, 4, 24, dtype=torch.uint8), (4, 16), 0.5)[0, 0]
    assert row[:8].eq(0).all()
    assert row[16:].eq(1).all()
    assert (row[8:17].diff() > 0).all()
    assert torch.allclose(row[8:16] + row[8:16].flip(0), torch.ones(8))


def test_a_confidence_is_the_probability_rounded_to_8_bit() -> None:
    probabilities = torch.tensor([[0, 1, 1 / 255, 254 / 255], [0.49 / 255, 0.51 / 255, 127.6 / 255, 127.4 / 255]])
    confidence = to_confidence(probabilities)
    assert confidence.dtype == torch.uint8
    assert confidence.tolist() == [[0, 255, 1, 254], [0, 1, 128, 127]]
