"""From words to a composed config, for every command: files and values by Hydra, what it is made into by segkit."""

import copy
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import hydra
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from segkit.config.messages import readable
from segkit.config.names import keys_of, no_such_setting
from segkit.config.overrides import quoted
from segkit.errors import UserError, did_you_mean
from segkit.runs.stamp import stamped

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""The config files: in an installed package inside of it, in a checkout beside it."""

BASE = "segkit_base"
"""The name under which Hydra knows a config that no file holds."""

ONE_VALUE = ("data.classes",)
"""Settings whose mapping is one value: what is typed takes the place of a file's, and is not joined to it."""

READ = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.launcher", "hydra.sweeper")
"""What of Hydra's own settings can be typed."""


class OwnConfigs(SearchPathPlugin):
    """The user's own config files among those that Hydra searches, in the place that its command line gives them."""

    folder: Path | None = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if OwnConfigs.folder is not None:
            search_path.append("command-line", f"file://{OwnConfigs.folder}")


@contextmanager
def hydra_ready(config_dir: Path | None) -> Iterator[None]:
    """Within it, words can be parsed and configs composed.

    ``config_dir`` is the folder of ``--config-dir``; without it ``conf/`` in the working folder, where there is one.
    """
    Plugins.instance().register(OwnConfigs)
    here = Path.cwd() / "conf"
    own = here if here.is_dir() and here.resolve() != CONF.resolve() else None
    OwnConfigs.folder = config_dir or own
    try:
        with initialize_config_dir(str(CONF), job_name="segkit", version_base="1.3"):
            yield
    finally:
        OwnConfigs.folder = None
        HydraConfig.instance().cfg = None


def parsed(words: list[str]) -> list[Override]:
    """Words as Hydra reads them; within ``hydra_ready``.

    Raises:
        UserError, HydraException: one cannot be read.
    """
    parser, found = OverridesParser.create(GlobalHydra.instance().config_loader()), []
    for word in words:
        try:
            found += parser.parse_overrides([word])
        except RecursionError as error:
            raise UserError(f"{word}: cannot be read: it is nested too deeply") from error
        if not found[-1].key_or_group:
            raise UserError(f"{word}: cannot be read: there is no key before the sign =")
    return found


def is_group(key: str) -> bool:
    """Whether a key chooses a file of ``conf/``; within ``hydra_ready``."""
    # Folders below each other are named with a slash. To look for one takes longer than to read the word.
    return "." not in key and bool(GlobalHydra.instance().config_loader().get_group_options(key))


def chooses_file(override: Override) -> bool:
    """Whether a word chooses a file of ``conf/``, rather than setting values; within ``hydra_ready``."""
    return is_group(override.key_or_group) and not isinstance(override.value(), dict)


def quoted_unless_several(word: str) -> str:
    """A text or path in quotes, where the word is not several values; within ``hydra_ready``."""
    try:
        several = parsed([word])[0].is_sweep_override()
    except HydraException:  # odd characters, which is what the quotes are for
        several = False
    return word if several else quoted(word)


def combinations(words: list[str], config_dir: Path | None) -> list[list[str]]:
    """The words of each run that words with several values (``key=a,b``) ask for, the last one changing fastest."""
    with hydra_ready(config_dir):
        choices = []
        for override in parsed([quoted_unless_several(word) for word in words]):
            key, line = override.get_key_element(), str(override.input_line)
            several = override.is_sweep_override()
            choices.append([f"{key}={text}" for text in override.sweep_string_iterator()] if several else [line])
    return [list(chosen) for chosen in itertools.product(*choices)]


def composed(
    command: str, words: list[str], config_dir: Path | None = None, base: Mapping[str, Any] | None = None
) -> DictConfig:
    """The config of a command, Hydra's own part (``hydra``) included, interpolations not put in.

    Args:
        command: names the file in ``conf/``.
        words: what was typed, in Hydra's grammar.
        config_dir: a folder of more config files.
        base: what the words are applied to, instead of the command's file: values, and perhaps ``defaults``.

    Raises:
        UserError, HydraException: there is no such file, no such setting, or a word that cannot be read.
    """
    with hydra_ready(config_dir):
        if base is not None:
            ConfigStore.instance().store(BASE, OmegaConf.create(dict(base)))
        config = compose(command if base is None else BASE, words)
        config.hydra.job.name = command
        return config


def compose(name: str, words: list[str]) -> DictConfig:
    """Hydra's composing, with its complaints about unknown settings made useful; within ``hydra_ready``."""
    for line in parsed(words):
        chosen = line.value()
        if is_group(line.key_or_group) and isinstance(chosen, int | float):
            raise UserError(_no_such_file_line(line.key_or_group, str(chosen)))
    cleared = {str(line.input_line): f"{line.key_or_group}=null" for line in parsed(words) if _is_one_value(line)}
    try:
        cleared_first = [each for word in words for each in (cleared.get(word), word) if each is not None]
        config = hydra.compose(name, cleared_first, return_hydra_config=True)
    except ConfigCompositionException as error:
        if isinstance(error, MissingConfigException):
            raise UserError(_no_such_file(error, parsed(words))) from error
        unknown = re.search(r"Could not override '([^']+)'", str(error))
        if unknown is None:
            raise
        files = [str(override.input_line) for override in parsed(words) if chooses_file(override)]
        try:
            known = keys_of(cast(Any, OmegaConf.to_container(hydra.compose(name, files))))
        except HydraException:
            known = []
        key = unknown.group(1)
        if key in known:  # a table, to which the value has names that it lacks
            raise UserError(f"{key}: lacks a name that the value has; +{key}=… adds it") from error
        raise UserError(no_such_setting(key, known, " (--help lists all)")) from error
    with read_write(config.hydra):
        task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        config.hydra.overrides.task = [word for word in task if word not in cleared.values()]
    for word in map(str, config.hydra.overrides.hydra):
        key = word.lstrip("+~").partition("=")[0].replace("/", ".")
        if not f"{key}.".startswith(tuple(f"{read}." for read in READ)):
            raise UserError(f"{key}: segkit does not read this setting of Hydra's; it reads {', '.join(READ)}")
    return config


def _is_one_value(override: Override) -> bool:
    return override.key_or_group in ONE_VALUE and isinstance(override.value(), dict)


def _no_such_file(error: MissingConfigException, words: list[Override]) -> str:
    """A line about a word that chooses a file which is not there; as Hydra has it where no word did."""
    for override in words:
        chosen, group = override.value(), override.key_or_group
        for name in chosen if isinstance(chosen, list) else [chosen]:
            if f"{group}/{name}" == error.missing_cfg_file:
                return _no_such_file_line(group, name)
    return readable(error)


def _no_such_file_line(group: str, name: str) -> str:
    files = list(_files(group))
    known = dict.fromkeys(re.sub("/.*", "/…", file) for file in files)
    near, there = did_you_mean(name, files), ", ".join(known)
    listed = f"{near} There are {there}" if near else f"; there are {there}"
    return f"{group}={name}: no such file under conf/{group}/{listed}"


def _files(group: str, above: str = "") -> Iterator[str]:
    """The files of a group, those in folders of it included."""
    loader = GlobalHydra.instance().config_loader()
    yield from (f"{above}{name}" for name in loader.get_group_options(group))
    for folder in loader.get_group_options(group, ObjectType.GROUP):
        yield from _files(f"{group}/{folder}", f"{above}{folder}/")


def _without_hydra(config: DictConfig) -> DictConfig:
    own = copy.deepcopy(config)
    with open_dict(own):
        own.pop("hydra", None)
    return own


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config as plain dicts and lists without Hydra's own part, interpolations put in.

    Raises:
        UserError: a value is missing, or refers to something that is not there.
    """
    before = HydraConfig.instance().cfg
    if "hydra" in config:  # which values may refer to
        HydraConfig.instance().cfg = config
    try:
        own = _without_hydra(config)
        missing = sorted(OmegaConf.missing_keys(own))
        if missing:
            raise UserError("\n".join(f"{key} is missing: give {key}=…" for key in missing))
        return cast(dict[str, Any], OmegaConf.to_container(own, resolve=True))
    except OmegaConfBaseException as error:
        raise UserError(readable(error)) from error
    finally:
        HydraConfig.instance().cfg = before


def set_run_folder(config: DictConfig, folder: Path) -> None:
    """Let ``${hydra:runtime.output_dir}`` be ``folder``."""
    config.hydra.runtime.output_dir = str(folder)


def kept_files(config: DictConfig) -> dict[str, str]:
    """What a run folder keeps of a composed config, by file name."""
    return {
        "config.yaml": OmegaConf.to_yaml(_without_hydra(config)),
        "hydra.yaml": OmegaConf.to_yaml(stamped({}))
        + OmegaConf.to_yaml(OmegaConf.masked_copy(config.hydra, ["runtime", "overrides", "job"])),
        "overrides.yaml": OmegaConf.to_yaml(config.hydra.overrides.task),
    }
