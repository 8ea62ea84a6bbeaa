"""``segkit sagemaker``: a run of ``segkit train`` as a training job of SageMaker, watched from here, and fetched."""

import json
import logging
from pathlib import Path
from typing import Any

from segkit.commands.runner import Typed
from segkit.config.schema import JobSettings, SagemakerSettings
from segkit.console import console, table
from segkit.errors import UserError
from segkit.remote.address import Address
from segkit.runs.folder import RunFolder, write_result
from segkit.runs.read import read_overrides

SETTINGS = SagemakerSettings
NOT_SENT = ("sagemaker", "action", "job", "resume", "dry_run", "data.root")
"""Settings that say what this command does, and are no hyperparameters."""

log = logging.getLogger(__name__)


def prepare(typed: Typed) -> Typed:
    """Raises UserError for config files that would not be where the job is."""
    if typed.config_dir is not None:
        raise UserError("--config-dir: a job finds config files in conf/ of its source alone; put yours there")
    return typed


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Do what ``action`` says, and write ``result.json``.

    Raises:
        UserError: a setting is missing or refused, there is no such job, or the job has failed.
    """
    job, action = JobSettings(**settings["sagemaker"]), settings["action"]
    if action == "train":
        result = _train(settings, job, folder.path)
    elif action == "list":
        result = _list()
    else:
        if settings["job"] is None:
            raise UserError(
                f"action={action}: job is missing: give job=<name>; segkit sagemaker action=list shows them"
            )
        result = {"follow": _follow, "stop": _stop, "fetch": _fetch}[action](settings["job"], job)
    write_result(folder.path, "sagemaker", {"action": action} | result)


def _train(settings: dict[str, Any], job: JobSettings, folder: Path) -> dict[str, Any]:
    from segkit.sagemaker.request import estimate, job_name, training_job
    from segkit.sagemaker.service import SageMaker, ask
    from segkit.sagemaker.source import pack

    words = read_overrides(folder)
    words = [word for word in words if not _is_own(word.lstrip("+~").partition("=")[0])]
    source, name = pack(Path.cwd()), job_name(settings["name"])
    run = settings["resume"] or f"{str(job.output).rstrip('/')}/{settings['name']}/{name}"
    request = training_job(job, name, run, words, settings, source)
    service = SageMaker()
    service.check(request)
    if source.note:
        log.warning("%s", source.note)
    if settings["dry_run"]:
        console.print(json.dumps(request, indent=2), markup=False)
        return {"request": request}
    log.info("%s: %s", name, estimate(job))
    if not ask("start it?"):
        raise UserError("not started")
    source.upload(str(job.output))
    service.start(request)
    started = {"action": "train", "job": name, "run": run, "request": request}
    write_result(folder, "sagemaker", started)  # following may end in any way
    return started | _follow(name, job)


def _is_own(key: str) -> bool:
    return any(key == own or key.startswith(f"{own}.") for own in NOT_SENT)


def _list() -> dict[str, Any]:
    from segkit.sagemaker.service import SageMaker

    jobs = SageMaker().latest()
    rows = [["job", "status", "created"]]
    rows += [[job["TrainingJobName"], job["TrainingJobStatus"], f"{job['CreationTime']:%F %R}"] for job in jobs]
    console.print(table(rows, left=(0, 1)) if jobs else "no training jobs", markup=False)
    return {"jobs": [job["TrainingJobName"] for job in jobs]}


def _follow(name: str, job: JobSettings) -> dict[str, Any]:
    from segkit.sagemaker.service import SageMaker, run_of

    try:
        about = SageMaker().follow(name, job.poll_seconds, lambda line: console.print(line, markup=False))
    except (KeyboardInterrupt, UserError):  # perhaps the network is down
        log.info("the job goes on. To look again: segkit sagemaker action=follow job=%s", name)
        log.info("to stop it: segkit sagemaker action=stop job=%s", name)
        raise
    result = _cost(about, job)
    if about["TrainingJobStatus"] != "Completed":
        reason = about.get("FailureReason") or about["SecondaryStatus"]
        raise UserError(
            f"{name}: {about['TrainingJobStatus']}: {reason}\naction=fetch job={name} brings what there is; the same "
            f"command with resume={run_of(about)} goes on"
        )
    return result | _bring(about)


def _stop(name: str, job: JobSettings) -> dict[str, Any]:
    from segkit.sagemaker.service import SageMaker

    stopped = SageMaker().stop(name)
    log.info("%s: %s", name, "asked to stop; it saves, and ends within two minutes" if stopped else "has ended already")
    return {"job": name}


def _fetch(name: str, job: JobSettings) -> dict[str, Any]:
    from segkit.sagemaker.service import SageMaker

    return _bring(SageMaker().describe(name))


def _bring(about: dict[str, Any]) -> dict[str, Any]:
    from segkit.sagemaker.service import fetch, run_of

    run = run_of(about)
    folder = Path("outputs", *Address.parse(run, run).key.split("/")[-2:])
    fetch(run, folder)
    log.info("run folder: %s", folder)
    return {"job": about["TrainingJobName"], "run": str(folder)}


def _cost(about: dict[str, Any], job: JobSettings) -> dict[str, Any]:
    from segkit.sagemaker.request import price

    trained, billed = about.get("TrainingTimeInSeconds", 0), about.get("BillableTimeInSeconds", 0)
    each = price(job)
    dollars = None if each is None else each * billed / 3600
    shown = "" if dollars is None else f", about ${dollars:.2f}"
    log.info("trained for %d s, billed for %d s%s", trained, billed, shown)
    return {"seconds": trained, "billed_seconds": billed, "dollars": dollars}
