import pytest

from segkit.distributed.cores import LIMIT, cores


def test_a_share_of_the_machine_is_all_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT, raising=False)
    there = cores()
    assert there >= 1
    monkeypatch.setenv(LIMIT, "1")
    assert cores() == 1
    monkeypatch.setenv(LIMIT, str(there + 5))  # a share does not make cores
    assert cores() == there
