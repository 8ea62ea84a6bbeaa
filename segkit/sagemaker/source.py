"""The source that a training job runs: what git tracks, as one archive in the bucket."""

import gzip
import hashlib
import io
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from segkit.errors import UserError, shortlist
from segkit.remote.address import Address
from segkit.remote.s3 import S3

NAME = "source.tar.gz"


@dataclass(frozen=True)
class Source:
    """``archive``: the bytes of a ``.tar.gz``, the same for the same files; ``names``: what is in it; ``note``: what is
    not committed."""

    archive: bytes
    commit: str
    names: frozenset[str]
    note: str = ""

    @property
    def place(self) -> str:
        """Its folder below the output: named by its content, so that jobs with the same source share one."""
        return f"source/{hashlib.sha256(self.archive).hexdigest()[:16]}"

    def upload(self, output: str) -> None:
        """Bring it to where ``place`` is below ``output``, unless it is there."""
        address = Address.parse(output, f"sagemaker.output={output}").below(self.place, NAME)
        store = S3(address, f"sagemaker.output={output}")
        if not store.entries()[0]:
            with tempfile.TemporaryFile() as file:
                file.write(self.archive)
                file.seek(0)
                store.send("", file)


def pack(folder: Path) -> Source:
    """The files below ``folder`` that git tracks, as they are now.

    Raises:
        UserError: it lies in no git repository.
    """
    names = [name for name in _git(folder, "ls-files", "-z").split("\0") if name and (folder / name).is_file()]
    buffer = io.BytesIO()
    # No times and no names of users, so that the same files make the same archive.
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name in sorted(names):
            about = tarfile.TarInfo(name)
            content = (folder / name).read_bytes()
            about.size, about.mode = len(content), (folder / name).stat().st_mode & 0o777
            tar.addfile(about, io.BytesIO(content))
    status = [line for line in _git(folder, "status", "--porcelain", "--", ".").splitlines() if line]
    changed = [line[3:] for line in status if not line.startswith("??")]
    left_out = [line[3:] for line in status if line.startswith("??")]
    notes = [f"not committed: {shortlist(changed)}; the job runs the files as they are now"] if changed else []
    notes += [f"left out, since git does not track them: {shortlist(left_out)}"] if left_out else []
    commit = _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()
    return Source(buffer.getvalue(), commit, frozenset(names), "\n".join(notes))


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise UserError(
            f"{folder}: a training job runs what git tracks, and git says: {said[-1] if said else error}; call this in "
            "a clone, or make this folder one (git init, git add, git commit)"
        ) from error
    return done.stdout
