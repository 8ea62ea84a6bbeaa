"""What a sweep and its jobs share of an Optuna study: its database, and when a trial is given up.

The sweep asks for trials and tells their results; a job reports the score of each of its epochs. Optuna is imported
when it is needed.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

NAME = "sweep"
STARTUP, PRUNING = "startup_trials", "pruning"
"""Attributes of the study: Optuna keeps no pruner, and the jobs have to know what the sweep was told."""


@dataclass(frozen=True)
class Trial:
    """The trial of an Optuna study that a job is: where it reports its scores, and asks whether to go on."""

    storage: str
    study: str
    number: int


def optuna() -> Any:
    """The library, which says nothing but warnings.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("hydra/sweeper=optuna needs Optuna: pip install -e '.[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def database(folder: Path) -> Path:
    """The file in a sweep's folder that its study is kept in."""
    return folder.absolute() / "optuna.db"


def address(folder: Path) -> str:
    """``database`` as Optuna is told it."""
    return f"sqlite:///{database(folder)}"


@functools.cache
def open_storage(url: str) -> "RDBStorage":
    """The database of a study; made if it is not there."""
    # SQLite locks the whole file for a write: jobs that end an epoch at the same time wait for each other.
    return optuna().storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})


def unpromising(trial: Trial, epoch: int, score: float) -> bool:
    """Report a trial's score after an epoch (from 0). Returns whether the trial had better be ended.

    It is where its best score so far is worse than the median of the finished trials' at that epoch. The study's first
    trials, ``startup_trials``, are never ended. An epoch that a resumed trial repeats is not reported again.
    """
    storage = open_storage(trial.storage)
    study = optuna().load_study(study_name=trial.study, storage=storage)
    trial_id = storage.get_trial_id_from_study_id_trial_number(
        storage.get_study_id_from_name(trial.study), trial.number
    )
    if epoch not in storage.get_trial(trial_id).intermediate_values:
        storage.set_trial_intermediate_value(trial_id, epoch, score)
    startup = study.user_attrs[STARTUP]
    if not study.user_attrs[PRUNING] or trial.number < startup:
        return False
    return optuna().pruners.MedianPruner(n_startup_trials=startup).prune(study, storage.get_trial(trial_id))
