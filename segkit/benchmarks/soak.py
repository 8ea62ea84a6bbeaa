"""Training, prediction and serving in turn, for hours: what is not given back of memory, descriptors, disk and so on.

One run is trained, stopped by SIGTERM and resumed; pictures are painted again and again; one server answers clients
and bad requests for as long as all of it takes. What each writes or answers is held against the first time.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import starmap
from pathlib import Path
from typing import Any

from segkit.benchmarks.bad_requests import bad_requests
from segkit.benchmarks.programs import TRAIN, Case, Programs, as_a_user
from segkit.benchmarks.serve import SERVE, TIMEOUT, Server, Tally, ask, bad, checkpoint_of, good, png
from segkit.benchmarks.table import Table, file_name
from segkit.benchmarks.usage import MARK, SHARED, Usage, marked, slopes, usage
from segkit.config.overrides import override
from segkit.data.images import decode_image
from segkit.distributed.cores import cores
from segkit.distributed.devices import one_gpu
from segkit.runs.folder import gpu_name
from segkit.runs.read import read_result

CASE = [96, 320, 4]
TURN = 1800.0
"""Seconds of a turn, about; there are two at least. Memory goes up and down by some 50 MiB: short looks say little."""

EVERY = 1.0
"""Seconds between two looks."""

CLIENTS, PICTURES = 2, 8
ENDLESS = 100_000
"""Epochs."""

STOPPED = 128 + signal.SIGTERM
HUNG = 600.0
"""Seconds after which a program is taken not to end any more."""

log = logging.getLogger(__name__)


@dataclass
class Activity:
    """One of the things that are done: how often, how often it went as it should, and what its processes used."""

    name: str
    tried: int = 0
    held: int = 0
    seconds: float = 0.0
    processes: list[list[tuple[float, Usage]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def count(self, problem: str) -> None:
        """One more; ``problem`` is empty where it held."""
        self.tried += 1
        self.held += not problem
        if problem:
            self.failures.append(problem)
            log.error("%s: %s", self.name, problem)

    def row(self) -> dict[str, Any]:
        last = asdict(self.processes[-1][-1][1]) if self.processes and self.processes[-1] else {}
        growth = slopes(self.processes)
        row: dict[str, Any] = {"what": self.name, "tried": self.tried, "held": self.held, "minutes": self.seconds / 60}
        for name, each in growth.items():
            row |= {name: last.get(name), f"{name}_per_hour": each}
        return row


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """One table: a row for training, prediction and serving, and one for what lies there after each turn.

    Raises:
        UserError: a GPU, a data set or a checkpoint that is not there.
        ProgramError: a program does not start.
    """
    gpu = one_gpu(settings["gpus"], "gpus")
    case: Case = (settings["cases"] or [CASE])[0]
    soak = _Soak(settings, folder / "scratch", [] if gpu is None else [gpu], case)
    try:
        soak.go(settings["seconds"])
    finally:
        soak.end()
    name = gpu_name([] if gpu is None else [gpu])
    about = (
        f"{name or 'CPU'}, {cores()} cores; {case[0]}×{case[1]}, batch {case[2]}; {settings['seconds']:g} s asked for"
    )
    notes = [
        about,
        "per_hour: slope within processes, without each one's first quarter; of predicting, from process to process",
        "memory counts what processes share once, and is the most that one predicting took",
        "training writes its losses to the disk as it goes on",
        *(f"{item.name} did not hold: {text}" for item in soak.activities for text in item.failures[:3]),
    ]
    title = "Training, predicting and serving in turn: what is used, and how fast that grows"
    rows = [item.row() for item in soak.activities]
    return [Table(file_name("soak", "auto", "nhwc", name), title, rows, notes)]


class _Soak:
    def __init__(self, settings: dict[str, Any], scratch: Path, gpus: list[int], case: Case) -> None:
        self.scratch, self.case, self.mark = scratch, case, uuid.uuid4().hex
        self.shared = [entry.name for entry in SHARED.iterdir()]
        programs = Programs(settings, scratch, gpus)
        self.run_folder = scratch / "run"
        more = {"data.split": "fraction", "data.workers": 1, "trainer.ema": 0.99, "hydra.run.dir": str(self.run_folder)}
        self.first_words = [*programs.words(case, 1, ENDLESS), *starmap(override, more.items())]
        shape = (case[0], case[1])
        self.checkpoint = checkpoint_of(settings, shape, scratch / "network.ckpt")
        records = programs.records[:PICTURES]
        self.input = records[0].image.parent
        self.pictures = [png(decode_image(record.image), shape) for record in records]
        words = {"checkpoint": str(self.checkpoint), "gpus": gpus or 0, "trust": settings["trust"]}
        self.words = list(starmap(override, words.items()))
        self.painted: dict[str, str] = {}
        self.most: list[tuple[float, Usage]] = []
        self.train, self.predict, self.serve, self.rest = (
            Activity(name) for name in ("training", "predicting", "serving", "after each turn")
        )
        self.activities = (self.train, self.predict, self.serve, self.rest)
        (scratch / "tmp").mkdir()

    def go(self, seconds: float) -> None:
        turns = max(2, round(seconds / TURN))
        part = seconds / turns / 3
        words = [*self.words, override("port", 0), override("timeout", TIMEOUT), self._place("served")]
        with Server(words, self._marked("serve")) as server:
            expected = [ask(server.address, [picture])[0] for picture in self.pictures]
            begun, left = time.monotonic(), []
            for turn in range(turns):
                self._train(part)
                self._predict(part)
                self._serve(server, expected, part)
                others = [*marked(f"{self.mark}-train"), *marked(f"{self.mark}-predict")]
                temporary = [entry.name for entry in (self.scratch / "tmp").iterdir()]
                problem = f"processes {others}, temporary files {temporary} are left" if others or temporary else ""
                self.rest.count(problem)
                left.append((time.monotonic() - begun, self._used("train", self.scratch)))
                log.info("turn %d of %d: %s", turn + 1, turns, {item.name: item.held for item in self.activities})
            self.rest.seconds, self.rest.processes = time.monotonic() - begun, [left]

    def end(self) -> None:
        """End what is left, which is counted already."""
        for what in ("train", "predict"):
            for process in marked(f"{self.mark}-{what}"):
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)

    def _train(self, seconds: float) -> None:
        going_on = (self.run_folder / "checkpoints" / "last.ckpt").exists()
        words = [f"resume={self.run_folder}"] if going_on else self.first_words
        process = self._start("train", [*TRAIN, *words])
        before = len(read_result(self.run_folder).get("epochs", []))
        while process.poll() is None and len(read_result(self.run_folder).get("epochs", [])) <= before:
            time.sleep(EVERY)
        with self._watched(self.train, "train", self.run_folder), suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.terminate()
        said = self._ended(process, "train", STOPPED)
        status = read_result(self.run_folder).get("status")
        self.train.count(said or ("" if status == "interrupted" else f"its result says {status}"))

    def _predict(self, seconds: float) -> None:
        begun, output = time.monotonic(), self.scratch / "painted"
        while time.monotonic() - begun < seconds:
            words = [*self.words, override("input", str(self.input)), override("output", str(output))]
            process = self._start("predict", [*SERVE[:2], "predict", *words, override("format", "mask")])
            with self._watched(self.predict, "predict", output) as samples:
                said = self._ended(process, "predict", 0)
            self.most += sorted(samples, key=lambda sample: sample[1].memory_mib)[-1:]
            self.predict.processes = [self.most]  # none lives long: what is told is whether later ones take more
            found = {path.name: blake2b(path.read_bytes()).hexdigest() for path in sorted(output.glob("mask/*.png"))}
            self.painted = self.painted or found
            self.predict.count(said or ("" if found == self.painted else "other masks than the first time"))

    def _serve(self, server: Server, expected: Sequence[bytes], seconds: float) -> None:
        tally, ends, kinds = Tally(), threading.Event(), bad_requests()
        work: list[Callable[..., None]] = [
            *(partial(good, server.address, self.pictures, expected, number) for number in range(CLIENTS)),
            partial(bad, server.address, kinds),
        ]
        threads = [threading.Thread(target=one, args=(tally, ends), daemon=True) for one in work]
        with self._watched(self.serve, "serve", self.scratch / "served", again=True):
            for thread in threads:
                thread.start()
            time.sleep(seconds)
            ends.set()
            for thread in threads:
                thread.join(60)
        answers = [(one, status, count) for one in kinds for (status, _), count in tally.bad.get(one.kind, {}).items()]
        held = len(tally.milliseconds) + tally.refused
        held += sum(count for one, status, count in answers if status in one.right)
        self.serve.held += held
        self.serve.tried += held + sum(tally.failures.values())
        self.serve.failures += [f"{count} times: {text}" for text, count in tally.failures.items()]

    @contextmanager
    def _watched(
        self, item: Activity, what: str, folder: Path, again: bool = False
    ) -> Iterator[list[tuple[float, Usage]]]:
        """Within it, what the processes of ``what`` use is looked at: seconds of ``item`` so far, and the usage.

        ``again``: they are the same processes as last time.
        """
        if not again or not item.processes:
            item.processes.append([])
        ends, samples, before, begun = threading.Event(), item.processes[-1], item.seconds, time.monotonic()

        def watch() -> None:
            while True:
                used = self._used(what, folder)
                if used.processes:
                    samples.append((before + time.monotonic() - begun, used))
                if ends.wait(EVERY):
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield samples
        finally:
            ends.set()
            thread.join()
            item.seconds = before + time.monotonic() - begun

    def _used(self, what: str, folder: Path) -> Usage:
        return usage(f"{self.mark}-{what}", folder, self.shared)

    def _marked(self, what: str) -> dict[str, str]:
        return {MARK: f"{self.mark}-{what}", "TMPDIR": str(self.scratch / "tmp")}

    def _place(self, name: str) -> str:
        return override("hydra.run.dir", str(self.scratch / name))

    def _start(self, what: str, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        command, environment = [sys.executable, *words], as_a_user() | self._marked(what)
        with (self.scratch / f"{what}.log").open("wb") as said:
            return subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)

    def _ended(self, process: "subprocess.Popen[bytes]", what: str, expected: int) -> str:
        """What was wrong with how a program has ended; empty where nothing was."""
        try:
            code = process.wait(HUNG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"it did not end in {HUNG:g} s"
        said = (self.scratch / f"{what}.log").read_text(errors="replace")
        if code == expected and "Traceback" not in said:
            return ""
        return f"exit code {code}: {' | '.join(said.strip().splitlines()[-5:])}"
