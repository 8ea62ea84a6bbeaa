"""``segkit report``: what a run or some evaluations measured, as an entry of the lab book, small enough to commit."""

import json
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segkit.engine.run_folder import CONFIG, RunFolder, write_result
from segkit.errors import UserError
from segkit.evaluation import VIEWS
from segkit.evaluation.entry import Evaluation, class_rows, commands, figures, score_rows
from segkit.settings import ReportSettings

SETTINGS = ReportSettings
KEEPS_CONFIG = False  # the entry is for committing
PICTURE_WIDTH = 800
WRITTEN = "Written by `segkit report`; the numbers are those of `result.json`."
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write ``README.md``, ``result.json`` and pictures about the run or the evaluations into ``folder``.

    Raises:
        UserError: ``run`` names no finished run or evaluation, or runs of both kinds.
    """
    places = settings["run"] if isinstance(settings["run"], list) else [settings["run"]]
    sources = [source for place in places for source in _expanded(Path(place).expanduser())]
    results = [_finished(source) for source in sources]
    for name in ("README.md", "result.json"):
        present, readme = folder.path / name, folder.path / "README.md"
        if present.exists() and not (readme.exists() and WRITTEN in readme.read_text()):
            raise UserError(f"into={folder.path}: {present} was not written by segkit report; give another folder")
    evaluations = [
        Evaluation(source, result, _overrides(source))
        for source, result in zip(sources, results, strict=True)
        if "epochs" not in result
    ]
    if len(evaluations) > 1 and not all({*VIEWS} & item.result.keys() for item in evaluations):
        raise UserError("run: several evaluations are put side by side by their road scores, and here are some without")
    if evaluations and len(evaluations) < len(sources):
        raise UserError("run: these are runs of segkit train and of segkit evaluate; give the ones or the others")
    if not evaluations and len(sources) > 1:
        raise UserError("run: one run of segkit train makes an entry; several evaluations go into one")
    shown = {f"part {item.result['part']}, pictures {item.result['pictures']}" for item in evaluations}
    if len(shown) > 1:
        raise UserError(f"run: these evaluations are of different pictures ({'; '.join(sorted(shown))})")
    if evaluations:
        pictures = figures(evaluations, settings["pictures"])
        text = evaluations_entry(settings["question"], evaluations, list(pictures))
        kept: dict[str, Any] = {str(item.folder): item.result for item in evaluations}
        kept = kept if len(evaluations) > 1 else results[0]
    else:
        overlays = sorted((sources[0] / "predictions" / "overlay").glob("*.png"))
        count = min(settings["pictures"], len(overlays))
        pictures = {path.stem: path for path in (overlays[i * len(overlays) // count] for i in range(count))}
        text = entry(settings["question"], _overrides(sources[0]), results[0], list(pictures))
        kept = results[0]
    for name, path in pictures.items():
        _write_small(path, folder.path / f"{name}.jpg")
    write_result(folder.path, kept)
    (folder.path / "README.md").write_text(text)
    log.info("written: %s", folder.path / "README.md")


def _expanded(place: Path) -> list[Path]:
    """A folder with a result as itself, the folder of a sweep as the folders in it that have one."""
    if not (place / "result.json").exists() and place.is_dir():
        jobs = [child for child in place.iterdir() if (child / "result.json").exists()]
        without = [child.name for child in place.iterdir() if (child / CONFIG).is_dir() and child not in jobs]
        if without:
            log.warning("run=%s: left out, having no result.json: %s", place, ", ".join(sorted(without)))
        return sorted(jobs, key=lambda path: (len(path.name), path.name)) or [place]
    return [place]


def _finished(source: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads((source / "result.json").read_text())
        _overrides(source)
    except ValueError as error:
        raise UserError(f"run={source}: its result.json is damaged") from error
    except FileNotFoundError as error:
        raise UserError(
            f"run={source}: no finished run of segkit train or segkit evaluate ({error.filename} does not exist)"
        ) from error
    scored = any(key in result for key in ("perspective", "bev", "classes"))
    if not scored and result.get("status") != "finished":
        raise UserError(f"run={source}: this run has not finished (status {result.get('status')}): resume={source}")
    return result


def _overrides(source: Path) -> list[str]:
    return [str(word) for word in OmegaConf.load(source / CONFIG / "overrides.yaml")]


def evaluations_entry(question: str, evaluations: Sequence[Evaluation], pictures: Sequence[str]) -> str:
    """Evaluations as Markdown: question, commands, hardware and commit, one table of all, figures."""
    result = evaluations[0].result
    counts = ", ".join(f"{group} {count}" for group, count in result["pictures"].items())
    lines = [
        f"# {question or 'Scores by segkit evaluate'}",
        "",
        WRITTEN,
        "",
        "```sh",
        *commands(evaluations),
        "```",
        "",
        *_made_on(result),
        f"- Pictures: {result['part']}, {counts}",
        "",
    ]
    for rows in (score_rows(evaluations), class_rows(evaluations)):
        lines += [_table(rows), ""] if len(rows) > 1 else []
    lines += [f"![{name}]({name}.jpg)" for name in pictures]
    return "\n".join(lines).rstrip() + "\n"


def entry(question: str, overrides: list[str], result: dict[str, Any], pictures: list[str]) -> str:
    """The entry as Markdown: question, command, hardware and commit, scores, seconds, epochs, pictures."""
    lines = [
        f"# {question or 'A run of segkit train'}",
        "",
        WRITTEN,
        "",
        f"- Command: `python train.py {shlex.join(overrides)}`",
        *_made_on(result),
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


def _made_on(result: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return [
        f"- Hardware: {result['gpu'] or 'CPU'}; commit: {result['commit'] or 'not recorded'}",
        f"- Versions: {versions}",
    ]


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
