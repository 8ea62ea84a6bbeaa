"""Every command, disturbed at points that a seed chooses: what comes of it is the same to the byte, or a line.

``make faults`` tries all; of each command a few are in ``make test``.
"""

import os
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.harness import Whole, problems, whole
from tests.faults.inside import Fault, mount, unmount
from tests.faults.subjects import SUBJECTS, Inputs, Subject

ALL = os.environ.get("FAULTS") == "all"
KINDS = {"kill": 8, "cpu": 4, "ENOSPC": 3, "EIO": 3, "EROFS": 3, "clock": 2, "limit": 2, "full": 4, "read-only": 1}
"""How often each happens to each command."""

AREAS = {
    "kill": "SIGKILL before a step on the disk",
    "cpu": "SIGKILL after some time of the processor",
    "ENOSPC": "no room from a step on (ENOSPC)",
    "EIO": "the disk fails from a step on (EIO)",
    "EROFS": "the disk is read-only from a step on (EROFS)",
    "clock": "the clock is set back",
    "limit": "files may not grow (EFBIG)",
    "full": "a small file system that runs full",
    "read-only": "a read-only file system",
}

CASES = [(subject, kind, number) for subject in SUBJECTS for kind, count in KINDS.items() for number in range(count)]
FEW = {
    **{name: {("kill", 0), ("ENOSPC", 1), ("full", 2)} for name in ("train", "generate", "cache filling", "download")},
    **{name: {("kill", 1)} for name in ("sweep", "predict")},
}


class Workshop:
    """Inputs, and what each subject comes to that nothing disturbs, once each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inputs = folder, Inputs(folder)
        self._wholes: dict[str, Whole] = {}

    def whole(self, subject: Subject) -> Whole:
        if subject.name not in self._wholes:
            self._wholes[subject.name] = whole(subject, self.inputs, self.folder / subject.name)
        return self._wholes[subject.name]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("test_faults")
    yield Workshop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def wanted(subject: Subject, kind: str, number: int) -> bool:
    """Whether a case is tried in this session."""
    return ALL or (kind, number) in FEW.get(subject.name, ())


@pytest.mark.parametrize(
    ("subject", "kind", "number"),
    [case for case in CASES if wanted(*case)],
    ids=lambda value: str(value).replace(" ", "-"),
)
def test_the_same_comes_of_it_or_a_line(
    subject: Subject, kind: str, number: int, workshop: Workshop, tmp_path: Path, record_property
) -> None:
    record_property("area", f"faults: {AREAS[kind]}")
    expected = workshop.whole(subject)
    share = random.Random(f"{subject} {kind} {number}").random()
    folder = tmp_path / "here"
    folder.mkdir()
    if kind in ("full", "read-only"):
        size = int(share * expected.size) if kind == "full" else 0
        if not mount(folder, size, read_only=kind == "read-only"):
            pytest.skip("no file system may be mounted here")
        try:
            more = partial(mount, folder, 1 << 30, again=True)
            found = problems(subject, workshop.inputs, folder, expected, Fault(kind, size), more)
        finally:
            unmount(folder)
    else:
        most = {"cpu": expected.seconds, "limit": expected.size / 4}.get(kind, expected.points)
        at = share * most if kind in ("cpu", "limit") else 1 + int(share * most)
        found = problems(subject, workshop.inputs, folder, expected, Fault(kind, at))
    assert not found, "\n".join(found)
