"""The model card of a packaged network: what it is, what it has learned from, what it reaches, what it cannot do."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from segkit import __version__
from segkit.evaluation.entry import Evaluation, commands, score_rows
from segkit.evaluation.tables import left_out_lines
from segkit.reporting.class_scores import pictures_text
from segkit.reporting.markdown import made_on, table
from segkit.road.entry import has_road_scores
from segkit.road.entry import score_rows as road_rows
from segkit.runs.read import Run


def model_card(
    name: str,
    license: str,
    entry: Mapping[str, Any],
    parameters: int,
    run: Run | None,
    pictures: Sequence[str],
    about: str | None = None,
    evaluations: Sequence[Evaluation] = (),
) -> str:
    """Markdown, in front of it what model hubs read of it (``license``, ``tags``, ``pipeline_tag``).

    Args:
        name: the package's.
        license: a term of model hubs, ``apache-2.0``.
        entry: the ``segkit`` entry of its checkpoint, plain values.
        parameters: how many weights it has.
        run: that it comes from; None where nobody knows.
        pictures: paths of painted pictures, from the card's folder.
        about: a paragraph of whoever packages it.
        evaluations: whose tables are shown.
    """
    environment = Environment(
        loader=PackageLoader("segkit.reporting", "."),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    scores = [(score, f"{value:.4f}") for score, value in (entry.get("scores") or {}).items()]
    classes = [
        (str(number), item["name"], "not painted" if item["colour"] is None else "{} {} {}".format(*item["colour"]))
        for number, item in enumerate(entry["classes"])
    ]
    return environment.get_template("card.md.j2").render(
        name=name,
        license=license,
        entry=entry,
        parameters=parameters,
        version=__version__,
        network=_network(entry["model"]),
        classes=table([("number", "class", "colour (RGB)"), *classes]),
        run=run,
        training="" if run is None else _training(run, entry),
        scores=table([("score", "value"), *scores]) if scores else "",
        pictures=pictures,
        about=about,
        evaluations=[_evaluation(item) for item in evaluations],
    )


def _evaluation(evaluation: Evaluation) -> str:
    """The command, and the tables of what it found."""
    result = evaluation.result
    tables = [table(road_rows([""], [result]))] if has_road_scores(result) else []
    if rows := score_rows(result):
        tables.append(table(rows))
    command = commands([evaluation])[-1]
    lines = [f"`{command}` ({pictures_text(result)} pictures; {result['gpu'] or 'CPU'}), in percent:", *tables]
    return "\n\n".join([*lines, *left_out_lines(result.get("left_out", {}))])


def _network(model: Mapping[str, Any]) -> str:
    """``EncoderDecoder, encoder resnet34, decoder FPN``."""
    parts = [_class_name(model)]
    parts += [f"{key} {model[key]}" for key in ("name", "encoder") if isinstance(model.get(key), str)]
    own = [key for key in ("encoder", "decoder") if isinstance(model.get(key), Mapping) and "_target_" in model[key]]
    return ", ".join([*parts, *(f"{key} {_class_name(model[key])}" for key in own)])


def _class_name(config: Mapping[str, Any]) -> str:
    return str(config["_target_"]).rpartition(".")[2]


def _training(run: Run, entry: Mapping[str, Any]) -> str:
    counts = [f"{part} {sum(groups.values())}" for part, groups in run.result.get("data", {}).items()]
    lines = [
        f"- Data: {run.choice('data')}; pictures: {', '.join(counts) or 'not recorded'}",
        f"- Command: `python train.py {shlex.join(run.overrides())}`",
        f"- Epoch {entry.get('epoch')} of {run.settings['trainer']['max_epochs']}, seed {run.settings['seed']}",
        *made_on(run.result.get("gpu"), run.result.get("commit"), run.result.get("versions", {})),
    ]
    return "\n".join(lines)
