"""Copies of what lies in S3, beside boto3's transfer manager, and training from a copy beside training from the disk.

Both ask the same server, moto's, which runs in a process of its own on this machine, in turns within one run. It is
slow, so the rates are mostly its own and say nothing of AWS; what a client spends of the processor says more.
"""

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from segkit.benchmarks.datasets import labelled_pictures, repeat
from segkit.benchmarks.programs import TRAIN, ProgramError
from segkit.benchmarks.startup import SMALL, seconds
from segkit.benchmarks.table import Table, file_name, rounded
from segkit.config.overrides import override
from segkit.distributed.cores import cores
from segkit.errors import UserError
from segkit.remote.copying import PIECE
from segkit.remote.local import local_place
from segkit.runs.read import read_result

TURNS = 5
SETS = {"many small files": (1000, 100_000), "one large file": (1, 256_000_000)}
"""Files, and bytes of each. moto reads all of a file for each piece of it, hence no larger one."""

EPOCHS = 3
LEAST = {"data.image_shape": [32, 96], "data.batch_size": 8, "trainer.max_epochs": EPOCHS}
"""So small that reading pictures is not hidden behind the network."""

DISK = "the disk"
BUCKET = "bench"

log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Copy each set by both in each turn, and train from the disk and from a copy that is there already.

    Raises:
        UserError: moto is not installed, or ``data.root`` is not KITTI road's folder.
        ProgramError: ``train.py`` or the server failed.
    """
    if find_spec("moto") is None or find_spec("boto3") is None:
        raise UserError("what=s3: needs boto3 and moto's server: pip install 'segkit[aws]' 'moto[server]'")
    for name in ("boto3", "botocore", "segkit.remote.local"):  # each copy and client is told, and is nobody's question
        logging.getLogger(name).setLevel(logging.WARNING)
    scratch = folder / "scratch"
    scratch.mkdir()
    root = scratch / "road"
    repeat(labelled_pictures(settings, scratch), root, settings["pictures"])
    with _server(scratch):
        _upload(root, "road")
        return [_copies(settings["seed"], scratch), _training(root, scratch)]


def _copies(seed: int, scratch: Path) -> Table:
    rows = []
    for name, (count, size) in SETS.items():
        made = scratch / "made"
        made.mkdir()
        generator = np.random.default_rng(seed)
        for number in range(count):
            (made / f"{number}.bin").write_bytes(generator.bytes(size))
        _upload(made, name)
        shutil.rmtree(made)
        turns = [{way: _timed(copy, name, scratch) for way, copy in COPIES.items()} for _ in range(TURNS)]
        row: dict[str, Any] = {"what": name, "files": count, "megabytes": count * size / 1e6}
        for way in COPIES:
            row[f"{way}_mb_per_second"] = median(count * size / 1e6 / turn[way][0] for turn in turns)
        row["ratio_to_boto3"] = median(turn["boto3"][0] / turn["segkit"][0] for turn in turns)
        log.info("%s: %s times boto3's rate", name, rounded(row["ratio_to_boto3"]))
        rows.append(row | {f"{way}_cpu_seconds": median(turn[way][1] for turn in turns) for way in COPIES})
    remarks = [
        f"{cores()} cores, medians of {TURNS} turns; listing and checking included; the server on the same cores",
        "boto3: its transfer manager, told sizes and ETags as by aws s3 cp, which saves it a request each",
        "moto reads the whole file for each piece, so boto3's are made as large as segkit's (its own are half that)",
    ]
    return Table(file_name("s3", "uint8", "nhwc", None), "Copies from S3, against moto's server", rows, remarks)


def _training(root: Path, scratch: Path) -> Table:
    places = {DISK: str(root), "a copy that is there": f"s3://{BUCKET}/road"}
    for place in places.values():  # fills the caches, which do not count
        _trained(place, scratch)
    turns = [{name: _trained(place, scratch) for name, place in places.items()} for _ in range(TURNS)]
    rows = [
        {
            "from": name,
            "images_per_second": median(turn[name]["images_per_second"] for turn in turns),
            "data_seconds": median(turn[name]["data_seconds"] for turn in turns),
            "command_seconds": median(turn[name]["command_seconds"] for turn in turns),
            "ratio_to_disk": median(
                turn["the disk"]["command_seconds"] / turn[name]["command_seconds"] for turn in turns
            ),
        }
        for name in places
    ]
    remarks = [
        f"medians of {TURNS} turns; a run of {EPOCHS} epochs of a small network on the CPU; data_seconds: until "
        "pictures are checked, with the question what is there by now; ratio_to_disk is of the whole command"
    ]
    title = "Training from a copy of what lies in S3"
    return Table(file_name("s3-training", "fp32", "nhwc", None), title, rows, remarks)


def _trained(place: str, scratch: Path) -> dict[str, float]:
    folder = scratch / "run"
    places = {"data.root": place, "data.cache_dir": str(scratch / "cache"), "hydra.run.dir": str(folder)}
    words = [override(key, value) for key, value in (SMALL | LEAST | places).items()]
    taken = seconds([*TRAIN, *words])[0]
    result = read_result(folder)
    shutil.rmtree(folder)
    rate = median(epoch["images_per_second"] for epoch in result["epochs"][1:])
    return {"images_per_second": rate, "data_seconds": result["seconds"]["data"], "command_seconds": taken}


def _by_segkit(name: str, into: Path) -> None:
    local_place("input", f"s3://{BUCKET}/{name}")


def _by_boto3(name: str, into: Path) -> None:
    import boto3
    from boto3.s3.transfer import TransferConfig, create_transfer_manager
    from s3transfer.subscribers import BaseSubscriber

    class Known(BaseSubscriber):  # type: ignore[misc]
        """What the listing has said of a file."""

        def __init__(self, item: dict[str, Any]) -> None:
            self.item = item

        def on_queued(self, future: Any, **rest: Any) -> None:
            future.meta.provide_transfer_size(self.item["Size"])
            future.meta.provide_object_etag(self.item["ETag"])

    into.mkdir()
    client = boto3.client("s3")
    with create_transfer_manager(client, TransferConfig(multipart_chunksize=PIECE)) as manager:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{name}/")
        items = [item for page in pages for item in page["Contents"]]
        paths = [str(into / item["Key"].rpartition("/")[2]) for item in items]
        jobs = [
            manager.download(BUCKET, item["Key"], path, subscribers=[Known(item)])
            for item, path in zip(items, paths, strict=True)
        ]
        for job in jobs:
            job.result()


COPIES: dict[str, Callable[[str, Path], None]] = {"segkit": _by_segkit, "boto3": _by_boto3}


def _timed(copy: Callable[[str, Path], None], name: str, scratch: Path) -> tuple[float, float]:
    """Seconds, and those of this process's work, until all files of the set are there; removed afterwards."""
    into = scratch / "copies"  # also SEGKIT_CACHE
    began, worked = time.perf_counter(), time.process_time()
    copy(name, into)
    taken = time.perf_counter() - began, time.process_time() - worked
    shutil.rmtree(into)
    return taken


def _upload(folder: Path, name: str) -> None:
    import boto3

    client = boto3.client("s3")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        client.upload_file(str(path), BUCKET, f"{name}/{path.relative_to(folder)}")


@contextmanager
def _server(scratch: Path) -> Iterator[None]:
    """moto's server with an empty bucket; within it AWS's variables lead there, and copies go to ``scratch/copies``."""
    import boto3
    from botocore.exceptions import EndpointConnectionError

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SEGKIT_CACHE": str(scratch / "copies"),
    }
    before = dict(os.environ)
    os.environ.update(variables)
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                boto3.client("s3").create_bucket(Bucket=BUCKET)
                break
            except EndpointConnectionError as error:
                if server.poll() is not None:
                    raise ProgramError(f"moto's server ended with exit code {server.returncode}") from error
                time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()
        os.environ.clear()
        os.environ.update(before)
