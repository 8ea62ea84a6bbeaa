"""Hydra's reading and composing without its command line, several times in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, read_write

from segkit.config.compose import CONF
from segkit.config.overrides import MULTIRUN, quoted
from segkit.errors import UserError


class OwnConfigs(SearchPathPlugin):
    """The folder of ``--config-dir`` among those that Hydra searches, in the place that its command line gives it."""

    folder: Path | None = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if OwnConfigs.folder is not None:
            search_path.append("command-line", f"file://{OwnConfigs.folder}")


@contextmanager
def hydra_ready(own: Path | None) -> Iterator[None]:
    """Within it, words can be parsed and configs composed; ``own`` is the folder of ``--config-dir``."""
    Plugins.instance().register(OwnConfigs)
    OwnConfigs.folder = own
    try:
        with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
            yield
    finally:
        OwnConfigs.folder = None
        HydraConfig.instance().cfg = None


def own_configs(flags: list[str]) -> Path | None:
    """The folder of ``--config-dir``, the only one of Hydra's options that a sweep has beside ``--multirun``.

    Raises:
        UserError: another option, or no such folder.
    """
    found = None
    words = iter(flags)
    for flag in words:
        key, _, value = flag.partition("=")
        if key in ("--config-dir", "-cd"):
            found = Path(value or next(words, "")).expanduser().absolute()
            if not found.is_dir():
                raise UserError(f"--config-dir: {found} is no folder")
        elif flag not in MULTIRUN:
            raise UserError(f"{flag}: a sweep knows no such option; --config-dir=<folder> adds config files")
    return found


def parsed(words: list[str]) -> list[Override]:
    """Words as Hydra reads them."""
    return OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(words)


def quoted_unless_several(word: str) -> str:
    """A text or path in quotes, where the word is not several values."""
    try:
        several = parsed([word])[0].is_sweep_override()
    except HydraException:  # odd characters, which is what the quotes are for
        several = False
    return word if several else quoted(word)


def is_group(key: str) -> bool:
    """Whether a key chooses a file of ``conf/``."""
    return bool(GlobalHydra.instance().config_loader().get_group_options(key))


def without_hydra(config: DictConfig) -> DictConfig:
    """The config without Hydra's own part, which its values may refer to from now on."""
    HydraConfig.instance().set_config(config)
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def tell_run_folder(folder: Path) -> Any:
    """Let ``hydra.runtime.output_dir`` be ``folder``. Returns Hydra's own part of the config."""
    own = HydraConfig.get()
    with read_write(own):
        own.runtime.output_dir = str(folder)
    return own
