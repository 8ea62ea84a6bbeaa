"""``resume=s3://…/<run>``: a mirrored run folder, brought to this machine to go on in."""

import logging
import os
import shutil
from pathlib import Path, PurePosixPath

from segkit.errors import UserError
from segkit.remote.address import Address, check_names
from segkit.remote.copying import copy
from segkit.remote.local import alone, found, open_store
from segkit.remote.mirror import RECORD, Record, owner
from segkit.remote.s3 import S3
from segkit.runs.folder import CONFIG

log = logging.getLogger(__name__)


def fetch_run(place: str) -> Path:
    """The run folder at an address, copied to where it lies below ``outputs/``: to ``outputs/train/<run>``.

    It is there whole or not at all. One that is there already is gone on with if nobody has gone on elsewhere since.

    Raises:
        UserError: no run folder; one that is here has been left behind; see :mod:`segkit.remote.copying` for others.
    """
    setting = f"resume={place}"
    address = Address.parse(place, setting)
    store = open_store(address, setting)
    entries, single = found(store, address, setting)
    if single or f"{CONFIG}/config.yaml" not in {entry.name for entry in entries}:
        raise UserError(f"{setting}: no run folder of segkit train; give one that holds {CONFIG}/")
    folder = Path("outputs", *PurePosixPath(address.key).parts[-2:])
    there = owner(store) if isinstance(store, S3) else None
    home = folder.with_name(f".{folder.name}.copying")
    with alone(home, setting):
        if folder.exists():
            shutil.rmtree(home, ignore_errors=True)
            kept = Record.read(folder)
            if kept is None or kept.url != str(address) or there not in kept.ids:
                raise UserError(
                    f"{setting}: {folder} is there already, and is not what was mirrored last; move it away, or go on "
                    f"with it: resume={folder}"
                )
            log.info("%s: going on with %s, from which it was sent", setting, folder)
            return folder
        files = [entry for entry in entries if entry.name != RECORD]
        check_names(files, setting)
        tree = home / "run"
        copy(store, files, tree, setting)
        names = {entry.name: (tree / entry.name).stat() for entry in files}
        sent = {name: [about.st_size, about.st_mtime_ns] for name, about in names.items()}
        Record(str(address), [there or ""], sent).write(tree)
        os.rename(tree, folder)
        shutil.rmtree(home, ignore_errors=True)
    return folder
