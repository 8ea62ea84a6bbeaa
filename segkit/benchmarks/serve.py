"""``segkit serve`` under load: many clients, the server's memory meanwhile, and bad requests between the good ones."""

import http.client
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segkit.benchmarks.bad_requests import BadRequest, answer_to, bad_requests
from segkit.benchmarks.datasets import labelled_pictures
from segkit.benchmarks.predict import random_checkpoint
from segkit.benchmarks.programs import ProgramError, as_a_user
from segkit.benchmarks.table import Table, file_name, rounded
from segkit.config.overrides import override
from segkit.data.images import decode_image, resize_image
from segkit.distributed.cores import cores
from segkit.distributed.devices import one_gpu, prediction_precision
from segkit.models.trained import write_checkpoint
from segkit.runs.find import find_checkpoint
from segkit.runs.folder import gpu_name

CASES = [[160, 256, 1], [160, 256, 32]]
"""Height and width of the pictures, and clients at once."""

PICTURES = 8
BAD, SLOW = 2, 16
"""Clients that send bad requests one after the other, and that send theirs byte by byte."""

TIMEOUT = 5
"""Of the server: slow clients are given up while it is measured."""

SERVE = ("-c", "from segkit.cli import main; main()", "serve")
log = logging.getLogger(__name__)

Mask = bytes


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Two tables: of the good requests alone and among bad ones, for each case; and of the kinds of bad ones.

    Raises:
        UserError: a GPU, a data set or a checkpoint that is not there.
        ProgramError: the server does not start, or does not stop.
    """
    gpu = one_gpu(settings["gpus"], "gpus")
    precision = prediction_precision(settings["precision"], gpu)
    cases = settings["cases"] or CASES
    records = labelled_pictures(settings, folder / "scratch")[:PICTURES]
    name = gpu_name([] if gpu is None else [gpu])
    rows: list[dict[str, Any]] = []
    answers: dict[str, Counter[tuple[int, str]]] = {}
    for height, width, clients in cases:
        place = checkpoint_of(settings, (height, width), folder / "scratch" / f"{height}x{width}.ckpt")
        pictures = [png(decode_image(record.image), (height, width)) for record in records]
        words = {"checkpoint": str(place), "gpus": 0 if gpu is None else [gpu], "precision": precision, "port": 0}
        words |= {"timeout": TIMEOUT, "trust": settings["trust"], "hydra.run.dir": str(folder / "scratch" / "served")}
        with Server([override(key, value) for key, value in words.items()]) as server:
            expected = [ask(server.address, [picture])[0] for picture in pictures]
            for among in (False, True):
                row, found = _measured(server, pictures, expected, clients, settings["seconds"], among)
                rows.append({"height": height, "width": width, "clients": clients, **row})
                for kind, counted in found.items():
                    answers.setdefault(kind, Counter()).update(counted)
                log.info("%d clients, %s: %s", clients, row["among"], {k: rounded(v) for k, v in row.items()})
    about = f"{name or 'CPU'}, {cores()} cores, which the clients share; {settings['seconds']} s for each row"
    slow = f"bad ones: {BAD} clients send each kind in turn, {SLOW} send a header or a body byte by byte"
    load = Table(
        file_name("serve", precision, "nhwc", name), "Serving: every client asks again at once", rows, [about, slow]
    )
    kinds = Table(file_name("serve-bad", precision, "nhwc", name), "Serving: bad requests", _kinds(answers), [about])
    return [load, kinds]


@dataclass
class Tally:
    """What clients have seen."""

    milliseconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    bad: dict[str, Counter[tuple[int, str]]] = field(default_factory=dict)
    given_up: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def _measured(
    server: "Server", pictures: Sequence[bytes], expected: Sequence[Mask], clients: int, seconds: float, among: bool
) -> tuple[dict[str, Any], dict[str, Counter[tuple[int, str]]]]:
    tally, ends = Tally(), threading.Event()
    kinds = bad_requests()
    work = [partial(good, server.address, pictures, expected, number) for number in range(clients)]
    if among:
        turned = [kinds[number * len(kinds) // BAD :] + kinds[: number * len(kinds) // BAD] for number in range(BAD)]
        work += [partial(bad, server.address, kinds) for kinds in turned]
        work += [partial(_slow, server.address, number) for number in range(SLOW)]
    threads = [threading.Thread(target=one, args=(tally, ends), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    begun, memory = time.monotonic(), []
    while (now := time.monotonic() - begun) < seconds:
        memory.append((now, server.memory_mib()))
        time.sleep(min(0.25, seconds / 20))
    ends.set()
    for thread in threads:
        thread.join(60)
    taken = time.monotonic() - begun
    times, used = np.array(memory).T
    late = times > seconds / 4  # by then every thread has its buffers
    growth = 60 * float(np.polyfit(times[late], used[late], 1)[0])
    p50, p99 = np.percentile(tally.milliseconds, [50, 99]) if tally.milliseconds else (float("nan"), float("nan"))
    row = {
        "among": "bad requests" if among else "good ones alone",
        "requests": len(tally.milliseconds),
        "failures": sum(tally.failures.values()),
        "refused_503": tally.refused,
        "requests_per_second": len(tally.milliseconds) / taken,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "memory_mib": float(used[-1]),
        "growth_mib_per_minute": growth,
        "bad_requests": sum(map(Counter.total, tally.bad.values())),
        "slow_given_up": tally.given_up,
    }
    for failure, count in tally.failures.items():
        log.error("%d times: %s", count, failure)
    return row, tally.bad


def good(
    address: tuple[str, int],
    pictures: Sequence[bytes],
    expected: Sequence[Mask],
    number: int,
    tally: Tally,
    ends: threading.Event,
) -> None:
    """One picture after the other, on one connection; every mask has to be the picture's."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    while not ends.is_set():
        number = (number + 1) % len(pictures)
        begun = time.perf_counter()
        try:
            connection.request("POST", "/invocations", pictures[number], {"Content-Type": "image/png"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with tally.lock:
                tally.failures[f"{type(error).__name__}: {error}"] += 1
            continue
        took = 1000 * (time.perf_counter() - begun)
        with tally.lock:
            if answer.status == 503:
                tally.refused += 1
            elif answer.status != 200:
                tally.failures[f"{answer.status}: {content[:200]!r}"] += 1
            elif _differing(content, expected[number]) > 0.01:
                tally.failures["a mask that is not this picture's"] += 1
            else:
                tally.milliseconds.append(took)
    connection.close()


def bad(address: tuple[str, int], kinds: Sequence[BadRequest], tally: Tally, ends: threading.Event) -> None:
    for one in cycle(kinds):
        if ends.is_set():
            return
        try:
            status, body = answer_to(address, one.sent, 60)
        except OSError as error:
            status, body = -1, str(error)
        with tally.lock:
            tally.bad.setdefault(one.kind, Counter())[status, body[:200] if status not in (0, 200) else ""] += 1
            if status not in one.right:
                tally.failures[f"{one.kind} was answered with {status}"] += 1


def _slow(address: tuple[str, int], number: int, tally: Tally, ends: threading.Event) -> None:
    """A byte every fifth of a second, until the server has enough."""
    start = b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if number % 2:
        start += b"Content-Length: 100000\r\n\r\n"
    while not ends.is_set():
        try:
            with socket.create_connection(address, 60) as connection:
                connection.sendall(start)
                while not ends.wait(0.2):
                    connection.sendall(b"x")
        except OSError:
            with tally.lock:
                tally.given_up += 1


class Server:
    """``segkit serve`` in a process of its own, which SIGTERM ends."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, *SERVE, *words]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=as_a_user() | dict(environment or {}),
        )
        self._said: list[str] = []

    def __enter__(self) -> "Server":
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)
            if found := re.search(r"serving at http://(\S+):(\d+)", line):
                self.address = (found[1], int(found[2]))
                threading.Thread(target=self._listen, daemon=True).start()
                return self
        raise ProgramError(f"segkit serve did not start:\n{''.join(self._said[-15:]).strip()}")

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            code = self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code and error[0] is None:
            raise ProgramError(f"segkit serve ended with exit code {code}:\n{''.join(self._said[-15:]).strip()}")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)

    def memory_mib(self) -> float:
        """What of it lies in memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def ask(address: tuple[str, int], pictures: Sequence[bytes]) -> list[Mask]:
    connection = http.client.HTTPConnection(*address, timeout=60)
    masks = []
    for picture in pictures:
        connection.request("POST", "/invocations", picture, {"Content-Type": "image/png"})
        masks.append(connection.getresponse().read())
    connection.close()
    return masks


def _differing(one: Mask, other: Mask) -> float:
    """Share of the pixels; rounding may turn single ones where pictures are computed together."""
    if one == other:
        return 0.0
    masks = [cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_UNCHANGED) for mask in (one, other)]
    return float(np.mean(masks[0] != masks[1]))


def _kinds(answers: dict[str, Counter[tuple[int, str]]]) -> list[dict[str, Any]]:
    rows = []
    for one in bad_requests():
        found = answers.get(one.kind, Counter())
        statuses = sorted({status for status, _ in found})
        sentence = next((re.sub(r'^{"error": "|"}$', "", body) for _, body in found if body), "")
        row = {"kind": one.kind, "sent": found.total(), "status": " ".join(str(s or "closed") for s in statuses)}
        rows.append(row | {"answer": sentence})
    return rows


def png(picture: np.ndarray, shape: tuple[int, int]) -> bytes:
    return cv2.imencode(".png", resize_image(picture, shape)[..., ::-1])[1].tobytes()


def checkpoint_of(settings: dict[str, Any], shape: tuple[int, int], place: Path) -> Path:
    if settings["checkpoint"] is not None:
        return find_checkpoint(settings["checkpoint"], "checkpoint")
    if not place.exists():
        with torch.random.fork_rng(devices=[]):
            write_checkpoint(random_checkpoint(settings, list(shape)), place)
    return place
