"""``segkit report``: a run's results as an entry of the lab book, small enough to be committed."""

import json
import logging
import shlex
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segkit.engine.run_folder import CONFIG, RunFolder, write_result
from segkit.errors import UserError
from segkit.settings import ReportSettings

SETTINGS = ReportSettings
KEEPS_CONFIG = False  # the entry is for committing
PICTURE_WIDTH = 800
WRITTEN = "Written by `segkit report`; the numbers are those of `result.json`."
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write ``README.md``, ``result.json`` and pictures about the run folder ``run`` into ``folder``.

    Raises:
        UserError: ``run`` is no run folder of segkit train, or its run has not finished.
    """
    source = Path(settings["run"]).expanduser()
    try:
        result = json.loads((source / "result.json").read_text())
        words = [str(word) for word in OmegaConf.load(source / CONFIG / "overrides.yaml")]
    except FileNotFoundError as error:
        raise UserError(f"run={source}: no finished run of segkit train ({error.filename} does not exist)") from error
    if result.get("status") != "finished":
        raise UserError(f"run={source}: this run has not finished (status {result.get('status')}): resume={source}")
    for name in ("README.md", "result.json"):
        present, readme = folder.path / name, folder.path / "README.md"
        if present.exists() and not (readme.exists() and WRITTEN in readme.read_text()):
            raise UserError(f"into={folder.path}: {present} was not written by segkit report; give another folder")
    overlays = sorted((source / "predictions" / "overlay").glob("*.png"))
    count = min(settings["pictures"], len(overlays))
    chosen = [overlays[i * len(overlays) // count] for i in range(count)]
    for path in chosen:
        _write_small(path, folder.path / f"{path.stem}.jpg")
    write_result(folder.path, result)
    text = entry(settings["question"], words, result, [path.stem for path in chosen])
    (folder.path / "README.md").write_text(text)
    log.info("written: %s", folder.path / "README.md")


def entry(question: str, overrides: list[str], result: dict[str, Any], pictures: list[str]) -> str:
    """The entry as Markdown: question, command, hardware and commit, scores, seconds, epochs, pictures."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"# {question or 'A run of segkit train'}",
        "",
        WRITTEN,
        "",
        f"- Command: `python train.py {shlex.join(overrides)}`",
        f"- Hardware: {result['gpu'] or 'CPU'}; commit: {result['commit'] or 'not recorded'}",
        f"- Versions: {versions}",
        f"- Pictures: {_counts(result)}",
        f"- Seconds: {', '.join(f'{phase} {seconds:.1f}' for phase, seconds in result['seconds'].items())}",
        f"- Status: {result['status']}; best epoch {result['best']['epoch']}",
        "",
        _table([("score", "value"), *((name, _number(value)) for name, value in result["scores"].items())]),
        "",
    ]
    columns = [name for name in result["epochs"][0] if "/" not in name.removeprefix("val/")] if result["epochs"] else []
    if columns:
        rows = [[_number(epoch[name]) for name in columns] for epoch in _thinned(result["epochs"])]
        lines += [_table([columns, *rows]), ""]
    lines += [f"![{name}]({name}.jpg)" for name in pictures]
    return "\n".join(lines).rstrip() + "\n"


def _counts(result: dict[str, Any]) -> str:
    return ", ".join(f"{part} {sum(groups.values())}" for part, groups in result["data"].items())


def _thinned(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most about twenty epochs, evenly spread, the last among them."""
    step = -(-len(epochs) // 20)
    return epochs[::-1][::step][::-1]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _table(rows: Any) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _write_small(source: Path, target: Path) -> None:
    import cv2

    picture = cv2.imread(str(source))
    assert picture is not None
    if picture.shape[1] > PICTURE_WIDTH:
        height = round(picture.shape[0] * PICTURE_WIDTH / picture.shape[1])
        picture = cv2.resize(picture, (PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA)
    if not cv2.imwrite(str(target), picture):
        raise UserError(f"into: {target} could not be written; is the disk full?")
