"""From a sweep's command line to its jobs: what is swept, and the config of each combination.

Words are read by Hydra's own parser and mean what they mean to Hydra's ``--multirun``: ``key=a,b``, ``choice(…)``,
``range(…)``, ``group=glob(*)``, and ``hydra.sweeper.params`` in config files. Each combination is composed as if it had
been typed alone, so a job's folder is that of any run: ``resume=<folder>`` goes on with it.
"""

import copy
import itertools
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig, OmegaConf

from segkit.config.compose import (
    chooses_file,
    compose,
    hydra_ready,
    kept_files,
    parsed,
    quoted_unless_several,
    resolved,
    set_run_folder,
)
from segkit.config.overrides import read_options
from segkit.config.schema import TrainSettings, validate
from segkit.errors import UserError
from segkit.runs.identity import folder_name, job_key, short_names
from segkit.runs.study import Trial
from segkit.sweeps.job import Job, Train


@dataclass(frozen=True)
class Axis:
    """A setting that is swept.

    Attributes:
        key: as it was typed, ``+model.share`` for one that is added.
        texts: its values in Hydra's grammar; of an interval its lower end alone.
        override: as Hydra has read it.
    """

    key: str
    texts: tuple[str, ...]
    override: Override

    @property
    def name(self) -> str:
        """The dotted key; a config group is one too."""
        return self.key.lstrip("+").replace("/", ".")


class Plan:
    """A sweep as it was typed. Nothing is written.

    Args:
        flags: Hydra's options.
        words: the settings.
        train: what trains a job.

    Raises:
        UserError, HydraException: they are no sweep, or the first combination cannot be composed.

    Attributes:
        axes: what is swept, in the order typed.
        name: ``sweep.name``.
        folder: the sweep's folder, absolute.
        launcher, sweeper: ``hydra.launcher`` and ``hydra.sweeper``.
        command: what to type to go on with the sweep.
    """

    def __init__(self, flags: list[str], words: list[str], train: Train) -> None:
        self.cwd, self.train = Path.cwd(), train
        self._folders: dict[str, Path] = {}
        self._own = read_options(flags).config_dir
        with hydra_ready(self._own):
            typed = parsed([quoted_unless_several(word) for word in words])
            self._set(typed)
            first = self._first_config()
            given = {override.key_or_group for override in typed}
            searched = parsed([f"{key}={text}" for key, text in (first.hydra.sweeper.get("params") or {}).items()])
            if any(override.key_or_group not in given for override in searched):
                self._set([*(override for override in searched if override.key_or_group not in given), *typed])
                first = self._first_config()
            self.launcher = cast(dict[str, Any], OmegaConf.to_container(first.hydra.launcher, resolve=True))
            self.sweeper = cast(dict[str, Any], OmegaConf.to_container(first.hydra.sweeper, resolve=True))
            self.name: str | None = first.sweep.name
            dated = str(first.hydra.sweep.dir)
        moved = "hydra.sweep.dir" in given
        if moved and self.name is not None:
            raise UserError("hydra.sweep.dir: sweep.name gives the sweep its folder; give one of the two")
        self.folder = self.cwd / (dated if self.name is None else f"outputs/sweeps/{self.name}")
        # A folder by date would be another one the next time.
        again = [] if moved or self.name is not None else [f"hydra.sweep.dir={self.folder}"]
        self.command = shlex.join(["segkit", "train", *flags, *words, *again])

    def _set(self, overrides: list[Override]) -> None:
        """Take overrides apart; of two with the same key the later one counts."""
        self._words: list[Override | Axis] = []
        for override in {override.get_key_element(): override for override in overrides}.values():
            if not override.is_sweep_override():
                self._words.append(override)
                continue
            name, value = override.key_or_group, override.value()
            if override.is_hydra_override() or name.split(".")[0] == "sweep":
                raise UserError(f"{name}: cannot be swept; it says how the whole sweep runs")
            texts = [str(value.start)] if isinstance(value, IntervalSweep) else list(override.sweep_string_iterator())
            if not texts:
                raise UserError(f"{override.input_line}: there is no value in it")
            self._words.append(Axis(override.get_key_element(), tuple(texts), override))
        self.axes = [word for word in self._words if isinstance(word, Axis)]
        self._short = short_names([axis.name for axis in self.axes])
        keys = [override.key_or_group for override in overrides if not chooses_file(override)]
        self._plain = [axis for axis in self.axes if _is_plain(axis, keys)]
        self._bases: dict[tuple[str, ...], DictConfig] = {}

    def first(self) -> dict[str, str]:
        """The first value of each axis, by its name."""
        return {axis.name: axis.texts[0] for axis in self.axes}

    def combinations(self) -> Iterator[dict[str, str]]:
        """All combinations of values by the axes' names, the last axis changing fastest.

        Raises:
            UserError: an interval has no values to go through.
        """
        for axis in self.axes:
            if axis.override.is_interval_sweep():
                raise UserError(f"{axis.name}: interval(…) is for hydra/sweeper=optuna; give the values to try")
        for texts in itertools.product(*(axis.texts for axis in self.axes)):
            yield {axis.name: text for axis, text in zip(self.axes, texts, strict=True)}

    def job(self, values: Mapping[str, str], trial: Trial | None = None) -> Job:
        """The job of one combination, whose settings may be wrong still.

        Where the sweep's folder has a run of the same job already, that is its folder, whatever it is called. Jobs that
        are the same have the same folder.

        Args:
            values: for each axis, by its name, a value in Hydra's grammar.
            trial: the trial of a study that it is.

        Raises:
            UserError, HydraException: it cannot be composed.
        """
        with hydra_ready(self._own):
            chosen = {axis.name: parsed([f"{axis.key}={values[axis.name]}"])[0] for axis in self.axes}
            swept = {name: override.value() for name, override in chosen.items()}
            config = self._composed(chosen)
            # The folder's name depends on the settings, and they may depend on the folder.
            set_run_folder(config, self.folder)
            key = job_key(resolved(config))
            name = folder_name({self._short[name]: value for name, value in swept.items()}, key)
            folder = self._folders.setdefault(key, self._existing(key) or self.folder / name)
            set_run_folder(config, folder)
            settings, files = resolved(config), kept_files(config)
        label = " ".join(f"{name}={_shown(value, values[name])}" for name, value in swept.items())
        return Job(label or settings["name"], folder, settings, files, self.cwd, self.train, tuple(swept), trial)

    def _existing(self, key: str) -> Path | None:
        places = (*sorted(self.folder.glob(f"*-{key}")), self.folder / key)
        return next((place for place in places if place.is_dir()), None)

    def _first_config(self) -> DictConfig:
        return self._composed({axis.name: parsed([f"{axis.key}={axis.texts[0]}"])[0] for axis in self.axes})

    def _composed(self, chosen: Mapping[str, Override]) -> DictConfig:
        """What Hydra composes of ``chosen``, one override for each axis, and the other words.

        Reading the files takes it a tenth of a second, so that is done once for each choice of files; plain values are
        then put in as Hydra does it.
        """
        words = [chosen[word.name] if isinstance(word, Axis) else word for word in self._words]
        choice = tuple(str(chosen[axis.name].input_line) for axis in self.axes if axis not in self._plain)
        if choice not in self._bases:
            lines = [str(override.input_line) for override in words]
            self._bases[choice] = compose("train", lines)
        config = copy.deepcopy(self._bases[choice])
        for axis in self._plain:
            OmegaConf.update(config, axis.name, chosen[axis.name].value(), merge=True)
        typed = [str(override.input_line) for override in words if not override.is_hydra_override()]
        config.hydra.overrides.task = typed
        config.hydra.job.override_dirname = ",".join(sorted(typed))
        return config


def first_valid(jobs: list[Job]) -> Job:
    """The first job whose settings are valid.

    Raises:
        UserError: there is none; what is wrong with the first one.
    """
    wrong: list[UserError] = []
    for job in jobs:
        try:
            validate(TrainSettings, job.settings)
        except UserError as error:
            wrong.append(error)
        else:
            return job
    raise wrong[0]


def _is_plain(axis: Axis, keys: list[str]) -> bool:
    """Whether an axis sets one value that no other word reaches into; ``keys`` are of all words that choose no file."""
    name = f"{axis.name}."
    near = [key for key in keys if f"{key}.".startswith(name) or name.startswith(f"{key}.")]
    merged = any(text.startswith("{") for text in axis.texts)
    return near == [axis.name] and axis.key == axis.name and not merged


def _shown(value: Any, text: str) -> str:
    return f"{value:g}" if isinstance(value, float) else text
