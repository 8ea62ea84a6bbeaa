"""Which runs are the same job, what tells them apart, and what their folders are called."""

import copy
import re
from typing import Any

import pytest
import yaml

from segkit.config.compose import CONF
from segkit.runs.identity import NOT_COUNTED, counted, flat, folder_name, job_key, short_names, swept

FLIP = [{"name": "HorizontalFlip", "p": 0.5}]


def settings(**changes: Any) -> dict[str, Any]:
    """A config with ``changes`` by dotted keys, the dot written as two underscores."""
    config: dict[str, Any] = {
        "name": "train",
        "seed": 0,
        "predictions": 16,
        "data": {
            "_target_": "segkit.road.dataset.KittiRoadDataModule",
            "root": "data/data_road",
            "url": "https://example.org/data_road.zip",
            "image_shape": [160, 576],
            "batch_size": 16,
            "fold": 0,
            "augment": FLIP,
            "workers": None,
            "cache_dir": ".cache",
            "seed": 0,
        },
        "model": {"_target_": "segkit.models.fcn.FCN", "weights": None},
        "optimizer": {"_target_": "segkit.optim.recipe.Optimization", "learning_rate": 1e-4},
        "augment": FLIP,
        "trainer": {
            "gpus": "auto",
            "num_nodes": 1,
            "cpu_processes": 1,
            "max_epochs": 20,
            "compile": False,
            "deterministic": False,
        },
        "sweep": {"name": None, "gpus_per_job": None, "cpus_per_job": 1, "address": None},
    }
    config = copy.deepcopy(config)
    for key, value in changes.items():
        group, _, below = key.partition("__")
        if below:
            config[group][below] = value
        else:
            config[group] = value
    return config


PLAIN = job_key(settings())


def test_settings_by_dotted_keys() -> None:
    nested = {"seed": 1, "data": {"image_shape": [2, 3], "more": {"a": None}}, "empty": {}}
    assert flat(nested) == {"seed": 1, "data.image_shape": [2, 3], "data.more.a": None}
    assert list(flat(settings()))[:4] == ["name", "seed", "predictions", "data._target_"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("predictions", -1),
        ("data__root", "/elsewhere"),
        ("data__url", "file.zip"),
        ("data__cache_dir", "/fast"),
        ("data__workers", 8),
        ("trainer__gpus", 1),
        ("trainer__gpus", 0),
        ("trainer__gpus", [3]),
        ("trainer__compile", True),
        ("trainer__logger", "csv"),
        ("trainer__profiler", "simple"),
        ("trust", ["mine"]),
        ("sweep__name", "mine"),
        ("sweep__gpus_per_job", 0.5),
        ("sweep__address", "auto"),
    ],
)
def test_where_and_how_fast_is_the_same_job(key: str, value: Any) -> None:
    assert job_key(settings(**{key: value})) == PLAIN


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("data__image_shape", [160, 577]),
        ("data__image_shape", [576, 160]),
        ("data__batch_size", 8),
        ("data__fold", 1),
        ("data___target_", "my.DataModule"),
        ("augment", {"flip": 0.6}),
        ("optimizer__learning_rate", 1.00001e-4),
        ("model__weights", "null"),
        ("trainer__max_epochs", 21),
        ("trainer__deterministic", True),
        ("trainer__gpus", 2),
        ("trainer__gpus", [0, 1]),
        ("trainer__num_nodes", 2),
        ("trainer__cpu_processes", 2),
    ],
)
def test_what_is_trained_is_another_job(key: str, value: Any) -> None:
    assert job_key(settings(**{key: value})) != PLAIN


def test_a_step_counts_by_its_pictures_not_by_its_gpus() -> None:
    def pictures(batch: int, gpus: Any, nodes: int = 1, cpus: int = 1) -> Any:
        own = settings(
            data__batch_size=batch, trainer__gpus=gpus, trainer__num_nodes=nodes, trainer__cpu_processes=cpus
        )
        values = counted(own)
        assert "data.batch_size" not in values
        assert (job_key(own) == PLAIN) == (values["data.batch_size × processes"] == 16)
        return values["data.batch_size × processes"]

    assert pictures(16, 1) == 16
    assert pictures(8, 2) == 16
    assert pictures(16, 2) == 32
    assert pictures(4, [2, 5, 6, 7]) == 16
    assert pictures(16, [5]) == 16
    assert pictures(2, 4, nodes=2) == 16
    assert pictures(4, 0, nodes=2, cpus=2) == 16
    assert pictures(16, "auto") == 16
    assert pictures(16, 1, cpus=3) == 16  # a GPU is used, not the CPU
    assert pictures(8, "auto", cpus=2) == 16  # which is said for the CPU alone


def test_equal_values_are_one_job_in_whatever_form() -> None:
    assert job_key(settings(optimizer__learning_rate=0.0001)) == PLAIN
    assert job_key(settings(seed=0.0, data__image_shape=[160.0, 576])) == PLAIN
    assert job_key(settings(model__weights=1)) == job_key(settings(model__weights=1.0))
    assert job_key(settings(model__weights=1)) != job_key(settings(model__weights=True))
    assert job_key(settings(model__weights=0)) != job_key(settings(model__weights=False))
    assert job_key(settings(model__weights="1")) != job_key(settings(model__weights=1))
    turned = {group: settings()[group] for group in reversed(settings())}
    turned["data"] = dict(reversed(turned["data"].items()))
    assert job_key(turned) == PLAIN


def test_the_key_does_not_change_from_one_version_to_the_next() -> None:
    # Folders of earlier sweeps are found by it: printf '{"a.b": [1, 0.5, true, null]}' | sha256sum
    assert job_key({"a": {"b": [1.0, 0.5, True, None]}, "name": "x"}) == "f24207ee"


def test_groups_of_the_users_own_classes_may_lack_what_segkits_have() -> None:
    own = {"data": {"_target_": "my.Data", "folder": "x"}, "model": {"_target_": "my.Network"}}
    assert re.fullmatch("[0-9a-f]{8}", job_key(own))
    assert job_key(own) != job_key(own | {"model": {"_target_": "my.OtherNetwork"}})
    assert counted(own) == {"data._target_": "my.Data", "data.folder": "x", "model._target_": "my.Network"}
    # A config that is wrong still has a key: the run says what is wrong with it.
    assert job_key(settings(data__batch_size="many", trainer__gpus="all")) != PLAIN


def test_every_key_that_is_not_counted_is_a_setting() -> None:
    train = yaml.safe_load((CONF / "train.yaml").read_text())
    train["data"] = yaml.safe_load((CONF / "data" / "kitti_road.yaml").read_text())
    train["trainer"] = yaml.safe_load((CONF / "trainer" / "default.yaml").read_text())
    assert {key for key in NOT_COUNTED if key not in flat(train)} == {"sweep"}
    assert "sweep" in train


def test_what_differs_in_the_order_of_the_config() -> None:
    runs = [
        settings(),
        settings(optimizer__learning_rate=3e-5, name="b", data__root="c", trainer__gpus=[1]),
        settings(trainer__max_epochs=10, sweep__name="x"),
        settings(data__image_shape=[256, 832], predictions=0),
    ]
    assert swept(runs) == ["data.image_shape", "optimizer.learning_rate", "trainer.max_epochs"]
    assert swept(runs[:1]) == swept([]) == []
    assert swept([settings(), settings(optimizer__learning_rate=0.0001, seed=0.0)]) == []
    assert swept([settings(seed=1), settings(seed=True)]) == ["seed"]


def test_a_setting_that_a_run_does_not_have_differs() -> None:
    camvid = settings()
    del camvid["data"]["fold"]
    camvid["data"] |= {"classes": None}
    assert swept([settings(), camvid]) == ["data.fold", "data.classes"]


def test_gpus_are_swept_where_a_step_sees_them() -> None:
    def runs(*pairs: tuple[int, Any]) -> list[dict[str, Any]]:
        return [settings(data__batch_size=batch, trainer__gpus=gpus) for batch, gpus in pairs]

    assert swept(runs((16, 1), (16, 2))) == ["trainer.gpus"]
    assert swept(runs((16, 1), (8, 2))) == ["data.batch_size"]
    assert swept(runs((16, [0]), (8, [1]))) == ["data.batch_size"]
    assert swept(runs((16, 1), (16, 2), (8, 2))) == ["data.batch_size", "trainer.gpus"]


def test_names_are_as_short_as_can_be() -> None:
    assert short_names(["optimizer.learning_rate", "data.image_shape", "seed"]) == {
        "optimizer.learning_rate": "learning_rate",
        "data.image_shape": "image_shape",
        "seed": "seed",
    }
    assert short_names(["seed", "data.seed", "data._target_", "model._target_"]) == {
        "seed": "seed",
        "data.seed": "data.seed",
        "data._target_": "data._target_",
        "model._target_": "model._target_",
    }
    assert short_names(["a.x.p", "b.x.p", "c.y.p", "y.p"]) == {
        "a.x.p": "a.x.p",
        "b.x.p": "b.x.p",
        "c.y.p": "c.y.p",
        "y.p": "y.p",
    }
    assert short_names([]) == {}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"learning_rate": 1e-4, "image_shape": [160, 576]}, "learning_rate_0.0001_image_shape_160x576-1a2b3c4d"),
        ({"learning_rate": 3e-5}, "learning_rate_3e-05-1a2b3c4d"),
        ({"learning_rate": 0.000348273641}, "learning_rate_0.000348274-1a2b3c4d"),
        ({"a": 1e9, "b": 2.0, "c": 1.5e-20, "d": 3e20}, "a_1e09_b_2_c_1.5e-20_d_3e20-1a2b3c4d"),
        ({"compile": True, "clip": None, "encoder": "vgg16_bn"}, "compile_true_clip_null_encoder_vgg16_bn-1a2b3c4d"),
        ({"weights": "/home/me/vgg (1).pth"}, "weights_-home-me-vgg--1-.pth-1a2b3c4d"),
        ({"target": "größe"}, "target_gr--e-1a2b3c4d"),
        ({"transforms": [*FLIP, {"name": "Blur"}]}, "transforms_HorizontalFlipxBlur-1a2b3c4d"),
        ({"transforms": []}, "transforms_none-1a2b3c4d"),
        ({}, "1a2b3c4d"),
    ],
)
def test_folders_say_what_was_swept(values: dict[str, Any], name: str) -> None:
    assert folder_name(values, "1a2b3c4d") == name


def test_folders_names_have_an_end() -> None:
    name = folder_name({"weights": "../" * 20 + "x" * 300}, "1a2b3c4d")
    assert name == "weights_" + "..-" * 20 + "x" * 32 + "-1a2b3c4d"
