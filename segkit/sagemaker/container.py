"""Inside a training job: what SageMaker lays out becomes settings, and results go where SageMaker collects them.

Below ``/opt/ml`` (or ``SAGEMAKER_BASE_DIR``) a job finds its hyperparameters, hosts and channels as files. Its run
folder is ``checkpoints``, which SageMaker copies to S3 while the job runs, and puts back when a spot instance has been
taken away: a run that is there is gone on with.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import json
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from segkit.config.overrides import override, quoted, split_flags, value_of
from segkit.distributed.ranks import Ranks
from segkit.errors import Interrupted, Told, UserError
from segkit.runs.folder import CONFIG
from segkit.runs.sources import CODE

CODE_CHANNEL = "code"
"""The channel that holds the source; all others are data."""

NOT_OURS = ("sagemaker_", "_tuning_objective")
"""How hyperparameters begin that SageMaker's SDK and its tuning jobs add."""

LONGEST_FAILURE = 1024
COPIED_EVERY = 30.0
"""Seconds until TensorBoard's events are copied again to where SageMaker collects them."""


@dataclass(frozen=True)
class TrainingJob:
    """What a job's container was given.

    Attributes:
        base: ``/opt/ml``.
        hyperparameters: their values are texts.
        hosts: the names of all of the job's machines, in the same order on each.
        current_host: that of this one.
        interface: the network interface that the hosts see each other through; may be empty.
        channels: names of the folders in ``input/data``.
    """

    base: Path
    hyperparameters: dict[str, str]
    hosts: list[str]
    current_host: str
    interface: str
    channels: list[str]

    @classmethod
    def here(cls) -> "TrainingJob | None":
        """The job that this process runs in; None outside of one.

        Raises:
            UserError: a file of it is damaged.
        """
        base = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
        config = base / "input" / "config"
        if not config.is_dir():
            return None
        machines = _read(config / "resourceconfig.json")
        hosts = sorted(machines.get("hosts", ["algo-1"]))
        return cls(
            base,
            {key: str(value) for key, value in _read(config / "hyperparameters.json").items()},
            hosts,
            machines.get("current_host", hosts[0]),
            machines.get("network_interface_name", ""),
            sorted(_read(config / "inputdataconfig.json")),
        )

    @property
    def run_folder(self) -> Path:
        return self.base / "checkpoints"

    def arguments(self, typed: list[str]) -> list[str]:
        """The command line of ``segkit train`` that the job comes to. What is typed wins over hyperparameters.

        Raises:
            UserError: hyperparameters that cannot be read, or that a job cannot have.
        """
        flags, words = split_flags(typed)
        words = [*self._overrides(), *words]
        if value_of(words, "resume") is not None:
            raise UserError("resume: a job goes on with what its CheckpointConfig brings; give it that S3Uri")
        given = {word.partition("=")[0].lstrip("+") for word in words}
        channels = [name for name in self.channels if name != CODE_CHANNEL]
        if channels and "data.root" not in given:
            folder = self.base / "input" / "data"
            # Several channels (training, testing) lie in it as the folders of one data set.
            words.append(override("data.root", str(folder / channels[0] if len(channels) == 1 else folder)))
        if "trainer.num_nodes" not in given and len(self.hosts) > 1:
            words.append(f"trainer.num_nodes={len(self.hosts)}")
        if "trainer.gpus" not in given and (gpus := _gpus()) > 1:
            words.append(f"trainer.gpus={gpus}")
        if (self.run_folder / CONFIG / "config.yaml").exists():
            # What the first attempt added to the config is in it, and cannot be added again.
            again = [word for word in words if word.startswith("++") or word[:1] not in "+~"]
            return [*flags, f"resume={self.run_folder}", *again]
        return [*flags, *words, override("hydra.run.dir", str(self.run_folder))]

    def _overrides(self) -> Iterator[str]:
        for name, text in self.hyperparameters.items():
            if name.startswith(NOT_OURS):
                continue
            value = _of_json(text)
            if name == "overrides":
                yield from shlex.split(str(value))
                continue
            key = name if "." in name else name.replace("__", ".")
            plain = isinstance(value, str | list | dict) and value != text
            yield override(key, value) if plain else quoted(f"{key}={text}")

    def start_ranks(self, arguments: Sequence[str]) -> None:
        """Become torchrun, where several hosts train together and it has not started this process.

        It starts this command again, once for each GPU, and passes SIGTERM on.
        """
        if len(self.hosts) == 1 or "RANK" in os.environ:
            return
        gpus = value_of(arguments, "trainer.gpus")
        if gpus in (None, "auto"):
            gpus = _gpus()
        count = len(gpus) if isinstance(gpus, list) else gpus
        count = count or value_of(arguments, "trainer.cpu_processes") or 1
        for library in ("NCCL", "GLOO") if self.interface else ():
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", self.interface)
        torchrun = [
            f"--nnodes={len(self.hosts)}",
            f"--node-rank={self.hosts.index(self.current_host)}",
            f"--nproc-per-node={count}",
            f"--master-addr={self.hosts[0]}",
            f"--master-port={os.environ.get('MASTER_PORT', '29500')}",
        ]
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *torchrun, *sys.argv])

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Within it, SIGTERM ends this process also where it is process 1, and TensorBoard's events are copied.

        However it ends, what there is of the run is put where SageMaker collects it, and an error's line too.
        """
        before = signal.signal(signal.SIGTERM, _interrupt)
        stop = threading.Event()
        thread = threading.Thread(target=self._copy_events, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        except BaseException as error:
            self.tell(error)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
            stop.set()
            thread.join()
            ranks = Ranks.from_environment()
            if ranks is None or ranks.rank == 0:
                self._collect()

    def tell(self, error: BaseException) -> None:
        """Write what SageMaker shows as the reason of a failure. An interruption is none."""
        if isinstance(error, SystemExit) and not isinstance(error, Told):
            return
        line = str(error) if isinstance(error, Told | UserError) else f"{type(error).__name__}: {error}"
        with suppress(OSError):
            (self.base / "output").mkdir(parents=True, exist_ok=True)
            (self.base / "output" / "failure").write_text(line[:LONGEST_FAILURE])

    def _copy_events(self, stop: threading.Event) -> None:
        while not stop.wait(COPIED_EVERY):
            with suppress(OSError, shutil.Error):  # a file that is just being written
                self._copy(["tensorboard"], "output")

    def _collect(self) -> None:
        self._copy([CONFIG, CODE, "result.json", "counts.json", "checkpoints/best.ckpt"], "model")
        self._copy(["result.json", "counts.json", "train.log", "predictions"], "output/data")
        self._copy(["tensorboard"], "output")

    def _copy(self, names: list[str], into: str) -> None:
        for name in names:
            source, target = self.run_folder / name, self.base / into / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _of_json(text: str) -> Any:
    """The value that SageMaker's SDK has written as JSON; any other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error})") from error
    return content if isinstance(content, dict) else {}
