"""What all tests share: generated data sets and the real recordings, where they are."""

import os
from pathlib import Path

import pytest
import torch

# Where there is no GPU, its kernels are tested in Triton's interpreter. Triton asks for it when it is imported.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

from tests.fixtures import camvid_root, kitti_root  # noqa: F401 - fixtures are found by being here


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings beside the checkout: parts of KITTI road and CamVid."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder}")
    return folder
