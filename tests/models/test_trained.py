"""A network from its checkpoint."""

from pathlib import Path

import torch

from segkit.models.trained import load_network, read_checkpoint, weights_of
from tests.commands.test_predict import write_checkpoint


def test_all_weights_are_the_checkpoints_and_no_random_numbers_are_drawn_for_them(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_checkpoint(tmp_path / "best.ckpt"), "checkpoint")
    torch.manual_seed(7)
    network = load_network(checkpoint)
    expected, found = weights_of(checkpoint), network.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in found)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))
