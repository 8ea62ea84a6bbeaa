import os
import signal
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from segkit.benchmarks import bare, peers, plain, programs, table, timing, train
from segkit.benchmarks.programs import ProgramError, Programs, Speed
from segkit.data.records import IGNORE_INDEX, Record
from segkit.errors import UserError
from tests.fixtures import BLACK, MAGENTA, RED, write_rgb

SETTINGS: dict[str, Any] = {
    "gpus": 0,
    "precision": "auto",
    "seed": 0,
    "cases": [[32, 64, 2]],
    "model": {"_target_": "segkit.models.fcn.FCN", "encoder": "vgg16", "fc_channels": 8},
    "epochs": 3,
    "epoch_pictures": 5,
    "epoch_steps": 2,
    "algorithm": "adamw",
    "ema": 0.9,
    "peers": [],
}

FPN = {
    "_target_": "segkit.models.base.EncoderDecoder",
    "encoder": "resnet34",
    "decoder": {"_target_": "any.FPNDecoder"},
}


@pytest.fixture
def some(kitti_root: Path, tmp_path: Path) -> Programs:
    return Programs(SETTINGS | {"data": {"root": str(kitti_root)}}, tmp_path, [])


def test_a_step_of_the_real_network_is_three_forward_passes_but_for_the_first_layers_input() -> None:
    # 77.9 GFLOP forward (counted independently); the first layer's input needs no gradient.
    first = 2 * 160 * 576 * 3 * 64 * 9
    tflop = train.step_tflop(
        [160, 576, 4], {"_target_": "segkit.models.fcn.FCN", "encoder": "vgg16", "fc_channels": 4096}
    )
    assert tflop == pytest.approx(4 * (3 * 77.9e9 - first) * 1e-12, rel=1e-3)


def test_speeds_are_set_against_the_plain_program_and_the_bare_loop() -> None:
    speeds = {train.SEGKIT: Speed(200, 3.0), train.PLAIN: Speed(100, 4.0), train.BARE: Speed(250, None)}
    rows = train.compared([160, 576, 10], speeds, tflop=5.0, peak=500.0)
    assert rows[0] == {
        "height": 160,
        "width": 576,
        "batch": 10,
        "program": "segkit",
        "step_ms": 50.0,
        "images_per_second": 200,
        "tflops": 100.0,
        "share_of_peak": 0.2,
        "peak_memory_gib": 3.0,
        "ratio_to_plain": 2.0,
        "ratio_to_bare": 0.8,
    }
    assert [row["ratio_to_plain"] for row in rows] == [2.0, 1.0, 2.5]


def test_an_epoch_is_long_enough_and_of_whole_batches(some: Programs) -> None:
    assert [some.epoch_pictures(batch) for batch in (1, 2, 3, 4)] == [5, 6, 6, 8]


def test_of_train_py_the_median_of_the_later_epochs_counts(some: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = [1, 2, 30, 10, 20]
    epochs = [{"images_per_second": speed} for speed in speeds]
    monkeypatch.setattr(some, "train", lambda *given: {"epochs": epochs, "gpu_memory_gib": 1.5})
    assert some.segkit([32, 64, 2]) == Speed(20, 1.5)


def test_train_py_is_given_the_case_and_leaves_nothing(some: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    class TrainPy(programs.Started):
        def __init__(self, name: str, imports: object, code: str, arguments: Sequence[str]) -> None:
            command.extend(arguments)
            super().__init__(name, ["sys"], "", [])

        def output(self) -> str:
            (some.scratch / "run" / "checkpoints").mkdir(parents=True)
            (some.scratch / "run" / "result.json").write_text('{"epochs": []}')
            (some.scratch / "run" / "train.log").write_text("[12:00] fast step: off, of this\nfast step: recorded\n")
            return super().output()

    command: list[str] = []
    monkeypatch.setattr(programs, "Started", TrainPy)
    some.gpus = [2, 5]
    assert some.train([32, 64, 4], 2, 7, ["+more=1"]) == {"epochs": []}
    assert some.steps == {"32×64, batch 4": "recorded"}
    expected = {"data.image_shape=[32,64]", "data.batch_size=4", "trainer.gpus=[2,5]"}
    chosen = {f"--config-dir={some.scratch / 'conf'}", "model=measured", "optimizer=adamw", "trainer.ema=0.9"}
    assert {*expected, *chosen, "trainer.max_epochs=7", "+more=1"} <= set(command)
    measured = yaml.safe_load((some.scratch / "conf" / "model" / "measured.yaml").read_text())
    assert measured == SETTINGS["model"]
    assert f"data.root={some.scratch}/repeated-16" in command  # two steps of two processes
    assert not (some.scratch / "run").exists()


def test_programs_start_together_and_have_their_turns_one_by_one(
    some: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a group are ready before the first goes on, the next group starts then, and a failure is no other's."""
    (tmp_path / "heavy.py").write_text(
        "import json, sys\n"
        "def say(what):\n"
        f"    with open({str(tmp_path / 'log')!r}, 'a') as file:\n"
        "        print(what, *sys.argv[1:], file=file)\n"
        "def main():\n"
        "    say('turn')\n"
        "    if sys.argv[1:] == ['bare', '1']:\n"
        "        sys.exit('no memory')\n"
        "    print(json.dumps({'step_ms': 500.0, 'peak_memory_gib': None}))\n"
        "print('of an import')\n"
        "print('and more ' * 40000, file=sys.stderr)\n"
        "say('ready')\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(programs, "cores", lambda: 2)
    monkeypatch.setattr(programs, "free_memory", lambda: 1 << 40)

    def started(name: str, case: programs.Case) -> programs.Started:
        return programs.Started(name, ["heavy"], "heavy.main()", [name.split()[0], str(case[2])])

    def trained(case: programs.Case, program: programs.Started) -> dict[str, Any]:
        program.output()
        return {"epochs": [{"images_per_second": 7}] * 3}

    monkeypatch.setattr(some, "_started", started)
    monkeypatch.setattr(some, "_trained", trained)
    cases = [[32, 64, 1], [32, 64, 2]]
    found = {(name, cases[i][2]): speed for name, i, speed in some.compared(cases, smp=False)}
    said = (tmp_path / "log").read_text().splitlines()
    turns = [f"{name} {batch}" for name in ("segkit", "plain", "bare") for batch in (1, 2)]
    for group in range(3):
        first, second = turns[2 * group : 2 * group + 2]
        lines = said[4 * group : 4 * group + 4]
        assert {*lines[:2]} == {f"ready {first}", f"ready {second}"}
        assert lines[2:] == [f"turn {first}", f"turn {second}"]
    assert found["segkit", 1] == found["segkit", 2] == Speed(7, None)
    assert found["plain Lightning", 1] == Speed(2, None)
    assert found["plain Lightning", 2] == found["bare loop", 2] == Speed(4, None)
    assert str(found["bare loop", 1]).startswith("bare loop failed (exit code 1):\n")
    assert str(found["bare loop", 1]).endswith("\nno memory")


def test_a_program_without_figures_is_told_of() -> None:
    with programs.Started("some.py", ["sys"], "print('all is well')", []) as started:
        started.wait_until_ready()
        with pytest.raises(ProgramError, match=r"some\.py has ended without figures: 'all is well"):
            started.figures()


def test_a_program_that_waits_is_ended_with_the_others() -> None:
    with programs.Started("some.py", ["sys"], "", []) as started:
        started.wait_until_ready()
    assert started._process.returncode == -signal.SIGKILL


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gpus=99: this machine has"):
        train.run(SETTINGS | {"gpus": 99, "data": {"root": None}}, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_program_that_fails_is_told_with_its_last_words() -> None:
    code = "raise SystemExit('out of memory')"
    told = r"^some\.py failed \(exit code 1\):\nout of memory$"
    with programs.Started("some.py", ["sys"], code, []) as started, pytest.raises(ProgramError, match=told):
        started.output()


def test_the_bare_loop_measures_on_the_cpu() -> None:
    spec = {"gpu": None, "precision": "fp32", "case": [32, 64, 1], "steps": 1, "seed": 0, "smp": False}
    model = {"_target_": "segkit.models.fcn.FCN", "encoder": "vgg16", "fc_channels": 2}
    figures = bare.measure(spec | {"model": model, "algorithm": "adamw", "ema": 0.9})
    assert figures["step_ms"] is not None
    assert figures["step_ms"] > 0
    assert figures["peak_memory_gib"] is None


def test_auxiliary_heads_are_trained_and_counted() -> None:
    decoder = {"_target_": "segkit.models.decoders.fpn.FPNDecoder", "_partial_": True, "width": 8, "head_width": 8}
    plain, auxiliary = (
        {
            "_target_": "segkit.models.base.EncoderDecoder",
            "encoder": "mobilenet_v3_large",
            "weights": None,
            "decoder": decoder | {"auxiliary": flag},
        }
        for flag in (False, True)
    )
    assert train.step_tflop([32, 32, 2], auxiliary) > train.step_tflop([32, 32, 2], plain)
    spec = {"gpu": None, "precision": "fp32", "case": [32, 32, 2], "steps": 1, "seed": 0, "smp": False}
    figures = bare.measure(spec | {"model": auxiliary, "algorithm": "adamw", "ema": None})
    assert figures["step_ms"]


def test_a_peer_has_the_name_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the package, which the tests do not install."""
    asked: list[Any] = []

    class Package:
        @staticmethod
        def create_model(*given: Any, **more: Any) -> torch.nn.Module:
            asked.append((given, more))
            return torch.nn.Conv2d(3, more["classes"], 1)

    model = {
        "_target_": "segkit.models.base.EncoderDecoder",
        "encoder": "resnet34",
        "decoder": {"_target_": "a.FPNDecoder"},
    }
    assert bare.has_smp_name(model)
    assert not bare.has_smp_name(SETTINGS["model"])
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", Package)
    spec = {"gpu": None, "precision": "fp32", "case": [32, 32, 1], "steps": 1, "seed": 0, "smp": True}
    figures = bare.measure(spec | {"model": FPN, "algorithm": "adam", "ema": None})
    assert figures["step_ms"]
    assert asked == [(("fpn", "resnet34"), {"encoder_weights": None, "classes": 2})]


def test_a_peer_that_is_not_installed_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"peers=\[smp\]: it is not installed"):
        train.run(SETTINGS | {"peers": ["smp"]}, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("peer", "what"), [("openvino", "train"), ("smp", "predict")])
def test_a_peer_of_another_benchmark_is_refused(peer: str, what: str, tmp_path: Path) -> None:
    if what == "train":
        with pytest.raises(UserError, match="openvino does not train"):
            train.run(SETTINGS | {"peers": [peer]}, tmp_path)
    else:
        with pytest.raises(UserError, match="smp does not predict"):
            peers.peers([peer], torch.nn.Identity(), torch.zeros(1, 3, 8, 8), False, tmp_path)


def test_tables_are_named_after_the_network() -> None:
    whole = {"_target_": "segkit.models.torchvision.TorchvisionNetwork", "name": "fcn_resnet50"}
    assert [table.named("train", model) for model in (SETTINGS["model"], FPN, whole)] == [
        "train",
        "train-fpn-resnet34",
        "train-torchvision-fcn-resnet50",
    ]


def test_the_plain_programs_samples(tmp_path: Path) -> None:
    image = np.full((4, 8, 3), (10, 20, 30), np.uint8)
    label = np.array([RED, RED, MAGENTA, MAGENTA, BLACK, BLACK, RED, RED], np.uint8)[None].repeat(4, 0)
    write_rgb(tmp_path / "image.png", image)
    write_rgb(tmp_path / "label.png", label)
    record = Record("um_000000", "um", tmp_path / "image.png", tmp_path / "label.png")
    pictures = plain.RoadPictures([record], 2, 4)
    pixels, classes = pictures[0]
    assert pixels.shape == (3, 2, 4)
    assert pixels.mean((1, 2)).tolist() == [10, 20, 30]
    assert classes.dtype == torch.int64
    assert classes[0].tolist() in ([0, 1, IGNORE_INDEX, 0], [0, IGNORE_INDEX, 1, 0])


def test_a_program_that_fails_costs_its_own_figures_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Some:
        gpus, precision, steps = (), "fp32", {"32×32, batch 1": "off, of that"}

        def __init__(self, *given: object) -> None:
            pass

        def compared(self, cases: Sequence[Sequence[int]], smp: bool) -> Generator[tuple[object, ...], None, None]:
            for number in range(len(cases)):
                yield "segkit", number, Speed(10, None)
                yield "plain Lightning", number, Speed(5, None) if number else ProgramError("it failed:\nno memory")
                yield "bare loop", number, Speed(20, None)

    monkeypatch.setattr(train, "Programs", Some)
    monkeypatch.setitem(timing.PEAK_SIZE, "cpu", 64)
    (table,) = train.run(SETTINGS | {"gpus": 0, "cases": [[32, 32, 1], [32, 32, 2]]}, tmp_path)
    assert [row["ratio_to_bare"] for row in table.rows][::3] == [0.5, 0.5]
    assert table.rows[0]["ratio_to_plain"] != table.rows[0]["ratio_to_plain"]  # NaN
    assert table.rows[3]["ratio_to_plain"] == 2
    assert table.remarks[-2:] == [
        "segkit's steps, 32×32, batch 1: off, of that",
        "plain Lightning, 32×32, batch 1: no memory",
    ]
