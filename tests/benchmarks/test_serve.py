"""``segkit bench what=serve``: a server, clients, and bad requests between them."""

from pathlib import Path
from typing import Any

from segkit.benchmarks import serve
from segkit.benchmarks.bad_requests import bad_requests


def test_good_clients_and_bad_ones(tmp_path: Path) -> None:
    model = {"_target_": "segkit.models.fcn.FCN", "fc_channels": 8, "weights": None}
    settings: dict[str, Any] = {
        "gpus": 0,
        "precision": "fp32",
        "seed": 0,
        "model": model,
        "checkpoint": None,
        "trust": [],
    }
    settings |= {"cases": [[32, 64, 2]], "pictures": 2, "seconds": 1, "data": {"root": None}}
    load, kinds = serve.run(settings, tmp_path)
    assert [(row["clients"], row["among"]) for row in load.rows] == [(2, "good ones alone"), (2, "bad requests")]
    for row in load.rows:
        assert row["failures"] == row["refused_503"] == 0
        assert row["requests"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["memory_mib"] > 50
    assert load.rows[0]["bad_requests"] == 0 < load.rows[1]["bad_requests"]
    assert [row["kind"] for row in kinds.rows] == [one.kind for one in bad_requests()]
    assert any(row["status"] == "400" for row in kinds.rows)
