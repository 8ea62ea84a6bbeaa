import numpy as np
import torch

from segkit.data.augment.base import Key
from segkit.data.augment.drawing import drawn
from segkit.data.augment.shadows import shaded, shadow_mask, shadow_parameters

KEYS = [Key(0, 0, number) for number in range(200)]
SHAPE = (48, 96)


def parameters(depth: float) -> dict[str, torch.Tensor]:
    given = shadow_parameters(drawn(KEYS), depth, SHAPE[1] / SHAPE[0])
    return {name: torch.from_numpy(values).float() for name, values in given.items()}


def masks() -> torch.Tensor:
    given = parameters(0.5)
    return shadow_mask(given["edge"], given["sides"], given["grid"], SHAPE)


def test_half_of_the_pictures_have_shadows_and_none_is_deeper_than_asked() -> None:
    lit = shaded(torch.full((200, 3, *SHAPE), 200.0), **parameters(0.5))
    darkest = lit.flatten(1).amin(1)
    assert 60 < (darkest < 190).sum() < 120
    assert darkest.min() >= 99.9
    assert darkest.min() < 120
    assert lit.max() == 200


def test_a_shadow_is_bluish() -> None:
    lit = shaded(torch.full((200, 3, *SHAPE), 200.0), **parameters(0.6))
    red, green, blue = lit.unbind(1)
    dark = red < 150
    assert dark.any()
    assert (red[dark] < green[dark]).all()
    assert (green[dark] < blue[dark]).all()


def test_shadows_lie_low_cover_a_part_and_have_sharp_and_soft_edges() -> None:
    mask = masks()
    assert mask.min() == 0
    assert mask.max() == 1
    assert (mask[:, :9] == 0).all()  # no horizon is higher
    covered = (mask > 0.5).float().mean((1, 2))
    assert 0.05 < covered.mean() < 0.5
    assert (covered > 0).float().mean() > 0.8
    between = ((mask > 0.05) & (mask < 0.95)).float().mean((1, 2))
    assert between.max() > 10 * between[covered > 0.05].min()


def test_a_side_is_a_straight_line_where_the_edge_is_not_ragged() -> None:
    sides = torch.tensor([[0.0, 0.0, 9.0]] * 4).repeat(2, 1, 1)[None]  # everywhere inside
    sides[0, :, 0] = torch.tensor([1.0, 0.0, -0.5])  # right of half the height
    edge = torch.tensor([[1000.0, 0.0, 0.0]])
    mask = shadow_mask(edge, sides, torch.zeros(1, 408), (40, 80))
    assert (mask[0, 20:, :20] == 0).all()
    assert (mask[0, 20:, 20:] == 1).all()


def test_of_two_shapes_the_union() -> None:
    far = [0.0, 0.0, 9.0]
    sides = torch.tensor([[[[-1.0, 0.0, 0.25], far, far, far], [[1.0, 0.0, -1.5], far, far, far]]])
    mask = shadow_mask(torch.tensor([[1000.0, 0.0, 0.0]]), sides, torch.zeros(1, 408), (40, 80))
    assert (mask[0, 20:, :10] == 1).all()
    assert (mask[0, 20:, 10:60] == 0).all()
    assert (mask[0, 20:, 60:] == 1).all()


def test_a_ragged_edge_is_no_straight_line() -> None:
    sides = torch.tensor([[0.0, 1.0, -0.7]] * 4).repeat(2, 1, 1)[None]  # below 0.7
    grid = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 408))).float()
    straight, ragged = (
        shadow_mask(torch.tensor([[1000.0, amount, 0.0]]), sides, grid, (40, 80)) for amount in (0.0, 0.3)
    )
    assert len(straight[0].sum(0).unique()) == 1
    assert len(ragged[0].sum(0).unique()) > 5
