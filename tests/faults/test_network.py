"""A download whose connection is cut at random bytes, and whose process is killed meanwhile."""

import os
import random
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.data.test_download import Site
from tests.faults.harness import Whole, problems, whole
from tests.faults.inside import Fault
from tests.faults.subjects import Inputs, Subject, install

ALL = os.environ.get("FAULTS") == "all"
ATTEMPTS = 5
"""Requests that a download makes before it gives up."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def site(inputs: Inputs) -> Iterator[Site]:
    with Site() as server:
        server.content = inputs.archive.read_bytes()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def subject(site: Site) -> Subject:
    return Subject("download from a server", lambda given: partial(install, site.url, "set"), results=("set/**/*",))


@pytest.fixture(scope="module")
def expected(subject: Subject, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole(subject, inputs, tmp_path_factory.mktemp("undisturbed") / "here")


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "from-the-start"])
@pytest.mark.parametrize("number", range(12 if ALL else 3))
def test_a_connection_that_is_cut(
    number: int, ranges: bool, site: Site, subject: Subject, inputs: Inputs, expected: Whole, tmp_path: Path,
    record_property,
) -> None:  # fmt: skip
    record_property("area", "faults: a download whose connection is cut")
    chosen, folder = random.Random(f"cut {number} {ranges}"), tmp_path / "here"
    folder.mkdir()
    site.ranges = ranges
    site.cuts = [chosen.randrange(len(site.content)) for _ in range(chosen.randint(1, 2 * ATTEMPTS))]
    fault = Fault("kill", chosen.randint(1, expected.points)) if number % 3 == 2 else Fault("cut", len(site.cuts))
    found = problems(subject, inputs, folder, expected, fault, site.cuts.clear)
    assert not found, "\n".join(found)
