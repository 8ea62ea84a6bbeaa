"""Signatures read from source, against those that Python itself gives."""

import subprocess
import sys
import typing
from collections.abc import Mapping
from pathlib import Path

import pytest

from segkit.config.signature import inspected_signature, read_signature

MODULE = """
from __future__ import annotations

import typing as t
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import nothing_like_this
from annotated_types import Ge, Gt, Len
from nothing_like_this import Odd
from shapes import Kind as Sort, Shape

Share = Annotated[float, Ge(0)]

class Base(ABC):
    def __init__(self, root: str | Path, *, size: Annotated[Sequence[Annotated[int, Gt(0)]], Len(2, 2)], seed: int = 0):
        self.root = root

class Handing(Base):
    def __init__(self, *args, share: Share = 0.5, sort: Sort = "a", **rest):
        super().__init__(*args, seed=3, **rest)

class Plain(Base):
    pass

class Keeping:
    def __init__(self, first, **rest):
        self.rest = rest

class Foreign(nothing_like_this.Thing):
    def __init__(self, own: int = 1, **rest):
        super().__init__(**rest)

class ForeignAlone(nothing_like_this.Thing):
    pass

class Empty:
    pass

@dataclass(frozen=True)
class Recipe:
    kind: t.Literal["x", "y"]
    rate: "Share" = 1.0
    parts: list[str] = field(default_factory=list)
    made: int = field(init=False, default=0)
    COUNT: ClassVar[int] = 3

def make(odd: Odd, several: Odd | None, call: Callable[..., int] = len, /, *, shape: Shape, table: Mapping[str, int]):
    return odd
"""
SHAPES = "from typing import Literal\nKind = Literal['a', 'b']\nShape = tuple[int, ...]\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "parts.py").write_text(MODULE)
    (tmp_path / "mine" / "__init__.py").write_text("from .parts import Handing as Handy\n")
    (tmp_path / "shapes.py").write_text(SHAPES)
    monkeypatch.syspath_prepend(tmp_path)


def told(path: str) -> dict[str, tuple[typing.Any, bool]]:
    signature = read_signature(path)
    assert signature is not None
    return {name: (each.annotation, each.required) for name, each in signature.parameters.items()}


def test_types_ranges_and_choices_are_those_that_are_written() -> None:
    found = told("mine.parts.Base")
    assert found["root"] == (str | Path, True)
    assert found["seed"] == (int, False)
    assert str(found["size"][0]).count("Gt(gt=0)") == 1
    assert "Len(min_length=2, max_length=2)" in str(found["size"][0])


def test_what_is_handed_on_belongs_to_the_class() -> None:
    found = told("mine.parts.Handing")
    assert found.keys() == {"root", "size", "share", "sort"}  # seed is given by the class itself
    assert found["sort"] == (typing.Literal["a", "b"], False)
    assert told("mine.Handy") == found  # through an import
    assert told("mine.parts.Plain") == told("mine.parts.Base")


def test_names_that_nobody_tells_leave_a_signature_open() -> None:
    for name in ("Keeping", "Foreign"):
        signature = read_signature(f"mine.parts.{name}")
        assert signature is not None
        assert signature.open
    assert read_signature("mine.parts.ForeignAlone") is None
    empty = read_signature("mine.parts.Empty")
    assert empty is not None
    assert (empty.parameters, empty.open) == ({}, False)


def test_dataclasses_and_functions() -> None:
    found = told("mine.parts.Recipe")
    assert found.keys() == {"kind", "rate", "parts"}
    assert found["kind"] == (typing.Literal["x", "y"], True)
    assert "Ge(ge=0)" in str(found["rate"][0])
    assert told("mine.parts.make") == {"shape": (tuple[int, ...], True), "table": (Mapping[str, int], True)}


@pytest.mark.parametrize(
    "path", ["torch.optim.Adam", "mine.parts.Nothing", "nowhere.Thing", "json.JSONDecoder", "builtins"]
)
def test_other_code_is_left_until_it_is_imported(path: str) -> None:
    assert read_signature(path) is None


def test_broken_source_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("class A(:\n")
    assert read_signature("broken.A") is None


@pytest.mark.parametrize(
    "path",
    [
        "segkit.road.dataset.KittiRoadDataModule",
        "segkit.data.datasets.camvid.CamVidDataModule",
        "segkit.models.decoders.fcn.FCNDecoder",
    ],
)
def test_what_is_read_is_what_python_knows(path: str) -> None:
    module, _, name = path.rpartition(".")
    imported = getattr(__import__(module, fromlist=[name]), name)
    known, read = inspected_signature(imported), read_signature(path)
    assert read is not None
    for parameter, each in known.parameters.items():  # those of the classes above are not among them
        assert read.parameters[parameter] == each, parameter


def test_reading_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom segkit.config.signature import read_signature\n"
        "assert read_signature('segkit.road.dataset.KittiRoadDataModule') is not None\n"
        "assert not {'torch', 'cv2', 'numpy', 'segkit.road'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
