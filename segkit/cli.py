"""The console script: ``segkit <command> key=value …``.

Imports nothing heavy: a command module is imported when it is the one asked for, and it imports torch only once its
configuration is composed and checked.
"""

import importlib
import os
import sys
from contextlib import nullcontext
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from segkit import __version__
from segkit.distributed.ranks import Ranks, as_leader
from segkit.errors import Told, UserError, choices

if TYPE_CHECKING:
    from segkit.sagemaker.container import TrainingJob

COMMANDS = {
    "train": "train a network and leave a run folder under outputs/",
    "predict": "paint pictures and videos with a trained network",
    "evaluate": "score a network or a folder of maps as KITTI's server does",
    "serve": "a page to try a trained network, and masks for programs over HTTP",
    "average": "make one checkpoint of several by averaging their weights",
    "export": "make one file of a trained network for other programs",
    "package": "make a folder of a trained network that can be given away, with a model card",
    "report": "keep a run's results as an entry of the lab book",
    "data": "statistics, verification, picture sheet, download or generation of a data set",
    "bench": "measure speed and memory, against other programs in the same run",
    "sagemaker": "train on Amazon SageMaker, and follow, stop or fetch its jobs",
}

USAGE = "usage: segkit <command> [key=value …] [--help] [--version]\n\ncommands:\n" + "".join(
    f"  {name:<10}{text}\n" for name, text in COMMANDS.items()
)


def main(leading: list[str] | None = None) -> None:
    """Run the command named by the first word of ``leading`` + the command line. Exits with 2 on a user's mistake."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text in the terminal's encoding
    sys.path.append(os.getcwd())  # for classes of the user's own, named as _target_
    words = [*(leading or []), *sys.argv[1:]]
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return
    if "--version" in words:
        print(f"segkit {__version__}")
        return
    command, arguments = words[0], words[1:]
    if command not in COMMANDS:
        print(f"error: no command {command!r}{choices(command, list(COMMANDS))} (segkit --help)", file=sys.stderr)
        sys.exit(2)
    job = None
    if command == "train":
        from segkit.sagemaker.container import TrainingJob

        try:
            job = TrainingJob.here()
        except UserError as error:
            _tell(error)
    with nullcontext() if job is None else job.collected():
        _run(command, arguments, job)


def _run(command: str, arguments: list[str], job: "TrainingJob | None") -> None:
    from segkit.commands.runner import run_command

    module = importlib.import_module(f"segkit.commands.{command}")
    try:
        if job is not None:
            arguments = job.arguments(arguments)
            job.start_ranks(arguments)
        ranks = Ranks.from_environment() if command == "train" else None
        if ranks is not None and ranks.rank > 0:
            module.follow()
            return
    except UserError as error:
        _tell(error)
    with nullcontext() if ranks is None else as_leader():
        run_command(module, command, arguments)


def _tell(error: UserError) -> NoReturn:
    rank = f" (rank {os.environ['RANK']})" if "RANK" in os.environ else ""
    print(f"error{rank}: {error}", file=sys.stderr)
    raise Told(str(error))
