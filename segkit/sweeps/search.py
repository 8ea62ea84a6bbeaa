"""``hydra/sweeper=optuna``: trials of an Optuna study instead of all combinations.

The study lies in the sweep's folder. A trial that a sweep has left unfinished when it died is still running there: the
next one hands it out again, and its job goes on from its own run folder.
"""

import json
import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.override_parser.types import IntervalSweep, RangeSweep

from segkit.config.schema import Count, Positive, Strict, validate
from segkit.errors import UserError
from segkit.runs.identity import counted
from segkit.runs.monitor import mode
from segkit.runs.study import NAME, PRUNING, STARTUP, Trial, address, database, open_storage, optuna
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.plan import Axis, Plan, first_valid

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

COMMON = "settings"
"""Attribute of the study: the settings that all of its trials share, and which others are searched."""


class SearchSettings(Strict):
    """``conf/hydra/sweeper/optuna.yaml``."""

    kind: str
    n_trials: Positive
    startup_trials: Count
    parallel: Positive | None
    pruning: bool
    seed: Count
    params: dict[str, Any] | None


class _SweeperSettings(Strict):
    sweeper: SearchSettings


class _HydraSettings(Strict):
    hydra: _SweeperSettings


class Search:
    """The trials of a study.

    Raises:
        UserError: Optuna is not installed, nothing is searched, or the settings of every trial would be wrong.
    """

    def __init__(self, plan: Plan) -> None:
        validate(_HydraSettings, {"hydra": {"sweeper": plan.sweeper}})
        self.about = SearchSettings(**plan.sweeper)
        if not plan.axes:
            example = "optimizer.learning_rate='tag(log,interval(1e-5,1e-3))'"
            raise UserError(f"hydra/sweeper=optuna: nothing to search; give a setting room, as in {example}")
        if any(axis.name == "trainer.monitor" for axis in plan.axes):
            raise UserError("trainer.monitor: cannot be searched; it says what the search is judged by")
        self.plan = plan
        self.space = {axis.name: _distribution(axis) for axis in plan.axes}
        # Every choice is composed once, so that a wrong one is found now and not in the twentieth trial.
        probes = [plan.first()]
        for axis in plan.axes:
            if axis.override.is_choice_sweep():
                probes += [plan.first() | {axis.name: text} for text in axis.texts[1:]]
        jobs = [plan.job(values) for values in probes]
        self.settings = first_valid(jobs).settings
        self.total = self.about.n_trials
        self._direction = mode(self.settings["trainer"]["monitor"])
        self._common = {"searched": sorted(self.space)} | _common(jobs[0], plan.axes)
        self._unfinished: deque[FrozenTrial] = deque()
        self._failed_earlier = 0

    @cached_property
    def _study(self) -> "Study":
        """The study, made if it is not there.

        Raises:
            UserError: it is about other settings.
        """
        study = optuna().create_study(
            study_name=NAME,
            storage=open_storage(address(self.plan.folder)),
            direction=f"{self._direction}imize",
            load_if_exists=True,
        )
        self._check_same(study)
        return study

    def _check_same(self, study: "Study") -> None:
        other = f"the study in {self.plan.folder} is about other settings, and needs another sweep.name"
        before = study.user_attrs.get(COMMON, self._common)
        for key in {**before, **self._common}:
            if before.get(key) != self._common.get(key):
                raise UserError(f"{key}={self._common.get(key)} was {before.get(key)}: {other}")
        for trial in study.get_trials(deepcopy=False):
            for name, known in trial.distributions.items():
                try:
                    optuna().distributions.check_distribution_compatibility(known, self.space[name])
                except ValueError:
                    raise UserError(f"{name} had other choices to be searched: {other}") from None

    def pending(self) -> bool:
        if not database(self.plan.folder).exists():
            return True
        trials = self._trials()
        done = sum(trial.state.is_finished() and not _failed(trial) for trial in trials)
        return done < self.about.n_trials or not all(trial.state.is_finished() for trial in trials)

    def begin(self) -> int:
        attributes = {COMMON: self._common, STARTUP: self.about.startup_trials, PRUNING: self.about.pruning}
        for name, value in attributes.items():
            self._study.set_user_attr(name, value)
        for trial in self._trials():
            if trial.state.is_finished():
                continue
            if trial.params.keys() == self.space.keys():
                self._unfinished.append(trial)
            else:  # the sweep died while it asked for it
                self._tell(trial.number, None, "FAIL")
        # Others take the place of those that failed earlier: what was wrong then may have been put right.
        self._failed_earlier = sum(_failed(trial) for trial in self._trials())
        earlier = sum(trial.state.is_finished() for trial in self._trials()) - self._failed_earlier
        self.total = max(self.total, earlier + len(self._unfinished))
        return earlier

    def wants(self, running: int, queued: int, slots: int | None) -> bool:
        limits = [limit for limit in (self.about.parallel, slots) if limit is not None]
        if limits:
            return running < min(limits)
        # The pool knows best what there is room for: trials that need no results wait there, and later ones one by one.
        return queued == 0 or len(self._trials()) < self.about.startup_trials

    def next(self) -> Job | None:
        if self._unfinished:
            trial = self._unfinished.popleft()
            return self._job(trial.params, trial.number)
        number = len(self._trials())
        if number - self._failed_earlier >= self.about.n_trials:
            return None
        # Drawn anew for each trial, so that a study that was cut off asks for what it would have asked for.
        seed = random.Random(f"{self.about.seed} {number}").getrandbits(32)
        self._study.sampler = optuna().samplers.TPESampler(n_startup_trials=self.about.startup_trials, seed=seed)
        asked = self._study.ask(self.space)
        return self._job(asked.params, asked.number)

    def _job(self, params: Mapping[str, Any], number: int | None) -> Job:
        trial = None if number is None else Trial(address(self.plan.folder), NAME, number)
        return self.plan.job({name: _text(value) for name, value in params.items()}, trial)

    def ended(self, job: Job, outcome: Outcome) -> None:
        assert job.trial is not None
        if outcome.status == "finished" and outcome.score is not None and math.isfinite(outcome.score):
            self._tell(job.trial.number, outcome.score, None)
        elif outcome.status == "pruned":
            self._tell(job.trial.number, None, "PRUNED")
        elif outcome.status != "interrupted":  # that one goes on another time
            self._tell(job.trial.number, None, "FAIL")

    def _tell(self, number: int, score: float | None, state: str | None) -> None:
        ended_as = None if state is None else optuna().trial.TrialState[state]
        self._study.tell(number, score, state=ended_as, skip_if_finished=True)

    def best(self) -> tuple[Job, float] | None:
        scored = [trial for trial in self._trials() if trial.state.name == "COMPLETE"]
        if not scored:
            return None
        trial = self._study.best_trial
        assert trial.value is not None
        return self._job(trial.params, None), trial.value

    def _trials(self) -> Sequence["FrozenTrial"]:
        return self._study.get_trials(deepcopy=False)


def _failed(trial: "FrozenTrial") -> bool:
    return trial.state == optuna().trial.TrialState.FAIL


def _distribution(axis: Axis) -> "BaseDistribution":
    """What Optuna draws an axis' values from. Those that are no numbers are told apart by their text alone."""
    kinds = optuna().distributions
    sweep = axis.override.value()
    tags: set[str] = getattr(sweep, "tags", set())
    numbers = isinstance(sweep, IntervalSweep | RangeSweep)
    if tags - ({"log"} if numbers else set()):
        raise UserError(f"{axis.override.input_line}: the only tag there is is log, for interval(…) and range(…)")
    if not numbers:
        return kinds.CategoricalDistribution(axis.texts)
    if isinstance(sweep, IntervalSweep):
        ends, step = [sweep.start, sweep.end], None
    else:
        ends, step = sorted(float(text) for text in (axis.texts[0], axis.texts[-1])), abs(sweep.step)
    # int(interval(1,8)) is of whole numbers too.
    whole = all("." not in text and "e" not in text for text in axis.texts)
    try:
        if whole:
            return kinds.IntDistribution(int(ends[0]), int(ends[1]), log="log" in tags, step=step or 1)
        return kinds.FloatDistribution(*ends, log="log" in tags, step=step)
    except ValueError as error:
        raise UserError(f"{axis.override.input_line}: {error}") from error


def _text(value: Any) -> str:
    """A drawn value in Hydra's grammar. Twelve digits are enough, and leave out what steps add up to."""
    return repr(float(f"{value:.12g}")) if isinstance(value, float) else str(value)


def _common(job: Job, axes: list[Axis]) -> dict[str, Any]:
    """The settings of a job, as they were written, that no axis changes, by dotted keys."""
    config = yaml.safe_load(job.files["config.yaml"])

    def searched(key: str) -> bool:
        return any(key == axis.name or key.startswith((f"{axis.name}.", f"{axis.name} ")) for axis in axes)

    common = {key: value for key, value in counted(config).items() if not searched(key)}
    return json.loads(json.dumps(common))
