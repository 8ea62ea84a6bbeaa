import torch

from segkit.data.augment.mixing import pasted, random_half


def test_all_pixels_of_the_chosen_classes_come_with_their_labels() -> None:
    label = torch.tensor([[[0, 1, 2, 255]]], dtype=torch.uint8)
    image = torch.tensor([10, 20, 30, 40], dtype=torch.uint8).expand(1, 3, 1, 4)
    other_label = torch.tensor([[[3, 3, 255, 3]]], dtype=torch.uint8)
    other = torch.tensor([5, 6, 7, 8], dtype=torch.uint8).expand(1, 3, 1, 4)
    chosen = torch.zeros(1, 256, dtype=torch.bool)
    chosen[0, 3] = True
    mixed, mixed_label = pasted(image, label, (other, other_label), chosen)
    assert mixed_label.tolist() == [[[3, 3, 2, 3]]]
    assert mixed[0, 1].tolist() == [[5, 6, 30, 8]]


def test_nothing_is_pasted_into_padding() -> None:
    label = torch.tensor([[[255, 255, 0]]], dtype=torch.uint8)
    image = torch.tensor([0, 40, 0], dtype=torch.uint8).expand(1, 3, 1, 3)
    other = torch.full((1, 3, 1, 3), 9, dtype=torch.uint8)
    chosen = torch.ones(1, 256, dtype=torch.bool)
    mixed, mixed_label = pasted(image, label, (other, torch.ones_like(label)), chosen)
    assert mixed_label.tolist() == [[[255, 1, 1]]]
    assert mixed[0, 0].tolist() == [[0, 9, 9]]


def test_half_of_the_classes_that_are_there_rounded_down_and_never_255() -> None:
    label = torch.tensor([[[0, 4, 4], [7, 9, 255]], [[2, 2, 2], [2, 2, 2]], [[1, 3, 5], [5, 5, 255]]]).to(torch.uint8)
    priority = torch.full((3, 256), 0.5)
    priority[0, [0, 4, 7, 9, 255, 100]] = torch.tensor([0.9, 0.1, 0.8, 0.2, 0.0, 0.0])
    priority[2, [1, 3, 5]] = torch.tensor([0.3, 0.2, 0.1])
    chosen = random_half(label, priority)
    assert [row.nonzero().flatten().tolist() for row in chosen] == [[4, 9], [], [5]]
