import pytest

from segkit.data.sampler import EpochSampler, SampleKey

Keys = list[SampleKey]


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


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_all_numbers_of_processes_share_one_order(world_size: int, shuffle: bool) -> None:
    alone = drawn(10, 1, 3, shuffle=shuffle)[0]
    assert sorted(key.number for key in alone) == list(range(10))
    assert {(key.epoch, key.counts) for key in alone} == {(3, True)}
    together = interleaved(drawn(10, world_size, 3, shuffle=shuffle))
    assert together[:10] == alone
    assert [key.number for key in together[10:]] == [key.number for key in alone[: len(together) - 10]]
    assert not any(key.counts for key in together[10:])


def test_more_processes_than_records_still_take_equal_steps() -> None:
    ranks = drawn(3, 8, 0)
    assert [len(rank) for rank in ranks] == [1] * 8
    assert sum(key.counts for rank in ranks for key in rank) == 3


def test_evaluation_keeps_the_order() -> None:
    assert [key.number for key in drawn(10, 1, 5, shuffle=False)[0]] == list(range(10))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    assert drawn(50, 1, 1) == drawn(50, 1, 1)
    orders = [[key.number for key in drawn(50, 1, epoch, seed=seed)[0]] for epoch, seed in ((1, 7), (2, 7), (1, 8))]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
