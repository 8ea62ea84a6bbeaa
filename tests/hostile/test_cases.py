"""Every hostile case ends as it has to."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile import cases_caches, cases_checkpoints, cases_links, cases_pictures, cases_settings
from tests.hostile.harness import Case, Workplace, broken

AREAS = (cases_pictures, cases_checkpoints, cases_settings, cases_caches, cases_links)
EVERY = 1 if os.environ.get("HOSTILE") == "all" else 3
CASES = [(area.__name__.rpartition("cases_")[2], case) for area in AREAS for case in area.CASES][::EVERY]


@pytest.fixture(scope="session")
def workplace() -> Iterator[Workplace]:
    found = Workplace()
    yield found
    found.close()


@pytest.mark.parametrize(("area", "case"), CASES, ids=str)
def test_it_ends_in_a_line_that_names_culprit_and_remedy(
    area: str, case: Case, workplace: Workplace, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("area", f"hostile: {area}")
    folder = tmp_path / "here"
    folder.mkdir()
    problems = broken(case, folder, workplace)
    shutil.rmtree(folder, ignore_errors=True)
    assert not problems, "\n".join(problems)
