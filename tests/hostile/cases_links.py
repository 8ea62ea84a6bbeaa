"""Links where files are written, and outputs that are inputs: nothing is written through them, nothing is lost."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.hostile.harness import TRAINING, Case
from tests.hostile.ingredients import MODEL_WORDS, picture, write_checkpoint

TRAIN = ["train", *MODEL_WORDS, *TRAINING, "hydra.run.dir=again"]
PREDICT = ["predict", "checkpoint=best.ckpt", "input=in", "output=out", "gpus=0", "format=[mask,sheet]"]


def _victim(folder: Path) -> Path:
    victim = folder / "victim.txt"
    victim.write_text("mine\n")
    return victim


def link(
    name: str,
    words: Sequence[str],
    place: str,
    expected: str,
    code: int,
    leaves: tuple[str, ...],
    trained: bool = False,
) -> Case:
    """A link at ``place`` to a file of the user's, which has to stay as it is: the harness looks."""

    def built(folder: Path) -> Sequence[str]:
        write_checkpoint(folder / "best.ckpt")
        picture(folder / "in/a.png")
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(_victim(folder))
        return words

    return Case(f"{words[0]}: {name}", built, expected, code, leaves, trained=trained)


def said(
    name: str, words: Sequence[str], expected: str, prepare: Callable[[Path], object] = lambda folder: None
) -> Case:
    """Outputs that are inputs, or that lie in the way."""

    def built(folder: Path) -> Sequence[str]:
        write_checkpoint(folder / "best.ckpt")
        write_checkpoint(folder / "other.ckpt")
        picture(folder / "in/a.png")
        prepare(folder)
        return words

    return Case(name, built, expected, trained=True)


OUT, AGAIN = ("out",), ("again", ".cache")
CASES = [
    link("a temporary file", PREDICT, "out/mask/.a.png.part", "a.png painted", 0, OUT),
    link("result.json", PREDICT, "out/result.json", "a.png painted", 0, OUT),
    link("result.json's temporary", PREDICT, "out/.result.json.part", "a.png painted", 0, OUT),
    link("a mask", PREDICT, "out/mask/a.png", r"mask/a\.png is a link", 2, OUT),
    link("the lock", PREDICT, "out/.lock", r"out/\.lock is a link", 2, OUT),
    link("the log", PREDICT, "out/predict.log", r"out/predict\.log is a link", 2, OUT),
    link("the kept config", PREDICT, "out/.hydra", r"out/\.hydra is a link", 2, OUT),
    link("the list of files", PREDICT, "out/.files.json", "a.png painted", 0, OUT),
    link("last.ckpt's temporary", TRAIN, "again/checkpoints/.last.ckpt.part", "best epoch 1", 0, AGAIN, True),
    link("best.ckpt", TRAIN, "again/checkpoints/best.ckpt", "best epoch 1", 0, AGAIN, True),
    link("result.json", TRAIN, "again/result.json", "best epoch 1", 0, AGAIN, True),
    said(
        "average: output is an input",
        ["average", "checkpoint=[best.ckpt,other.ckpt]", "output=best.ckpt"],
        r"best\.ckpt",
    ),
    said(
        "average: output is a link to an input",
        ["average", "checkpoint=[best.ckpt,other.ckpt]", "output=link.ckpt"],
        r"link\.ckpt",
        lambda folder: (folder / "link.ckpt").symlink_to("best.ckpt"),
    ),
    said(
        "export: output is there",
        ["export", "checkpoint=best.ckpt", "format=torch", "output=a.pt2"],
        r"a\.pt2",
        lambda folder: (folder / "a.pt2").touch(),
    ),
    said("package: output is the run", ["package", "checkpoint=run", "output=run"], r"run"),
    said(
        "predict: output is the run",
        ["predict", "checkpoint=run", "input=in", "output=run", "gpus=0"],
        r"run is a folder of segkit train",
    ),
    said(
        "predict: output is a file",
        ["predict", "checkpoint=run", "input=in", "output=in/a.png", "gpus=0"],
        r"in/a\.png",
    ),
    said("report: into is the run", ["report", "run=run", "into=run"], r"run"),
    said(
        "generate: over the data", ["data", "action=generate", "count=[3,0]"], r"data/data_road already holds pictures"
    ),
    said(
        "train: into another run",
        ["train", *MODEL_WORDS, *TRAINING, "seed=5", "hydra.run.dir=run"],
        r"run holds a run with other settings",
    ),
]
