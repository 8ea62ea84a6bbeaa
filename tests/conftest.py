"""What all tests share: generated data sets and the real recordings, where they are."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

# Where there is no GPU, its kernels are tested in Triton's interpreter. Triton asks for it when it is imported.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
    # Each time that torch.export looks for a GPU, torch would search for the driver's library again.
    torch.cuda._raw_device_count_nvml = lambda: -1

# What imports Triton comes after that.
from segkit.models import trained
from segkit.models.room import activation_bytes
from segkit.runs import folder as run_folder
from segkit.training import room
from tests import schema
from tests.fixtures import camvid_root, kitti_root  # noqa: F401 - fixtures are found by being here

if TYPE_CHECKING:
    from tests.remote.server import Bucket


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first: at the end, one process would wait for the other."""
    items.sort(key=lambda item: item.name != "test_every_command_runs")


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it for garbage, again and again, takes a tenth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="module", autouse=True)
def _no_folders_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a module's fixtures have written goes with them: checkpoints are large. Those of tests begin with test_."""
    searches = _searches()
    yield
    for folder in tmp_path_factory.getbasetemp().iterdir():
        if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("test_"):
            shutil.rmtree(folder, ignore_errors=True)
    if _searches() > searches:  # much is new: imports of this module's
        gc.collect()
        gc.freeze()


def _searches() -> int:
    """How often everything has been looked through for garbage."""
    return int(gc.get_stats()[2]["collections"])


@pytest.fixture(scope="session", autouse=True)
def _results_are_as_documented() -> Iterator[None]:
    """Whatever a command writes as ``result.json`` in the tests' own process is held against its schema."""
    write = run_folder.write_whole

    def held(path: Path, content: bytes) -> None:
        write(path, content)
        if path.name == "result.json" and b'"segkit": {' in content:
            assert not (found := schema.problems(content)), found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "write_whole", held)
        yield


@pytest.fixture(scope="session", autouse=True)
def _networks_are_measured_once() -> Iterator[None]:
    """The memory that a network takes is found by running it on torch's ``meta`` device: a sixth of a short command."""
    found: dict[tuple[Any, ...], int | None] = {}

    def once(network: torch.nn.Module, shape: tuple[int, ...], training: bool) -> int | None:
        key = repr(network), shape, training
        if key not in found:
            found[key] = activation_bytes(network, shape, training)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (trained, room):
            patch.setattr(module, "activation_bytes", once)
        yield


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
