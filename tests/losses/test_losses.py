import math

import pytest
import torch

from segkit.losses.cross_entropy import cross_entropy


def test_mean_over_scored_pixels_by_hand() -> None:
    # Pixel 1: logits (0, 0), class 0, loss ln 2. Pixel 2: logits (0, ln 3), class 1, probability 3/4. Pixel 3 unscored.
    logits = torch.tensor([[[[0.0, 0.0, 9.0]], [[0.0, math.log(3), -9.0]]]])
    label = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    assert float(cross_entropy(logits, label)) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_unscored_pixels_get_no_gradient() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    label = torch.zeros(2, 4, 5, dtype=torch.uint8)
    label[:, 1:3] = 255
    cross_entropy(logits, label).backward()
    assert logits.grad is not None
    assert torch.all(logits.grad[:, :, 1:3] == 0)
    assert torch.all(logits.grad[:, :, 0] != 0)


def test_a_batch_without_scored_pixels_has_loss_and_gradient_zero() -> None:
    logits = torch.ones(1, 2, 3, 3, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 3, 3), 255, dtype=torch.uint8))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert torch.all(logits.grad == 0)
