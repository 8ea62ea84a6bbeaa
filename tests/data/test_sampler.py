import pytest

from segkit.data.sampler import EpochSampler

Keys = list[tuple[int, int]]


def drawn(length: int, world_size: int, epoch: int, *, shuffle: bool = True, seed: int = 7) -> list[Keys]:
    ranks = []
    for rank in range(world_size):
        sampler = EpochSampler(length, seed, rank, world_size, shuffle)
        sampler.set_epoch(epoch)
        ranks.append(list(sampler))
        assert len(sampler) == len(ranks[-1])
    return ranks


def interleaved(ranks: list[Keys]) -> Keys:
    return [key for step in zip(*ranks, strict=True) for key in step]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_all_numbers_of_processes_share_one_order(world_size):
    alone = drawn(10, 1, 3)[0]
    assert sorted(index for _, index in alone) == list(range(10))
    assert {epoch for epoch, _ in alone} == {3}
    together = interleaved(drawn(10, world_size, 3))
    assert together[:10] == alone
    assert together[10:] == alone[: len(together) - 10]
    assert len(together) % world_size == 0


def test_more_processes_than_records_still_take_equal_steps():
    assert [len(rank) for rank in drawn(3, 8, 0)] == [1] * 8


def test_epochs_and_seeds_differ_and_repeat():
    assert drawn(50, 1, 1) == drawn(50, 1, 1)
    orders = [[i for _, i in drawn(50, 1, epoch, seed=seed)[0]] for epoch, seed in ((1, 7), (2, 7), (1, 8))]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_evaluation_takes_each_record_once_and_in_order(world_size):
    ranks = drawn(10, world_size, 0, shuffle=False)
    assert sorted(key for rank in ranks for key in rank) == [(0, i) for i in range(10)]
    assert all(rank == sorted(rank) for rank in ranks)
