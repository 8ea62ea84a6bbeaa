"""What is disturbed: segkit's commands on tiny data, what their results are, and where these lie."""

import hashlib
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from tests.fixtures import write_kitti
from tests.hostile.ingredients import MODEL_WORDS, write_checkpoint

TRAINING = [
    *MODEL_WORDS,
    "data.image_shape=[32,64]",
    "data.split=fraction",
    "data.val_fraction=0.5",
    "data.batch_size=3",
    "data.cache_dir=cache",
    "trainer.gpus=0",
]
PARTS = ("training/image_2", "testing/image_2")


def segkit(words: Sequence[str]) -> None:
    """Be ``segkit <words>``, whose training keeps every epoch, however short."""
    from segkit.cli import main
    from segkit.training.checkpoints import LastCheckpoint

    LastCheckpoint.EVERY_SECONDS = 0
    sys.argv = ["segkit", *words]
    main()


def install(address: str, root: str) -> None:
    """Be what ``segkit data action=download`` is for a data set of any size."""
    from segkit.data import download
    from segkit.data.install import obtain
    from segkit.errors import UserError

    download.RETRY_DELAY = 0.0
    try:
        obtain(address, Path(root), _three_pictures, folders=PARTS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _three_pictures(folder: Path) -> list[str]:
    found = len(list(folder.glob("training/image_2/*.png")))
    return [] if found == 3 else [f"{folder}/training/image_2: {found} pictures of 3"]


class Inputs:
    """What commands read; written when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def kitti(self) -> Path:
        return write_kitti(self.folder / "kitti", 4, 1)

    @property
    def pictures(self) -> Path:
        return self.kitti / "testing/image_2"

    @cached_property
    def checkpoint(self) -> Path:
        return write_checkpoint(self.folder / "network.ckpt")

    @cached_property
    def archive(self) -> Path:
        root, path = write_kitti(self.folder / "small", 1, 1), self.folder / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(root.rglob("*.png")):
                archive.write(file, f"set/{file.relative_to(root)}")
        shutil.rmtree(root)
        return path


@dataclass(frozen=True)
class Subject:
    """A command that is disturbed.

    Attributes:
        name: of the area that it stands for.
        program: is given the inputs; what runs in the folder of a case.
        results: names of files, below that folder, that have to be the same to the byte.
        runs: folders of trainings.
        spawns, below: see :class:`tests.processes.Program`.
    """

    name: str
    program: Callable[[Inputs], Callable[[], object]]
    results: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    spawns: int = 0
    below: int = 0

    def __str__(self) -> str:
        return self.name

    def result(self, folder: Path) -> dict[str, Any]:
        """All that has to be equal, by name."""
        found: dict[str, Any] = {}
        for pattern in self.results:
            files = [path for path in folder.glob(pattern) if path.is_file()]
            found |= {str(path.relative_to(folder)): digest(path.read_bytes()) for path in files}
        for run in sorted(path for pattern in self.runs for path in folder.glob(pattern)):
            found |= {f"{run.relative_to(folder)}: {name}": value for name, value in trained(run).items()}
        return found

    def names(self, folder: Path) -> set[str]:
        """What lies in the folder, without what each attempt adds: TensorBoard's events."""
        below = [path for path in folder.rglob("*") if "tensorboard" not in path.parts]
        return {str(path.relative_to(folder)) for path in below}


def words(*fixed: str, **inputs: str) -> Callable[[Inputs], Callable[[], object]]:
    """A program of ``segkit``; ``inputs`` are settings by the names of what they are to name, ``.`` as ``__``."""

    def program(given: Inputs) -> Callable[[], object]:
        named = [f"{key.replace('__', '.')}={getattr(given, name)}" for key, name in inputs.items()]
        return partial(segkit, [*fixed, *named])

    return program


def digest(value: Any) -> str:
    """Of bytes, or of tensors and plain values in dicts and lists."""
    found = hashlib.sha256()

    def add(item: Any) -> None:
        if isinstance(item, torch.Tensor):
            found.update(str((item.dtype, item.shape)).encode() + item.reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(item, bytes):
            found.update(item)
        elif isinstance(item, dict):
            for key in item:
                found.update(repr(key).encode())
                add(item[key])
        elif isinstance(item, list | tuple):
            for each in item:
                add(each)
        else:
            found.update(repr(item).encode())

    add(value)
    return found.hexdigest()


def trained(run: Path) -> dict[str, Any]:
    """What a run has come to: weights and the optimiser's state to the bit, scores, pictures; no times."""
    result = json.loads((run / "result.json").read_text())
    found: dict[str, Any] = {"status": result["status"], "scores": result.get("scores")}
    epochs = [{key: value for key, value in epoch.items() if "second" not in key} for epoch in result["epochs"]]
    found["epochs"] = epochs
    for name in ("best", "last"):
        content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        kept = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
        found[name] = {key: digest(content[key]) for key in kept if key in content}
    found["pictures"] = {
        str(path.relative_to(run)): digest(path.read_bytes()) for path in sorted(run.glob("predictions/*/*.png"))
    }
    return found


TRAIN = Subject(
    "train",
    words("train", *TRAINING, "trainer.max_epochs=3", "data.workers=0", "predictions=1", "hydra.run.dir=run",
          data__root="kitti"),
    runs=("run",),
)  # fmt: skip
SWEEP = Subject(
    "sweep",
    words("train", "-m", *TRAINING, "trainer.max_epochs=2", "data.workers=0", "predictions=0", "sweep.name=three",
          "seed=0,1,2", data__root="kitti"),
    runs=("outputs/sweeps/three/*/",),
    spawns=1,
)  # fmt: skip
GENERATE = Subject(
    "generate",
    words("data", "action=generate", "data.root=scenes", "count=[2,1]", "looks=varied", "seed=5", "hydra.run.dir=out"),
    results=("scenes/**/*",),
    spawns=2,
)  # fmt: skip
CACHE = Subject(
    "cache filling",
    words("data", "action=verify", "data.image_shape=[32,64]", "data.split=fraction", "data.cache_dir=cache",
          "hydra.run.dir=out", data__root="kitti"),
    results=("cache/*",),
)  # fmt: skip
PREDICT = Subject(
    "predict",
    words("predict", "output=painted", "format=[mask,overlay,confidence]", "gpus=0", checkpoint="checkpoint",
          input="pictures"),
    results=("painted/*/*.png",),
)  # fmt: skip
EXPORT = Subject(
    "export",
    words("export", "output=network.pt2", "format=torch", "hydra.run.dir=out", checkpoint="checkpoint"),
    results=("network.pt2",),
)  # fmt: skip
DOWNLOAD = Subject("download", lambda given: partial(install, str(given.archive), "set"), results=("set/**/*",))
SUBJECTS = (TRAIN, SWEEP, GENERATE, CACHE, PREDICT, EXPORT, DOWNLOAD)
