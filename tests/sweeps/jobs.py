"""Jobs for the pools: real ones on tiny data, and ones whose process does what a test tells it."""

import socket
from pathlib import Path

from segkit.commands import train
from segkit.config.compose import composed, kept_files, resolved
from segkit.sweeps.job import Job, Outcome, Pool
from tests.commands.test_train import SETTINGS
from tests.fixtures import SMALLEST

PATIENCE = 300.0
"""Seconds after which a test gives up waiting."""

# The module of a job's own class, imported early in its run. It has a child that holds the connection too, so that the
# test sees the end of it only when both have died.
TOLD = """
import os, signal, socket, subprocess, sys
print("cores", os.environ.get("SEGKIT_CORES"), "GPUs", os.environ.get("CUDA_VISIBLE_DEVICES"))
talk = socket.create_connection(("localhost", {port}))
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], pass_fds=[talk.fileno()])
talk.sendall(b"begun")
while True:
    word = talk.recv(4)
    if word == b"deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif word == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == b"exit":
        os._exit(7)
    elif word == b"go  ":
        child.kill()
        break
    talk.sendall(b"done ")

from pytorch_lightning import Callback

class Talk(Callback):
    def on_train_batch_end(self, trainer, *rest):
        if trainer.global_step == 1:
            talk.sendall(b"batch")
            assert talk.recv(4) == b"on  "
"""
TELL = "trainer.callbacks=[{_target_: told.Talk}]"
"""The setting of a job that is to be told."""


def make_job(folder: Path, root: Path, *more: str, name: str = "job") -> Job:
    """One epoch of training in ``folder / name``, on the pictures in ``root``; ``more`` are settings."""
    cache = f"data.cache_dir={folder / 'cache'}"
    words = [*SETTINGS, *SMALLEST, f"data.root={root}", cache, "trainer.max_epochs=1", "predictions=1", *more]
    config = composed("train", words)
    return Job(name, folder / name, resolved(config), kept_files(config), folder, train.run)


class Told:
    """The test's end of the connections to jobs that do what they are told."""

    def __init__(self, folder: Path) -> None:
        self.server = socket.create_server(("localhost", 0))
        self.server.settimeout(PATIENCE)
        (folder / "told.py").write_text(TOLD.format(port=self.server.getsockname()[1]))

    def begun(self) -> socket.socket:
        """The connection to the next job that has begun."""
        talk, _ = self.server.accept()
        talk.settimeout(PATIENCE)
        assert talk.recv(5) == b"begun"
        return talk


def tell(talk: socket.socket, word: bytes) -> bytes:
    """Tell the job something; returns its answer, empty if it has died of it."""
    talk.sendall(word.ljust(4))
    return talk.recv(5)


def all_outcomes(pool: Pool, count: int) -> dict[str, Outcome]:
    """What became of ``count`` jobs, by their labels."""
    outcomes: dict[str, Outcome] = {}
    while len(outcomes) < count:
        ended = pool.wait(PATIENCE)
        assert ended, f"after {PATIENCE:g} s only {outcomes} have ended"
        outcomes |= {job.label: outcome for job, outcome in ended}
    return outcomes
