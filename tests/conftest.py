"""What all tests share: generated data sets and the real recordings, where they are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

# Where there is no GPU, its kernels are tested in Triton's interpreter. Triton asks for it when it is imported.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

from tests.fixtures import camvid_root, kitti_root  # noqa: F401 - fixtures are found by being here

if TYPE_CHECKING:
    from tests.remote.server import Bucket


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings beside the checkout: parts of KITTI road and CamVid."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder}")
    return folder


@pytest.fixture(scope="session")
def s3_server() -> "Iterator[Bucket]":
    """moto's S3 server on this machine."""
    from tests.remote.server import serving  # only here: moto takes its time

    with serving() as bucket:
        yield bucket


@pytest.fixture
def bucket(s3_server: "Bucket", monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """An empty bucket called ``roads``, which every AWS tool in the test finds."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    s3_server.clear()
    return s3_server
