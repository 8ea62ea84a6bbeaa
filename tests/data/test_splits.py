from pathlib import Path

import pytest

from segkit.data.records import Record
from segkit.data.splits import split_records
from segkit.errors import UserError


def made(**counts: int) -> list[Record]:
    return [
        Record(f"{group}_{i:06d}", group, Path(f"{group}_{i:06d}.png"), None)
        for group, count in counts.items()
        for i in range(count)
    ]


def names(records: list[Record]) -> list[str]:
    return [record.name for record in records]


def test_kittiseg_holds_out_the_list_that_kittiseg_published(shared_data):
    published = (shared_data / "kitti_road/kittiseg_val.txt").read_text().split()
    train, val = split_records(made(um=95, umm=96, uu=98), "kittiseg", fold=0, val_fraction=0.2)
    assert sorted(names(val)) == sorted(Path(name).stem for name in published)
    assert len(train) == 289 - 48


def test_kittiseg_on_a_fragment_names_the_remedy():
    with pytest.raises(UserError, match=r"um has 11.*data\.split=fraction data\.val_fraction=0\.2"):
        split_records(made(um=11, uu=40), "kittiseg", fold=0, val_fraction=0.2)


def test_each_record_is_validated_in_exactly_one_fold_and_folds_are_contiguous():
    records = made(um=95, umm=96, uu=98)
    validated = []
    for fold in range(5):
        train, val = split_records(records, "fold", fold=fold, val_fraction=0.2)
        assert not set(train) & set(val)
        assert len(train) + len(val) == 289
        for group in ("um", "umm", "uu"):
            ids = [int(record.name.split("_")[1]) for record in val if record.group == group]
            assert ids == list(range(ids[0], ids[-1] + 1))
            assert len(ids) in (19, 20)
        validated += val
    assert sorted(names(validated)) == sorted(names(records))


def test_fraction_takes_the_rounded_end_of_each_group():
    train, val = split_records(made(um=11, uu=6), "fraction", fold=0, val_fraction=0.2)
    assert names(val) == ["um_000009", "um_000010", "uu_000005"]
    assert len(train) == 14


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_fraction_leaves_at_least_one_record_in_each_part(fraction):
    train, val = split_records(made(um=2, uu=3), "fraction", fold=0, val_fraction=fraction)
    assert min(len(train), len(val)) == 1
    assert len(train) + len(val) == 5


def test_too_few_records_are_an_error():
    with pytest.raises(UserError, match="one each"):
        split_records(made(um=1), "fraction", fold=0, val_fraction=0.5)
    with pytest.raises(UserError, match=r"data\.fold=0"):
        split_records(made(um=4, uu=4), "fold", fold=0, val_fraction=0.5)


def test_the_order_of_the_records_does_not_matter():
    records = made(um=9, uu=9)
    forward = split_records(records, "fold", fold=2, val_fraction=0.2)
    assert split_records(records[::-1], "fold", fold=2, val_fraction=0.2) == forward


def test_none_trains_on_everything_as_the_paper_did():
    records = made(um=2, uu=1)
    assert split_records(records, "none", fold=0, val_fraction=0.2) == (records, [])
