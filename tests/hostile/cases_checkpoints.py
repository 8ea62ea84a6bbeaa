"""Checkpoints and run folders that are damaged, foreign, or made to harm."""

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.hostile.harness import Case
from tests.hostile.ingredients import checkpoint, device, fifo, picture, write_checkpoint

Change = Callable[[dict[str, Any]], Any]
PREDICT = ["predict", "checkpoint=best.ckpt", "input=in", "output=out", "gpus=0"]


def damaged(name: str, change: Change, expected: str = "", words: Sequence[str] = PREDICT) -> Case:
    """A checkpoint in memory that ``change`` damages, or replaces by what it returns."""

    def built(folder: Path) -> Sequence[str]:
        content = checkpoint()
        other = change(content)
        write_checkpoint(folder / "best.ckpt", content if other is None else other)
        picture(folder / "in/a.png")
        return words

    return Case(f"checkpoint: {name}", built, rf"best\.ckpt.*{expected}")


def field(place: str, value: Any, expected: str = "") -> Case:
    """One field of the ``segkit`` entry replaced; ``...`` = left out."""

    def change(content: dict[str, Any]) -> None:
        *above, last = place.split(".")
        inner: Any = content["segkit"]
        for name in above:
            inner = inner[int(name) if isinstance(inner, list) else name]
        if value is ...:
            del inner[last]
        else:
            inner[int(last) if isinstance(inner, list) else last] = value

    shown = "missing" if value is ... else str(value)[:30]
    return damaged(f"{place} {shown}", change, expected or rf"{place.split('.')[0]}")


def weights(name: str, change: Callable[[str, torch.Tensor], Any], expected: str) -> Case:
    """Every float tensor changed."""

    def changed(content: dict[str, Any]) -> None:
        state = content["state_dict"]
        for key, value in list(state.items()):
            if value.is_floating_point() and value.ndim == 4:
                state[key] = change(key, value)

    return damaged(f"weights {name}", changed, expected)


def file(name: str, make: Callable[[Path], object], expected: str = "", place: str = "best.ckpt") -> Case:
    """A file of another kind in the place of a checkpoint."""

    def built(folder: Path) -> Sequence[str]:
        picture(folder / "in/a.png")
        make(folder / place)
        return ["predict", f"checkpoint={place}", "input=in", "output=out", "gpus=0"]

    return Case(f"checkpoint: {name}, {place}", built, rf"({place}|config\.json).*{expected}")


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return (__import__("os").system, ("touch executed",))


def _packed(path: Path) -> None:
    """A checkpoint packed again, with a tensor of two gibibytes of zeros in it."""
    content = io.BytesIO()
    torch.save({"state_dict": {"network.a": torch.zeros(8)}, "segkit": {}}, content)
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name.endswith("/data/0"):
                with new.open(name, "w", force_zip64=True) as entry:
                    for _ in range(64):
                        entry.write(bytes(1 << 25))
            else:
                new.writestr(name, old.read(name))


def _laughs(content: dict[str, Any]) -> None:
    """Nested lists that are each twice in the next: small in the file, endless when they are walked through."""
    nest: Any = ["ha"]
    for _ in range(60):
        nest = [nest, nest]
    content["segkit"]["model"]["decoder"]["more"] = nest


def _deep(content: dict[str, Any]) -> None:
    nest: Any = 1
    for _ in range(400):
        nest = {"a": nest}
    content["segkit"]["model"]["more"] = nest


def resumed(name: str, prepare: Callable[[Path], object], expected: str, *words: str, code: int = 2) -> Case:
    """``resume=run`` of a run folder that ``prepare`` damages."""

    def built(folder: Path) -> Sequence[str]:
        prepare(folder / "run")
        return ["train", "resume=run", *words]

    return Case(f"resume: {name}", built, expected, code, (".cache", "run/train.log", "run/tensorboard"), trained=True)


def last(name: str, change: Change, expected: str = r"last\.ckpt") -> Case:
    """A ``last.ckpt`` that ``change`` damages, or replaces by what it returns; one more epoch is asked for."""

    def prepare(run: Path) -> None:
        path = run / "checkpoints/last.ckpt"
        content = torch.load(path, weights_only=True)
        other = change(content)
        torch.save(content if other is None else other, path)

    return resumed(f"last.ckpt, {name}", prepare, expected, "trainer.max_epochs=2")


def _set(place: str, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        *above, name = place.split("/")
        inner: Any = content
        for each in above:
            inner = inner[int(each) if isinstance(inner, list) else each]
        if value is ...:
            del inner[name]
        else:
            inner[name] = value

    return change


def hydra_file(name: str, content: str | bytes, what: str) -> Case:
    """A file of ``.hydra`` replaced, and the run resumed."""

    def prepare(run: Path) -> None:
        (run / ".hydra" / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return resumed(f"{name} {what}", prepare, r"run.*(damaged|older version|larger than)", "trainer.max_epochs=2")


def saved_word(word: str, name: str, command: Sequence[str]) -> Case:
    """A word in a file of ``.hydra`` that segkit has not written there, and a command that reads it."""

    def built(folder: Path) -> Sequence[str]:
        path = folder / f"run/.hydra/{name}"
        content = yaml.safe_load(path.read_text())
        (content if isinstance(content, list) else content["overrides"]["task"]).append(word)
        path.write_text(yaml.safe_dump(content))
        return command

    what = f"{name} with the word {word[:30]}: {command[0]}"
    return Case(
        what,
        built,
        rf"{name} is damaged, or not segkit's: .* is no setting of segkit's",
        2,
        ("experiments",),
        trained=True,
    )


def result_file(content: str | bytes, what: str, command: Sequence[str], expected: str, code: int) -> Case:
    """A ``result.json`` of another kind in a run folder that another command reads."""

    def built(folder: Path) -> Sequence[str]:
        (folder / "run/result.json").write_bytes(content.encode() if isinstance(content, str) else content)
        picture(folder / "in/a.png")
        return command

    leaves = ("out", "experiments", "outputs", ".cache")
    return Case(f"result.json {what}: {command[0]}", built, expected, code, leaves, trained=True)


def _folder_in_place(path: Path) -> None:
    path.mkdir()


SHAPE = [32, 64]
ODD: list[Any] = [None, 5, -1, 10**20, 1.5, "text", [], {}, True, [[]]]
FIELDS = [
    field("version", ...),
    *(field("version", value) for value in ("2", 10**20, None, [2])),
    *(field("model", value) for value in (..., None, "text", [], {}, {"_target_": 5}, {"_target_": ""})),
    field("model._target_", "os.system", "trust"),
    field("model._target_", "segkit.commands.train.run", "trust|no such|is no"),
    field("model._target_", "torch.nn.functional.relu"),
    field("model._target_", "segkit.models.base.Nothing"),
    field("model._target_", "torch.nn.Linear"),
    field("model.encoder", 5),
    field("model.encoder", "timm/no"),
    field("model.encoder", "../../x"),
    field("model.decoder", "text"),
    field("model.decoder._target_", "subprocess.call", "trust"),
    field("model.decoder.width", 10**20),
    field("model.decoder.width", 60_000),
    field("model.decoder.width", "4"),
    field("model.in_channels", 10**6),
    field("model.in_channels", 4),
    field("model.nonsense", 1),
    *(field("classes", value) for value in (..., None, {}, "text", [], [5], [{}], [{"name": "a"}] * 300)),
    field("classes.0.name", 5),
    field("classes.0.name", "x" * 10**6),
    field("classes.0.name", "two\nlines"),
    *(field("classes.1.colour", value) for value in ("red", [1], [1, 2, 300], [1, 2, -1], [1, 2, 3.5], 7)),
    field("classes.1.background", "no"),
    *(field("input", value) for value in (..., None, [], "text", {})),
    *(field("input.image_shape", value) for value in (None, [8000], [0, 0], ["a", "b"], [10**20, 1], [-1, 64])),
    field("input.image_shape", [16000, 16000], "GiB"),
    *(field("input.resize", value) for value in ("text", [0, 1], -1, [10**7, 1])),
    field("input.resize", [16384, 16384], r"GiB|megapixels"),
    field("input.window", "text"),
    *(field("input.overlap", value) for value in (1, -1, float("nan"), "text")),
]

ENTRY = [
    damaged("is a list", lambda content: [1], "segkit train"),
    damaged("is a tensor", lambda content: torch.zeros(3), "segkit train"),
    damaged("without segkit", lambda content: content.pop("segkit") and None, "segkit train"),
    damaged("segkit is a text", lambda content: content.update(segkit="text")),
    damaged("state_dict is a list", lambda content: content.update(state_dict=[1])),
    damaged("state_dict is empty", lambda content: content.update(state_dict={})),
    damaged("state_dict holds a text", lambda content: content["state_dict"].update({"network.mean": "text"})),
    damaged("state_dict has numbers for names", lambda content: content.update(state_dict={1: torch.zeros(2)})),
    damaged("nested 400 deep", _deep),
    damaged("small and endless", _laughs),
    weights("NaN", lambda key, value: torch.full_like(value, torch.nan), "finite"),
    weights("infinite", lambda key, value: torch.full_like(value, torch.inf), "finite"),
    weights("of a tebibyte in one number", lambda key, value: torch.zeros(1).expand(1 << 20, 1 << 18), "size|larger"),
    weights("complex", lambda key, value: value.to(torch.complex64), "dense"),
    weights("sparse", lambda key, value: value.to_sparse(), "sparse|dense"),
    weights("on no device", lambda key, value: value.to("meta"), "meta|dense"),
    weights("of other sizes", lambda key, value: value[:1], "fit"),
    weights("missing", lambda key, value: None, "no tensor"),
]

FILES = [
    file("a pipe", fifo, "is no file"),
    file("a device", device, "is no file"),
    file("empty", Path.touch),
    file("text", lambda path: path.write_text("no checkpoint")),
    file("code", lambda path: path.write_bytes(pickle.dumps(Evil()))),
    file("code in a zip", lambda path: torch.save({"state_dict": Evil(), "segkit": {}}, path)),
    file("a packed zip of 2 GiB", _packed, "packed"),
    file("a zip of something else", lambda path: zipfile.ZipFile(path, "w").writestr("a", "b")),
    file("cut off", lambda path: path.write_bytes(write_checkpoint(path).read_bytes()[:100_000])),
    file("a pipe", fifo, "is no file", "model.onnx"),
    file("text", lambda path: path.write_text("no graph"), "", "model.onnx"),
    file("text", lambda path: path.write_text("no graph"), "", "model.pt2"),
    file("code", lambda path: path.write_bytes(pickle.dumps(Evil())), "", "model.pt2"),
    file("text", lambda path: path.write_text("no graph"), "", "model.xml"),
    file("text", lambda path: path.write_text("no weights"), "", "model.safetensors"),
]

YAMLS: list[tuple[str, str | bytes]] = [
    ("empty", ""),
    ("a list", "[1, 2]"),
    ("a number", "5"),
    ("a text", "text"),
    ("null", "null"),
    ("not UTF-8", b"\xff\xfe\x00"),
    ("nested 100000 deep", "[" * 100_000),
    (
        "of endless references",
        "\n".join(["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]),
    ),
    ("of a tag that runs code", "!!python/object/apply:os.system ['touch executed']"),
    ("of a key twice", "name: one\nname: other\ntrainer: {}\noverrides: {}\nruntime: {}\nruntime: {}"),
    ("foreign", "name: other\nservices: {web: {image: nginx}}"),
    ("of an unknown resolver", "name: ${nothing:1}"),
    ("of a circle", "name: ${name}\ntrainer: ${trainer}"),
    ("16 MiB", "a: " + "x" * (1 << 24)),
]
HYDRA = [
    hydra_file(name, content, what)
    for name in ("config.yaml", "hydra.yaml")
    for what, content in YAMLS
    if (name, what) != ("hydra.yaml", "of a circle")
]

JSONS: list[tuple[str, str | bytes]] = [
    ("empty", ""),
    ("a list", "[]"),
    ("nested 100000 deep", "[" * 100_000),
    ("of other types", json.dumps({"status": 5, "epochs": "text", "scores": [], "best": 5, "started": "x"})),
    ("of epochs of other types", json.dumps({"status": "finished", "epochs": [1, "a"], "scores": {"iou": "x"}})),
    ("of nothing where scores are", json.dumps({"status": "finished", "scores": None, "best": None, "epochs": None})),
    ("of numbers too large", json.dumps({"status": "finished", "epochs": [{"epoch": 10**400, "mean_loss": 1}]})),
]
EVALUATE = ["evaluate", "checkpoint=run", "gpus=0", "view=perspective"]
REPORT = ["report", "run=run", "into=experiments/x"]
RESULTS = [
    *(result_file(content, what, EVALUATE, "MaxF|iou|IoU", 0) for what, content in JSONS),
    *(result_file(content, what, REPORT, r"run.*result\.json|has not finished", 2) for what, content in JSONS),
]

WORDS = [
    saved_word(word, name, command)
    for name, command in (("hydra.yaml", ["train", "resume=run"]), ("overrides.yaml", REPORT))
    for word in (
        "other=1",
        "hydra.run.dir=/tmp/other",
        "+services.web=nginx",
        "--config-dir=/tmp",
        "",
        "; touch executed",
    )
]

LAST = [
    resumed(
        "best.ckpt copied to last.ckpt",
        lambda run: shutil.copy(run / "checkpoints/best.ckpt", run / "checkpoints/last.ckpt"),
        r"last\.ckpt.*init_from",
        "trainer.max_epochs=2",
    ),
    resumed(
        "last.ckpt is a pipe",
        lambda run: ((run / "checkpoints/last.ckpt").unlink(), fifo(run / "checkpoints/last.ckpt")),
        r"last\.ckpt.*pipe",
        "trainer.max_epochs=2",
    ),
    resumed(
        "last.ckpt is a text",
        lambda run: (run / "checkpoints/last.ckpt").write_text("x"),
        r"last\.ckpt",
        "trainer.max_epochs=2",
    ),
    resumed(
        "last.ckpt is a folder",
        lambda run: ((run / "checkpoints/last.ckpt").unlink(), (run / "checkpoints/last.ckpt").mkdir()),
        r"last\.ckpt",
        "trainer.max_epochs=2",
    ),
    *(
        last(f"{key} {value if value is not ... else 'missing'}", _set(key, value))
        for key in (
            "epoch",
            "global_step",
            "loops",
            "optimizer_states",
            "lr_schedulers",
            "callbacks",
            "pytorch-lightning_version",
            "segkit/epoch",
        )
        for value in (..., "text", None, [5])
    ),
    last("optimizer of another network", _set("optimizer_states", [{"state": {}, "param_groups": []}])),
    last(
        "NaN weights",
        lambda content: content["state_dict"].update(
            {key: value * torch.nan for key, value in content["state_dict"].items() if value.is_floating_point()}
        ),
        "finite",
    ),
]

CASES = [*FIELDS, *ENTRY, *FILES, *HYDRA, *RESULTS, *WORDS, *LAST]
