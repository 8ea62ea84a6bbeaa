"""The benchmark of copies from S3, on sets of a few bytes; training itself is not done."""

import os
from pathlib import Path

import pytest

from segkit.benchmarks import s3
from segkit.errors import UserError

SETTINGS = {"pictures": 1, "seed": 0, "data": {"root": None}}


def test_both_copy_each_set_and_training_is_from_the_disk_and_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "TURNS", 1)
    monkeypatch.setattr(s3, "SETS", {"many small files": (3, 1000), "one large file": (1, 5000)})
    before = dict(os.environ)
    places, copied = [], []

    def trained(place: str, scratch: Path) -> dict[str, float]:
        places.append(place)
        return {"images_per_second": 1.0, "data_seconds": 1.0, "command_seconds": 2.0 * len(places)}

    def counted(name: str, into: Path, way: str) -> None:
        ways[way](name, into)
        files = [path for path in into.rglob("*.bin") if path.is_file()]
        copied.append((way, name, len(files), sum(path.stat().st_size for path in files)))

    ways = dict(s3.COPIES)
    monkeypatch.setattr(s3, "_trained", trained)
    monkeypatch.setattr(
        s3, "COPIES", {way: lambda name, into, way=way: counted(name, into, way) for way in ("segkit", "boto3")}
    )
    copies, training = s3.run(SETTINGS, tmp_path)
    assert copied == [
        (way, name, count, count * size) for name, (count, size) in s3.SETS.items() for way in ("segkit", "boto3")
    ]
    assert [row["what"] for row in copies.rows] == ["many small files", "one large file"]
    assert all(row["ratio_to_boto3"] > 0 for row in copies.rows)
    assert places == [str(tmp_path / "scratch" / "road"), "s3://bench/road"] * 2
    assert [row["ratio_to_disk"] for row in training.rows] == [1, 0.75]
    assert dict(os.environ) == before


def test_without_a_server_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"what=s3: needs boto3 and moto's server: pip install"):
        s3.run(SETTINGS, tmp_path)
