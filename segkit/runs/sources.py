"""The source files of classes of the user's own, kept in the run folder: it works then without the folder of the class.

They lie under ``code/`` as they lay under the working folder: ``code/mine/networks.py`` for ``mine.networks.Net``.
Keeping runs nothing that was not run before; importing what was kept runs the user's code, so it takes the user's word.
"""

import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segkit.runs.files import write_whole

CODE = "code"


def keep_sources(folder: Path, targets: Iterable[str]) -> list[Path]:
    """Copy into a run folder the modules of those classes that come from the working folder. Returns the copies.

    Left out are segkit's own and those of installed packages. With a module of a package come the other modules beside
    it, and the ``__init__.py`` of each package above it. What has been kept before stays as it is: a resumed run is
    one of the code that began it.

    Args:
        folder: the run's.
        targets: dotted paths of classes, ``mine.networks.Net``, whose modules have been imported.
    """
    kept = []
    for module in dict.fromkeys(target.rpartition(".")[0] for target in targets):
        origin = _own_source(module)
        if origin is None:
            continue
        depth = module.count(".") + (origin.name == "__init__.py")
        root = origin.parents[depth]  # the folder that the module was imported from
        files = sorted(origin.parent.glob("*.py")) if depth else [origin]
        above = (root / parent / "__init__.py" for parent in origin.parent.relative_to(root).parents)
        for file in (*files, *(path for path in above if path.is_file() and path.parent != root)):
            copy = folder / CODE / file.relative_to(root)
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                write_whole(copy, file.read_bytes())
                kept.append(copy)
    return kept


@contextmanager
def import_from(folder: Path) -> Iterator[None]:
    """Within it, the modules that the run folder has kept can be imported: they go before those of the working folder.

    Installed packages go before both, as they did when the run was made. For users who have said that they trust it.
    """
    code, here = str(folder.absolute() / CODE), str(Path.cwd())
    sys.path.insert(sys.path.index(here) if here in sys.path else len(sys.path), code)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(code)


def _own_source(module: str) -> Path | None:
    """The file of a module that lies under the working folder and is neither segkit's nor an installed package's."""
    if module.split(".")[0] == "segkit":
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # none, or one that cannot be found without running others
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    origin = Path(spec.origin).resolve()
    installed = (Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib"))
    if not origin.is_relative_to(Path.cwd().resolve()) or any(origin.is_relative_to(place) for place in installed):
        return None
    return origin
