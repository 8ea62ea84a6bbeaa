"""A process that has imported everything, and forks for each command that it is told on standard input.

One line of JSON is a command, ``{"words": […], "folder": …, "seconds": …}``; one line of JSON answers it. The command's
standard output and error go to the files ``out`` and ``err`` beside its folder.
"""

import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

MEMORY = 4 << 30
"""Bytes of address space that a command may take beside what was there before it."""


CPU_SECONDS = 30
"""Of the processor, that a command may take: the machine may have other work."""

GRACE = 3.0
"""Seconds in which the processes that a command has started have to end after it."""


def address_space() -> int:
    """Bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def warm() -> None:
    """Import what commands import, and have Hydra's parser see each kind of word once: what it learns is inherited."""
    import importlib

    import timm  # noqa: F401
    import torch
    import torchvision  # noqa: F401

    from segkit.cli import COMMANDS
    from segkit.config.compose import composed

    for name in COMMANDS:
        importlib.import_module(f"segkit.commands.{name}")
    rooms = ("predict.loading", "predict.outputs", "predict.writers", "data.sheet", "data.statistics", "road.writers")
    rooms += ("road.submission", "training.fit", "models.trained", "scenes.generate", "speed.inference", "models.base")
    rooms += ("data.augment", "losses", "optim.recipe", "losses.class_weights", "predict.video", "models.decoders.unet")
    for name in ("road.dataset", "data.datasets.folder", "data.datasets.cityscapes_server", *rooms):
        importlib.import_module(f"segkit.{name}")
    importlib.import_module("torch.utils.tensorboard")
    torch.set_num_threads(1)
    words = ["checkpoint=a/b.ckpt", "input='x y'", "format=[mask,overlay]", "average=[flip,0.75]", "paint.alpha=0.5"]
    composed("predict", words)
    composed("train", ["model=fcn8", "seed=1", "trainer.max_epochs=2", "data.image_shape=[32,64]", "+trainer.x={a:1}"])


def command(words: list[str], folder: str) -> None:
    """Be ``segkit <words>`` in ``folder``; does not return."""
    os.setsid()
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    limit = address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    sys.argv = ["segkit", *words]
    code: object = 1
    try:
        from segkit.cli import main

        main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else 1)


def alive(group: int) -> bool:
    """Whether a process group has members."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def followed(child: int, seconds: float) -> dict[str, object]:
    """What became of a command: its exit code (negative: the signal's number), whether it had to be killed, …"""
    handle = os.pidfd_open(child)
    late = not select.select([handle], [], [], seconds)[0]
    if late:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    os.close(handle)
    end = time.monotonic() + (0 if late else GRACE)
    while alive(child) and time.monotonic() < end:
        time.sleep(0.02)
    orphans = alive(child)
    if orphans:
        os.killpg(child, signal.SIGKILL)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "late": late,
        "orphans": orphans and not late,
        "gib": used.ru_maxrss / 2**20,
        "seconds": used.ru_utime + used.ru_stime,
    }


def main() -> None:
    """Answer each line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warm()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            command(asked["words"], asked["folder"])
        print(json.dumps(followed(child, asked["seconds"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
