"""The programs that are compared, each in a process of its own: they share nothing but the device and the pictures."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from segkit.benchmarks.datasets import labelled_pictures, repeat
from segkit.config.overrides import override
from segkit.distributed.cores import cores
from segkit.distributed.devices import lightning_precision
from segkit.distributed.memory import free_memory
from segkit.errors import UserError
from segkit.runs.read import read_result

TRAIN = ("-c", "from segkit.cli import main; main(['train'])")
"""Words for Python that are ``train.py``, also where segkit is installed without it."""

TRAIN_IMPORTS = ("segkit.training.fit", "segkit.training.task", "segkit.predict.predictor", "segkit.predict.writers")
"""What ``train.py`` imports only once its settings are checked, with torch and Lightning among it."""

SEGKIT, PLAIN, BARE = "segkit", "plain Lightning", "bare loop"
SMP = "segmentation_models.pytorch, plain loop"

IMPORTS = {
    PLAIN: ("segkit.benchmarks.plain", ["torchvision"]),
    BARE: ("segkit.benchmarks.bare", ["torchvision", "torch._inductor.compile_fx"]),
    SMP: ("segkit.benchmarks.bare", ["segmentation_models_pytorch"]),
}
"""Of the other programs: their module, and what it imports only when it measures."""

WAITING = 1 << 30
"""Bytes of memory that a program has room for while others are measured; it takes half of it."""

UNCOUNTED = 2
"""Epochs at the start of ``train.py`` that do not count: caches fill, kernels are compiled and chosen."""

# A terminal as far as rich can tell, so that the progress bar is drawn, and no look for updates over the network.
ENVIRONMENT = {"FORCE_COLOR": "1", "TERM": "xterm", "NO_ALBUMENTATIONS_UPDATE": "1"}

READY = "ready for its turn"

LAST_LINES = 15
"""Of a failed program's errors, these are shown."""

Case = Sequence[int]
"""Height, width, and pictures per step and process."""


def case_text(case: Case) -> str:
    """The case for people: ``160×576, batch 16``."""
    return "{}×{}, batch {}".format(*case)


class ProgramError(UserError):
    """A program that is measured has failed; the message ends with what it said last."""


class Started:
    """A Python program that has imported what takes long, and waits for its turn. Leaving it as a context ends it.

    Args:
        name: for messages.
        imports: modules that it imports before it waits.
        code: what it does then.
        arguments: its command line.
    """

    def __init__(self, name: str, imports: Sequence[str], code: str, arguments: Sequence[str]) -> None:
        self.name = name
        # A file takes whatever is said while nobody reads; a pipe would hold the program up.
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 -- closed with the context
        program = f"import {', '.join(imports)}; print({READY!r}, flush=True); input(); {code}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=as_a_user() | ENVIRONMENT,
        )

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def wait_until_ready(self) -> None:
        """Return once it waits for its turn, or has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.rstrip() == READY:
                return

    def output(self) -> str:
        """Let it go on; what it writes to its standard output until it ends.

        Raises:
            ProgramError: its exit code is not 0.
        """
        output, _ = self._process.communicate("\n")
        if self._process.returncode:
            self._errors.seek(0)
            last = "\n".join(self._errors.read().strip().splitlines()[-LAST_LINES:])
            raise ProgramError(f"{self.name} failed (exit code {self._process.returncode}):\n{last}")
        return output

    def figures(self) -> dict[str, float | None]:
        """Let it go on; what the last line of its output says in JSON.

        Raises:
            ProgramError: it failed, or says nothing of the kind.
        """
        output = self.output()
        try:
            return dict(json.loads(output.splitlines()[-1]))
        except (IndexError, TypeError, ValueError) as error:
            raise ProgramError(f"{self.name} has ended without figures: {output[-100:]!r}") from error


@dataclass(frozen=True)
class Speed:
    """What a program reaches: of all its processes together, memory of the first one (None where it is not known)."""

    images_per_second: float
    peak_memory_gib: float | None


class Programs:
    """Runs the programs one at a time.

    Args:
        settings: of ``conf/bench.yaml``.
        scratch: folder for pictures, caches and run folders.
        gpus: those that may be used; none for the CPU.

    Attributes:
        steps: by case, what ``train.py`` has logged of its steps: whether they were recorded, or why not.
    """

    def __init__(self, settings: dict[str, Any], scratch: Path, gpus: Sequence[int]) -> None:
        self.settings, self.scratch, self.gpus = settings, scratch, list(gpus)
        self.records = labelled_pictures(settings, scratch)
        # The network as a file of the user's own: no word of a command line says all of it.
        chosen = scratch / "conf" / "model" / "measured.yaml"
        chosen.parent.mkdir(parents=True, exist_ok=True)
        chosen.write_text(yaml.safe_dump(settings["model"]))
        lightning = lightning_precision(settings["precision"], bool(gpus))
        self.precision = "bf16" if lightning == "bf16-mixed" else "fp32"
        self.steps: dict[str, str] = {}

    def epoch_pictures(self, per_step: int) -> int:
        """Pictures of an epoch whose steps take ``per_step`` each: whole batches, so that no step is a smaller one."""
        least = max(self.settings["epoch_pictures"], self.settings["epoch_steps"] * per_step)
        return per_step * math.ceil(least / per_step)

    def segkit(self, case: Case, processes: int = 1) -> Speed:
        """``train.py``, with loader, augmentation, logging and progress bar. On ``processes`` GPUs, or the CPU.

        Raises:
            ProgramError: it failed.
        """
        return _speed(self.train(case, processes, self.settings["epochs"]))

    def train(self, case: Case, processes: int, epochs: int, more: Sequence[str] = ()) -> dict[str, Any]:
        """``result.json`` of a run of ``train.py``; ``more`` are further settings.

        Raises:
            ProgramError: it failed.
        """
        with self._started_train(case, processes, epochs, more) as started:
            return self._trained(case, started)

    def compared(
        self, cases: Sequence[Case], smp: bool
    ) -> Generator[tuple[str, int, Speed | ProgramError], None, None]:
        """Each program in each case, by the case's number; with ``smp`` that package's network too.

        One at a time, but as many as there are cores, and memory for, start together, before the first of them has its
        turn: starting one takes longer than measuring it, and would disturb another that is measured.
        """
        # Ours first: it finds the pictures as little in memory as a user does.
        plan = [(name, i) for name in (SEGKIT, PLAIN, BARE, *([SMP] if smp else [])) for i in range(len(cases))]
        while plan:
            free = free_memory()
            together = cores() if free is None else min(cores(), max(1, free // WAITING))
            group, plan = plan[:together], plan[together:]
            with ExitStack() as stack:
                started = [stack.enter_context(self._started(name, cases[i])) for name, i in group]
                for program in started:
                    program.wait_until_ready()
                for (name, i), program in zip(group, started, strict=True):
                    yield name, i, self._measured(name, cases[i], program)

    def _started(self, name: str, case: Case) -> Started:
        if name == SEGKIT:
            return self._started_train(case, 1, self.settings["epochs"])
        gpu = self.gpus[0] if self.gpus else None
        asked = {key: self.settings[key] for key in ("seed", "model", "algorithm", "ema")}
        spec = asked | {"gpu": gpu, "case": list(case)}
        if name == PLAIN:
            # One epoch that does not count, and one that does: it compiles nothing, keeps no cache, and takes long.
            spec |= {"root": str(self._repeated(case[2])), "scratch": str(self.scratch), "epochs": 2}
        else:  # over as many steps as count of train.py
            steps = (self.settings["epochs"] - UNCOUNTED) * self.settings["epoch_steps"]
            spec |= {"precision": self.precision, "smp": name == SMP, "steps": steps}
        module, more = IMPORTS[name]
        return Started(name, [module, *more], f"{module}.main()", [json.dumps(spec)])

    def _started_train(self, case: Case, processes: int, epochs: int, more: Sequence[str] = ()) -> Started:
        place = override("hydra.run.dir", str(self.scratch / "run"))
        words = [*self.words(case, processes, epochs), place, *more]
        return Started("train.py", TRAIN_IMPORTS, TRAIN[1], words)

    def _measured(self, name: str, case: Case, program: Started) -> Speed | ProgramError:
        try:
            if name == SEGKIT:
                return _speed(self._trained(case, program))
            figures = program.figures()
        except ProgramError as error:
            return error
        step_ms = figures["step_ms"]
        assert step_ms is not None
        return Speed(1000 * case[2] / step_ms, figures["peak_memory_gib"])

    def _trained(self, case: Case, program: Started) -> dict[str, Any]:
        folder = self.scratch / "run"
        try:
            program.output()
            self.steps[case_text(case)] = _kind_of_steps(folder)
            return read_result(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # its checkpoints are of gigabytes

    def words(self, case: Case, processes: int, epochs: int) -> list[str]:
        height, width, batch = case
        words = {
            "data.root": str(self._repeated(batch * processes)),
            "data.image_shape": [height, width],
            "data.batch_size": batch,
            "data.split": "none",
            "data.cache_dir": str(self.scratch / "cache"),
            "trainer.gpus": self.gpus[:processes] or 0,
            "trainer.precision": self.precision,
            "trainer.max_epochs": epochs,
            "seed": self.settings["seed"],
            "trainer.ema": self.settings["ema"],
            "predictions": 0,
        }
        groups = ["model=measured", f"optimizer={self.settings['algorithm']}"]
        return [f"--config-dir={self.scratch / 'conf'}", *groups, *starmap(override, words.items())]

    def _repeated(self, per_step: int) -> Path:
        count = self.epoch_pictures(per_step)
        root = self.scratch / f"repeated-{count}"
        if not root.exists():
            repeat(self.records, root, count)
        return root


def _kind_of_steps(folder: Path) -> str:
    """What a run's log says of its steps: ``recorded (18 layers fused)``, ``off, …``; on a CPU nothing."""
    log = folder / "train.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return next((line.partition("fast step: ")[2] for line in reversed(lines) if "fast step: " in line), "")


def _speed(result: dict[str, Any]) -> Speed:
    """Of a run's ``epochs`` and ``gpu_memory_gib``."""
    counted = [epoch["images_per_second"] for epoch in result["epochs"][UNCOUNTED:]]
    return Speed(median(counted), result.get("gpu_memory_gib"))


def as_a_user() -> dict[str, str]:
    """The environment without what a command of segkit's sets for itself: errors would be shown as tracebacks."""
    return {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
