"""One training run, or evaluations, as an entry of the lab book: ``README.md``, ``result.json``, some pictures."""

import logging
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segkit.data.records import evenly
from segkit.errors import UserError
from segkit.evaluation.entry import Evaluation, commands, figures, labels, score_rows
from segkit.evaluation.tables import left_out_lines
from segkit.reporting.class_scores import pictures_text, recipes, side_by_side
from segkit.reporting.markdown import WRITTEN, made_on, say_what_is_replaced, table
from segkit.reporting.overlays import overlays, small_jpeg
from segkit.road.entry import has_road_scores
from segkit.road.entry import score_rows as road_rows
from segkit.runs.files import write_whole
from segkit.runs.find import run_folders
from segkit.runs.folder import write_result
from segkit.runs.read import checked_result, command_of, is_training, read_overrides

log = logging.getLogger(__name__)


def write_entry(folder: Path, sources: Sequence[Path], question: str, count: int) -> None:
    """Write about a finished training run, or about finished evaluations, into ``folder``.

    Args:
        folder: the entry's.
        sources: a run folder of ``segkit train``, or run folders of ``segkit evaluate``.
        question: what they were to find out; may be empty.
        count: pictures to keep.

    Raises:
        UserError: one has not finished, or evaluations cannot be put side by side.
    """
    results = [_finished(source) for source in sources]
    if "epochs" in results[0]:
        pictures = {path.stem: path for path in evenly(overlays(sources[0]), count)}
        text = run_entry(question, read_overrides(sources[0]), results[0], list(pictures))
        kept = results[0]
    else:
        evaluations = [
            Evaluation(source, result, read_overrides(source)) for source, result in zip(sources, results, strict=True)
        ]
        _check_alike(evaluations)
        pictures = figures(evaluations, count)
        text = evaluations_entry(question, evaluations, list(pictures))
        kept = results[0]
        if len(evaluations) > 1:
            of = {} if has_road_scores(kept) else {"recipes": [recipe.result() for recipe in recipes(evaluations)]}
            kept = {**of, "evaluations": {str(item.folder): item.result for item in evaluations}}
    say_what_is_replaced(folder, text)
    write_whole(folder / "README.md", text.encode())  # first: it marks the folder as the entry's
    for name, path in pictures.items():
        write_whole(folder / f"{name}.jpg", small_jpeg(path))
    write_result(folder, None if kept is results[0] else "report", kept)  # a copy is what it is a copy of
    log.info("written: %s", folder / "README.md")


def finished_in(place: Path) -> list[Path]:
    """The run folders that ``place`` means; those of a sweep that have no result are left out, which is said."""
    found = run_folders(place)
    done = [source for source in found if (source / "result.json").exists()]
    if done and len(done) < len(found):
        without = ", ".join(source.name for source in found if source not in done)
        log.warning("run=%s: left out, having no result.json: %s", place, without)
    return done or found


def _check_alike(evaluations: Sequence[Evaluation]) -> None:
    road = [has_road_scores(item.result) for item in evaluations]
    if any(road) and not all(road):
        raise UserError(
            "run: some of these evaluations have road scores and some have not; give the ones or the others"
        )
    if not any(road):
        return  # tables of class scores say what pictures they are of
    pictures = {f"part {item.result['part']}, pictures {item.result['pictures']}" for item in evaluations}
    if len(pictures) > 1:
        raise UserError(f"run: these evaluations are of different pictures ({'; '.join(sorted(pictures))})")


def _finished(source: Path) -> dict[str, Any]:
    try:
        result = checked_result(source)
        read_overrides(source)
    except UserError as error:
        raise UserError(f"run={source}: {error}") from error
    except FileNotFoundError as error:
        raise UserError(
            f"run={source}: no finished run of segkit train or segkit evaluate ({error.filename} does not exist)"
        ) from error
    if any(key in result for key in ("perspective", "bev", "classes")) or result.get("status") == "finished":
        return result
    if "epochs" in result or is_training(source):
        raise UserError(f"run={source}: this run has not finished (status {result.get('status')}): resume={source}")
    owner = command_of(source)
    what = f"a folder of segkit {owner}, which holds no scores" if owner else "no run folder"
    remedy = "give one of segkit train or segkit evaluate"
    if owner == "average":
        remedy = f"segkit evaluate checkpoint={result['output']} makes some"
    raise UserError(f"run={source}: {what}; {remedy}")


def evaluations_entry(question: str, evaluations: Sequence[Evaluation], pictures: Sequence[str]) -> str:
    """Evaluations as Markdown: question, commands, hardware and commit, tables of all, figures."""
    result = evaluations[0].result
    lines = [
        f"# {question or 'Scores by segkit evaluate'}",
        "",
        WRITTEN,
        "",
        "```sh",
        *commands(evaluations),
        "```",
        "",
        *made_on(result["gpu"], result["commit"], result["versions"]),
        f"- Pictures: {'; '.join(dict.fromkeys(pictures_text(item.result) for item in evaluations))}",
        *_left_out([item.result for item in evaluations]),
        "",
    ]
    if any(has_road_scores(item.result) for item in evaluations):
        lines += [table(road_rows(labels(evaluations), [item.result for item in evaluations])), ""]
    elif len(evaluations) == 1:
        lines += ["In percent:", "", table(score_rows(result)), ""]
    else:
        lines += side_by_side(recipes(evaluations))
    lines += [f"![{name}]({name}.jpg)" for name in pictures]
    return "\n".join(lines).rstrip() + "\n"


def run_entry(question: str, overrides: list[str], result: dict[str, Any], pictures: list[str]) -> str:
    """A run as Markdown: question, command, hardware and commit, scores, seconds, epochs, pictures."""
    lines = [
        f"# {question or 'A run of segkit train'}",
        "",
        WRITTEN,
        "",
        f"- Command: `python train.py {shlex.join(overrides)}`",
        *made_on(result["gpu"], result["commit"], result["versions"]),
        f"- Pictures: {_counts(result)}",
        *_left_out([result]),
        f"- Seconds: {', '.join(f'{phase} {seconds:.1f}' for phase, seconds in result['seconds'].items())}",
        f"- Status: {result['status']}; best epoch {result['best']['epoch']}",
        "",
        table([("score", "value"), *((name, _number(value)) for name, value in result["scores"].items())]),
        "",
    ]
    last = result["epochs"][-1] if result["epochs"] else {}
    columns = [name for name in last if "/" not in name.removeprefix("val/")]
    if columns:
        rows = [[_number(epoch.get(name)) for name in columns] for epoch in _thinned(result["epochs"])]
        lines += [table([columns, *rows]), ""]
    lines += [f"![{name}]({name}.jpg)" for name in pictures]
    return "\n".join(lines).rstrip() + "\n"


def _left_out(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each kind of classes that are left out, and for how many of several results that is so."""
    count = Counter(line for result in results for line in left_out_lines(result.get("left_out", {})))
    return [
        f"- Classes {line}" + ("" if times == len(results) else f" ({times} of {len(results)} evaluations)")
        for line, times in count.items()
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
