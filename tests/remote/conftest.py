"""S3 on this machine: moto's server, and what lies in it."""

from collections.abc import Iterator

import pytest

from tests.remote.server import Bucket, serving


@pytest.fixture(scope="session")
def _server() -> Iterator[Bucket]:
    with serving() as bucket:
        yield bucket


@pytest.fixture
def bucket(_server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket called ``roads``, which every AWS tool in the test finds."""
    for name, value in _server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    _server.clear()
    return _server
