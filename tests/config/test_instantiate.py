"""Objects from groups, and whose code is run for that."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from segkit.config.instantiate import build, check_trust, import_class
from segkit.errors import UserError

MINE = """
from pathlib import Path
from typing import Literal
Path("imported").touch()

class Part:
    def __init__(self, size: int, name: str = "part"):
        self.size, self.name = size, name

class Whole(Part):
    def __init__(self, size: int, parts: list[Part] = (), make=None, table: dict | None = None):
        super().__init__(size)
        self.parts, self.make, self.table = parts, make, table
        if size > 100:
            raise ValueError("size is at most 100")

def made(size: int) -> Part:
    return Part(size, "made")

number = 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


def part() -> Any:
    return import_class("mine.Part", None, "key")


def test_groups_are_built_with_what_is_nested_in_them() -> None:
    config = {
        "_target_": "mine.Whole",
        "parts": [{"_target_": "mine.Part", "size": 1}, {"_target_": "mine.made", "size": 2}],
        "make": {"_target_": "mine.Part", "_partial_": True, "name": "later"},
        "table": {"one": {"_target_": "mine.Part", "size": 4}, "two": 2},
    }
    whole = build("model", config, part(), size=7)
    assert [(each.size, each.name) for each in whole.parts] == [(1, "part"), (2, "made")]
    assert isinstance(whole.make, partial)
    assert whole.make(3).name == "later"
    assert (whole.table["one"].size, whole.table["two"], whole.size) == (4, 2, 7)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_target_": "mine.Nothing"}, r"model\._target_=mine\.Nothing: no such class .*; run from the folder"),
        ({"_target_": "nowhere.Thing"}, r"model\._target_=nowhere\.Thing: no such class"),
        ({"_target_": "mine.number"}, "is no class"),
        ({"_target_": "pathlib.Path"}, r"is no subclass of mine\.Part"),
        ({"_target_": "pathlib.Path.cwd"}, "no such class"),
        ({"_target_": "os.getcwd"}, r"gives no mine\.Part"),
        ({"_target_": "mine.Part", "size": "3"}, "model.size=3: should be a valid integer"),
        ({"_target_": "mine.Part", "sise": 3}, "model.sise: no such setting; did you mean model.size"),
        ({"_target_": "mine.Part"}, "model.size is missing"),
        ({"_target_": "mine.Whole", "size": 101}, r"mine\.Whole refuses its arguments: size is at most 100"),
        (
            {"_target_": "mine.Whole", "size": 1, "parts": [{"_target_": "mine.Part"}]},
            r"model\.parts\.0\.size is missing",
        ),
    ],
)
def test_mistakes_name_the_key(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build("model", config, part())


def test_arguments_of_a_librarys_class_are_checked_once_it_is_imported() -> None:
    for config, message in (({"frob": 1}, "json.frob: no such setting"), ({"strict": 1}, None)):
        group = {"_target_": "json.JSONDecoder", **config}
        if message is None:
            assert build("json", group).strict == 1
        else:
            with pytest.raises(UserError, match=message):
                build("json", group)


def test_code_that_a_file_names_is_run_only_if_the_user_names_it(here: Path) -> None:
    config = {"_target_": "mine.Part", "size": 1}
    with pytest.raises(UserError, match=r"model\._target_=mine\.Part: .* only if you say so .*\n.*trust=mine$"):
        build("model", config, allowed=[])
    with pytest.raises(UserError, match="trust=mine"):
        build("model", {"_target_": "segkit.models.x.Y", "parts": [{"_target_": "mine.Part"}]}, allowed=["other"])
    with pytest.raises(UserError, match="trust=mine"):
        import_class("mine.Part", None, "key", allowed=["min", "mine.Part.x"])
    assert not (here / "imported").exists()  # not even that
    for allowed in (["mine"], ["mine.Part"]):
        assert build("model", config, allowed=allowed).size == 1
    assert build("model", {"_target_": "mine.made", "size": 2}, allowed=["mine"]).name == "made"


def test_functions_and_what_a_module_imports_are_not_segkits_classes() -> None:
    for path in ("segkit.runs.folder.RunFolder", "os.system", "segkit.models.weights.load_pretrained"):
        with pytest.raises(UserError, match="only if you say so"):
            import_class(path, None, "key", allowed=[])
    assert import_class("segkit.data.records.Record", None, "key", allowed=[]).__name__ == "Record"
    with pytest.raises(UserError, match="only if you say so"):
        import_class("segkit.data.records.Path", None, "key", allowed=[])


def test_the_source_that_a_run_has_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(UserError, match=str(tmp_path / "code")):
        check_trust({"model": {"_target_": "mine.Part"}}, [], tmp_path / "code")
    with pytest.raises(UserError, match="read mine first"):
        check_trust({"model": {"_target_": "mine.Part"}}, [], tmp_path / "nothing")
