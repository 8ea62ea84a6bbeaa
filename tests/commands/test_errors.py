"""Mistakes that people make: one or two lines naming key or file and remedy, exit code 2, nothing left behind."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from segkit import __version__ as segkit_version
from tests.commands.in_process import segkit as in_process
from tests.processes import SEGKIT, Ended, python

REPOSITORY = Path(__file__).resolve().parents[2]


def segkit(*arguments: str, cwd: Path) -> Ended:
    return python(SEGKIT, *arguments, cwd=cwd)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("data.image_shape=[0,576]", "data.image_shape.0=0: should be greater than 0"),
        ("data.image_shape=[160]", "data.image_shape=[160]: should have at least 2 items"),
        ("data.batch_size=0", "data.batch_size=0: should be greater than 0"),
        ("data.split=random", "data.split=random: should be"),
        ("data.fold=5", "data.fold=5: should be less than or equal to 4"),
        ("data.batch_size='4'", "data.batch_size=4: should be a valid integer"),
        ("trainer.clip=-1", "trainer.clip=-1: should be greater than 0"),
        ("trainer.clip=fast", "trainer.clip=fast: should be a valid number"),
        ("model.dropout=-1", "model.dropout=-1: should be greater than or equal to 0"),
        ("model.stride=4", "model.stride=4: should be 8, 16 or 32"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0: should be greater than 0"),
        ("trainer.max_epochs=2.5", "trainer.max_epochs=2.5: should be a valid integer"),
        ("trainer.precision=half", "trainer.precision=half: should be 'auto', 'fp32' or 'bf16'"),
        ("trainer.gpus=-1", "trainer.gpus=-1: should be auto, 0 (the CPU), how many, or the devices' numbers"),
        ("trainer.gpus=[0,0]", "trainer.gpus=[0,0]: should be auto"),
        ("trainer.max_epoch=1", "trainer.max_epoch: no such setting; did you mean trainer.max_epochs?"),
        ("+trainer.max_epoch=1", "trainer.max_epoch: no such setting; did you mean trainer.max_epochs?"),
        ("max_epochs=1", "max_epochs: no such setting; did you mean trainer.max_epochs?"),
        ("trainer.devices=1", "trainer.devices: no such setting; segkit has trainer.gpus"),
        ("+num_workers=1", "num_workers: no such setting; segkit has data.workers"),
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val: no such setting; segkit has trainer.clip"),
        ("+model.ignore_index=0", "model.ignore_index: label value 255 is what is not scored"),
        ("augment.flap=1", "augment.flap: no such setting; did you mean augment.flip?"),
        ("+augment.flap=1", "augment.flap: no such setting; did you mean augment.flip?"),
        ("augment.flip=2", "augment.flip=2: should be less than or equal to 1"),
        ("augment.scale=0.5", "augment.scale=0.5: should be greater than or equal to 1"),
        ("augment.paste_classes=road", "augment.paste_classes=road: should be a list, such as [road]"),
        ("hydra.verbose=true", "hydra.verbose: segkit does not read this setting of Hydra's"),
        ("--info", "--info: no such option; there are --help, --cfg job"),
        ("--config-dir=nowhere", "nowhere is no folder"),
        ("+_target_=foo", "_target_: no such setting"),
        ("~model._target_", "model._target_ is missing"),
        ("trainer.clip=inf", "trainer.clip=inf: should be a finite number"),
        ("+anything=1", "anything: no such setting"),
        ("+model.anything=0.1", "model.anything: no such setting"),
        ("model=fcn9", "model=fcn9: no such file under conf/model/; did you mean fcn8? There are deeplabv3plus, fcn16"),
        (
            "augment=steet",
            "augment=steet: no such file under conf/augment/; did you mean street? There are albumentations",
        ),
        (
            "experiment=camvid_bset",
            "no such file under conf/experiment/; did you mean camvid_best? There are bundled, ",
        ),
        ("experiment=camvid_ablation/3_adam", "conf/experiment/; did you mean camvid_ablation/3_adamw? There are"),
        ("experiment=nothing", "experiment=nothing: no such file under conf/experiment/; there are bundled, camvid, "),
        ("data.unscored=raod", "data.unscored=raod: should be 'ignore' or 'road'; did you mean road?"),
        ("resume=nowhere", "resume=nowhere: no run folder of segkit train"),
        ("data.root", "data.root"),
    ],
)
def test_wrong_settings(argument: str, message: str, tmp_path: Path) -> None:
    done = segkit("train", argument, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["predict", "checkpoint=a", "input=b"], ["evaluate", "checkpoint=a"]])
@pytest.mark.parametrize("average", ["[flop]", "[flip,0]", "[20]", "[1.5,1.5]", "[flip,flip]", "[1]", "flip", "null"])
def test_wrong_views_to_average_over(command: list[str], average: str, tmp_path: Path) -> None:
    done = in_process(*command, f"average={average}", cwd=tmp_path)
    assert done.code == 2
    assert done.err.startswith("error: average=")
    assert done.err.endswith(
        "should be a list of flip and scales from 0.25 to 4, each once, 1 left out: it is always there\n"
    )
    assert len(done.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    done = segkit("train", "data.batch_size=no", "model.dropout=no", cwd=tmp_path)
    assert "data.batch_size=no" in done.stderr
    assert "model.dropout=no" in done.stderr


def test_a_traceback_is_shown_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert "Traceback" in segkit("train", "data.batch_size=no", cwd=tmp_path).stderr


def test_unknown_command_lists_the_commands(tmp_path: Path) -> None:
    done = segkit("trian", cwd=tmp_path)
    assert done.returncode == 2
    assert "no command 'trian'; did you mean train? There are train, predict, evaluate, serve" in done.stderr


def test_the_version_is_told(tmp_path: Path) -> None:
    for arguments in (["--version"], ["train", "--version"]):
        assert segkit(*arguments, cwd=tmp_path).stdout == f"segkit {segkit_version}\n"


def test_missing_settings_are_asked_for(tmp_path: Path) -> None:
    done = segkit("predict", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: input is missing: give input=…\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "average", "data", "bench"])
def test_help_and_configuration_import_nothing_heavy(command: str) -> None:
    # The second in which --help has to answer is a matter of what is imported: torch alone takes three.
    script = (
        "import sys, segkit.cli\n"
        "try: segkit.cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'pytorch_lightning', 'albumentations', 'cv2', 'torchvision'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    words = {"predict": "gpus=0", "evaluate": "part=all", "average": "output=a.ckpt"}.get(command, "seed=1")
    for flags in (["--help"], [words, "--cfg", "job"]):
        done = subprocess.run([sys.executable, "-c", script, command, *flags], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "cache_dir" in done.stdout or command in ("predict", "average", "bench")


def test_help_says_values_and_meanings_at_a_readable_width(tmp_path: Path) -> None:
    (tmp_path / "own" / "augment").mkdir(parents=True)
    own = "defaults: [none]\nshadow: 0.5  # of mine\n"
    (tmp_path / "own" / "augment" / "mine.yaml").write_text(own)
    text = segkit("train", "--help", "augment=mine", "--config-dir=own", cwd=tmp_path).stdout
    assert max(map(len, text.splitlines())) <= 100
    told = " ".join(text.split())
    for expected in (
        "augment albumentations, flip, mine, none, road, street",
        "trainer.clip = null largest gradient norm; null = no clipping",
        "data.batch_size = 4 pictures per step and GPU",
        "augment.shadow = 0.5 of mine",
        "seed = 0 every random number follows from it",
    ):
        assert expected in told
    assert segkit("train", "--help", "seed=7", cwd=tmp_path).stdout.count("seed = 7") == 1


def test_help_keeps_a_list_a_list(tmp_path: Path) -> None:
    lines = segkit("predict", "--help", cwd=tmp_path).stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("format = "))
    column = [line[36:] for line in lines[start : start + 18]]
    assert column[:4] == [
        "What is written, one or more of",
        "overlay     the classes painted on the picture, with the free",
        "            road ahead in metres where there is a calibration",
        "mask        class numbers, shown in the classes' colours",
    ]
    assert "and, where there are calibrations, road.json: metres of free" in column


def test_the_config_is_printed_as_it_is_composed(tmp_path: Path) -> None:
    plain = segkit("train", "seed=3", "--cfg", "job", cwd=tmp_path).stdout
    assert yaml.safe_load(plain)["data"]["seed"] == "${seed}"
    assert "hydra" not in yaml.safe_load(plain)
    whole = segkit("train", "seed=3", "--cfg", "job", "--resolve", cwd=tmp_path).stdout
    assert yaml.safe_load(whole)["data"]["seed"] == 3
    assert list(tmp_path.iterdir()) == []


def test_several_runs_follow_each_other_in_folders_of_their_own(tmp_path: Path) -> None:
    wrong = segkit("data", "-m", "action=generate", "seed=1,-1", "count=[1,0]", "data.root=a", cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr == "error: seed=-1: should be greater than or equal to 0\n"
    assert list(tmp_path.iterdir()) == []
    words = ["action=generate", "count=[1,0]", "data.root=a,it's b", "hydra.sweep.dir=runs"]
    done = segkit("data", "--multirun", *words[:2], "data.root=a,b", *words[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for number, root in enumerate("ab"):
        assert (tmp_path / root / "training" / "image_2").is_dir()
        folder = tmp_path / "runs" / str(number)
        assert yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["data"]["root"] == root
        assert "1 training" in (folder / "data.log").read_text()


def test_what_was_there_before_an_error_is_there_after_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "inner").mkdir(parents=True)
    for name in ("notes.log", "inner/a.txt"):
        (mine / name).write_text("mine")
    wrong = ["predict", "checkpoint=nothing.ckpt", "input=nothing", "gpus=-1"]
    for output in ("mine", ".", "a/b"):
        for arguments in (wrong, wrong[:3]):
            assert segkit(*arguments, f"output={output}", cwd=tmp_path).returncode == 2
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "mine/inner/a.txt",
        "mine/notes.log",
    ]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = segkit("predict", "checkpoint=a", "input=b", "output=file/below", cwd=tmp_path)
    assert done.returncode == 2
    assert "file/below: Not a directory" in done.stderr


def test_texts_and_paths_need_no_grammar(tmp_path: Path) -> None:
    done = segkit("report", "run=it's (mine), no?", "into=my entry", "question=Is 1e-4 low, really?", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: run=it's (mine), no?: no finished run of segkit train")
    missing = segkit("report", "run=a", cwd=tmp_path)
    assert missing.stderr == "error: into is missing: give into=…\n"


def test_a_broken_file_of_settings_is_named(tmp_path: Path) -> None:
    (tmp_path / "own" / "augment").mkdir(parents=True)
    (tmp_path / "own" / "augment" / "mine.yaml").write_text("flip: [")
    done = segkit("train", "--config-dir", "own", "augment=mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "own" / "augment" / "mine.yaml").write_text("- {flip: 0.5}")
    done = segkit("train", "augment=mine", "--config-dir", "own", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: augment=[{flip:0.5}]: should be an object\n"
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
