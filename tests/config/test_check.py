"""Settings held against the signature of the class that they are for, and what is said of wrong ones."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge

from segkit.config.check import Strict, nested_targets, schema_problems, target_problems
from segkit.config.names import ELSEWHERE, keys_of, no_such_setting

MINE = """
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal
from annotated_types import Gt, Len

class Network:
    def __init__(self, num_classes: int, encoder: str | Callable, stride: Literal[4, 8] = 4, rate: float = 1.0,
                 shape: Annotated[Sequence[Annotated[int, Gt(0)]], Len(2, 2)] = (1, 1), place: Path | None = None,
                 pair: tuple[float, float] = (0, 0), flag: bool = False, schema: str = "", parts: list = ()):
        pass
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)


def problems(known: tuple[str, ...] = (), /, **config: Any) -> list[str]:
    group = {"_target_": "mine.Network", "encoder": "resnet50", **config}
    return target_problems("model", group, ["num_classes"], known)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"stride": 4, "rate": 2, "shape": [3, 4], "place": "a/b", "pair": [1, 0.5], "flag": True, "schema": "x"},
        {"encoder": {"_target_": "mine.Encoder", "_partial_": True, "depth": 3}},
        {"encoder": {"_target_": "mine.Encoder"}, "parts": [{"_target_": "mine.Part"}], "place": None},
    ],
)
def test_what_the_signature_takes_is_taken(config: dict[str, Any]) -> None:
    assert problems(**config) == []


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"stride": 16}, "model.stride=16: should be 4 or 8"),
        ({"stride": "4"}, "model.stride=4: should be 4 or 8"),
        ({"rate": "1"}, "model.rate=1: should be a valid number"),
        ({"rate": True}, "model.rate=true: should be a valid number"),
        ({"rate": float("nan")}, "model.rate=nan: should be a finite number"),
        ({"flag": 1}, "model.flag=1: should be a valid boolean"),
        ({"parts": "one"}, "model.parts=one: should be a list, such as [one]"),
        ({"shape": 3}, "model.shape=3: should be a list, such as [3,…]"),
        ({"shape": [3]}, "model.shape=[3]: should have at least 2 items"),
        ({"shape": "large"}, "model.shape=large: should be a list in brackets, […]"),
        ({"pair": 1}, "model.pair=1: should be a list, such as [1,…]"),
        ({"pair": None}, "model.pair=null: should be a list in brackets, […]"),
        ({"shape": [3, 0]}, "model.shape.1=0: should be greater than 0"),
        ({"pair": ["a", 1]}, "model.pair.0=a: should be a valid number"),
        ({"encoder": 5}, "model.encoder=5: should be a valid string or be callable"),
        ({"num_classes": 3}, "model.num_classes: is given by the program; leave it out"),
        ({"strides": 4}, "model.strides: no such setting; did you mean model.stride?"),
        ({"_target_": "Network"}, "model._target_=Network: should be a class's dotted path, such as mine.Network"),
    ],
)
def test_a_wrong_value_is_one_line(config: dict[str, Any], line: str) -> None:
    assert problems(**config) == [line]


def test_what_is_missing_is_asked_for_unless_it_comes_later() -> None:
    assert target_problems("model", {"_target_": "mine.Network"}) == [
        "model.num_classes is missing: give model.num_classes=…",
        "model.encoder is missing: give model.encoder=…",
    ]
    assert target_problems("model", {"_target_": "mine.Network", "_partial_": True}) == []


def test_a_class_that_cannot_be_read_is_left_to_its_constructor() -> None:
    assert target_problems("optimizer", {"_target_": "torch.optim.Adam", "anything": 1}) == []


class Inner(Strict):
    epochs: Annotated[int, Ge(1)]
    clip: float | None


class Outer(Strict):
    name: str
    trainer: Inner


def test_a_schemas_problems_name_nested_keys() -> None:
    config = {"name": 3, "trainer": {"epochs": 0, "epoch": 3, "clip": None}}
    assert sorted(schema_problems(Outer, config)) == [  # their order is pydantic's business
        "name=3: should be a valid string",
        "trainer.epoch: no such setting; did you mean trainer.epochs?",
        "trainer.epochs=0: should be greater than or equal to 1",
    ]
    assert schema_problems(Outer, {"name": "a"}) == ["trainer is missing: give trainer=…"]


def test_groups_that_name_classes_are_found_at_any_depth() -> None:
    config = {"a": {"_target_": "x.A", "b": [{"_target_": "x.B"}, 3]}, "c": {"d": {"_target_": "x.D"}}, "e": 1}
    assert [key for key, _ in nested_targets("", config)] == ["a", "a.b.0", "c.d"]
    assert [key for key, _ in nested_targets("model", {"_target_": "x.A"})] == ["model"]


KNOWN = keys_of(
    {
        "seed": 0,
        "init_from": None,
        "data": {"root": "", "workers": 0, "batch_size": 1, "image_shape": [1, 1]},
        "model": {"encoder": "", "weights": None},
        "optimizer": {"learning_rate": 1, "weight_decay": 0, "schedule": "", "warmup": 0, "decoder_decay": 0},
        "trainer": {"gpus": 0, "max_epochs": 1, "clip": None, "accumulate": 1, "precision": "auto"},
    }
)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("model.learning_rate", "model.learning_rate: this is optimizer.learning_rate now"),
        ("model.schedule", "model.schedule: this is optimizer.schedule now"),
        ("model.warmup", "model.warmup: this is optimizer.warmup now"),
        ("model.decoder_decay", "model.decoder_decay: this is optimizer.decoder_decay now"),
        ("model.lr", "model.lr: no such setting; segkit has optimizer.learning_rate"),
        ("learning_rate", "learning_rate: no such setting; segkit has optimizer.learning_rate"),
        ("devices", "devices: no such setting; segkit has trainer.gpus"),
        ("batch_size", "batch_size: no such setting; did you mean data.batch_size?"),
        ("trainer.epochs", "trainer.epochs: no such setting; segkit has trainer.max_epochs"),
        ("trainer.max_epoch", "trainer.max_epoch: no such setting; did you mean trainer.max_epochs?"),
        ("data.num_workers", "data.num_workers: no such setting; segkit has data.workers"),
        ("trainer.gradient_clip_val", "trainer.gradient_clip_val: no such setting; segkit has trainer.clip"),
        ("loss.ignore_index", "loss.ignore_index: label value 255 is what is not scored"),
        ("sead", "sead: no such setting; did you mean seed?"),
        ("anything", "anything: no such setting (all: here)"),
    ],
)
def test_an_unknown_key_is_answered_with_segkits_name(key: str, line: str) -> None:
    assert no_such_setting(key, KNOWN, " (all: here)").startswith(line)


def test_names_of_other_programs_lead_to_settings_that_there_are() -> None:
    assert set(ELSEWHERE.values()) <= set(KNOWN)
