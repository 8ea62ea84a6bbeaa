"""What a sweep's command line comes to: combinations, configs, folders, and mistakes told before anything runs."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.errors import HydraException

from segkit.commands import runner, train
from segkit.config import compose as composing
from segkit.config.compose import kept_files, resolved
from segkit.config.messages import readable
from segkit.config.overrides import split_flags
from segkit.config.schema import TrainSettings, validate
from segkit.errors import UserError
from segkit.runs.identity import job_key
from segkit.sweeps.job import Job
from segkit.sweeps.plan import Plan
from segkit.sweeps.sweep import run_sweep
from tests.sweeps.fake_pool import write_run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*words: str) -> Plan:
    return Plan(*split_flags(["-m", *words]), train.run)


def jobs(*words: str) -> list[Job]:
    own = plan(*words)
    return [own.job(values) for values in own.combinations()]


def composed(*words: str) -> dict[str, Any]:
    """What Hydra makes of a command line alone."""
    return resolved(composing.composed("train", list(words)))


def resumed(folder: Path) -> tuple[runner.Typed, dict[str, Any]]:
    """What ``resume=`` composes to."""
    typed = train.prepare(runner.Typed([f"resume={folder}"]))
    config = composing.composed("train", typed.words, typed.config_dir, typed.base)
    assert config.hydra.run.dir == str(folder)
    return typed, resolved(config) | {"kept": kept_files(config)}


def test_combinations_labels_and_folders(here: Path) -> None:
    found = jobs("sweep.name=mine", "data.image_shape=[160,576],[256,832]", "optimizer.learning_rate=1e-4,3e-5")
    assert [job.label for job in found] == [
        "data.image_shape=[160,576] optimizer.learning_rate=0.0001",
        "data.image_shape=[160,576] optimizer.learning_rate=3e-05",
        "data.image_shape=[256,832] optimizer.learning_rate=0.0001",
        "data.image_shape=[256,832] optimizer.learning_rate=3e-05",
    ]
    assert [job.settings["data"]["image_shape"] for job in found] == [[160, 576]] * 2 + [[256, 832]] * 2
    for job in found:
        validate(TrainSettings, job.settings)
        assert job.folder.parent == here / "outputs" / "sweeps" / "mine"
        assert job.folder.name.endswith(f"-{job_key(job.settings)}")
    assert found[1].folder.name.startswith("image_shape_160x576_learning_rate_3e-05-")
    assert len({job.folder for job in found}) == 4
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("trainer.max_epochs=choice(1,2)", [1, 2]),
        ("trainer.max_epochs=range(2,8,3)", [2, 5]),
        ("model.dropout=range(0,0.5,0.25)", [0.0, 0.25]),
        ("model.encoder=vgg16,vgg16_bn", ["vgg16", "vgg16_bn"]),
        ("trainer.clip=null,0.5", [None, 0.5]),
        ("trainer.compile=true,false", [True, False]),
        ("trainer.max_epochs=3", [3]),
    ],
)
def test_hydras_ways_to_write_several_values(word: str, values: list[Any]) -> None:
    group, _, key = word.partition("=")[0].partition(".")
    assert [job.settings[group][key] for job in jobs(word)] == values


@pytest.mark.parametrize(
    "words",
    [
        ["model=fcn8,fcn32", "optimizer.learning_rate=1e-4,1e-3", "experiment=scenes"],
        ["augment=flip,road", "data.image_shape=[32,64],[64,96]", "seed=1"],
        ["model.skip_scale=[1,1],[2,2]", "model.skip_scale.1=5"],
        ["+model.more={a:1},{b:2}", "seed=3"],
        ["~data.url", "data.fold=0,1", "data.split=fold", "data.fold=1,2"],
        ["experiment=scenes,seed", "trainer.max_epochs=1,2"],
        ["model=fcn16", "model.stride=8,16", "trainer.clip=2.0,3.0", "trainer={clip:1.0}"],
    ],
)
def test_a_job_is_what_its_words_alone_compose_to(words: list[str]) -> None:
    found = jobs(*words)
    assert len(found) > 1
    typed = {word.partition("=")[0] for word in words}
    for job in found:
        overrides = yaml.safe_load(job.files["overrides.yaml"])
        assert {word.partition("=")[0] for word in overrides} == typed
        assert job.settings == composed(*overrides)
        kept = yaml.safe_load(job.files["hydra.yaml"])
        assert kept["overrides"]["task"] == overrides
        assert kept["job"]["name"] == "train"
        assert kept["runtime"]["output_dir"] == str(job.folder)
        assert kept["runtime"]["choices"]["model"] in ("fcn8", "fcn16", "fcn32")
        assert "hydra" not in yaml.safe_load(job.files["config.yaml"])
    pairs = itertools.combinations([job.files["overrides.yaml"] for job in found], 2)
    assert all(one != other for one, other in pairs)


def test_groups_of_ones_own_are_found_and_remembered(here: Path) -> None:
    (here / "own" / "model").mkdir(parents=True)
    for name in ("half", "whole"):
        (here / "own" / "model" / f"{name}.yaml").write_text(f"defaults: [fcn8]\ndropout: 0.{len(name)}\n")
    found = jobs("--config-dir", "own", "model=glob(*,exclude=[deeplab*,f*,torch*,unet])", "sweep.name=mine")
    assert [job.label for job in found] == ["model=half", "model=whole"]
    assert [job.settings["model"]["dropout"] for job in found] == [0.4, 0.5]
    assert [job.label for job in jobs("-cd=own", "model=half,fcn16")] == ["model=half", "model=fcn16"]
    # The run can go on.
    write_run(found[1], "running")
    typed, again = resumed(found[1].folder)
    assert typed.config_dir == here / "own"
    assert typed.note == ""
    kept = again.pop("kept")
    assert again == found[1].settings
    assert kept["overrides.yaml"] == found[1].files["overrides.yaml"]
    assert yaml.safe_load(kept["hydra.yaml"])["runtime"]["choices"]["model"] == "whole"


def test_values_that_hydra_merges_are_merged_alone(here: Path) -> None:
    (here / "own" / "model").mkdir(parents=True)
    (here / "own" / "model" / "mine.yaml").write_text("defaults: [fcn8]\nmore: {a: 1, b: 2}\n")
    found = jobs("--config-dir=own", "model=mine", "model.more={a:5},{b:6}")
    assert [job.settings["model"]["more"] for job in found] == [{"a": 5, "b": 2}, {"a": 1, "b": 6}]


def test_a_run_folder_of_a_job_can_be_resumed(here: Path) -> None:
    job = jobs("seed=1,2", "data.root=/my data/it's (mine), no?", "trainer.max_epochs=7", "name=x")[1]
    assert job.settings["data"]["root"] == "/my data/it's (mine), no?"
    write_run(job, "running")
    _, again = resumed(job.folder)
    again.pop("kept")
    assert again == job.settings


def test_several_roots_are_several_and_their_jobs_one(here: Path) -> None:
    found = jobs("data.root=a,b", "seed=1,2")
    assert [job.settings["data"]["root"] for job in found] == ["a", "a", "b", "b"]
    # Where the data lies is not what is trained: each pair is one job.
    assert len({job.folder for job in found}) == 2
    assert found[0].folder == found[2].folder


def test_a_value_may_refer_to_the_run_folder(here: Path) -> None:
    found = jobs("seed=1,2", "data.cache_dir='${hydra:runtime.output_dir}/cache'")
    assert [job.settings["data"]["cache_dir"] for job in found] == [f"{job.folder}/cache" for job in found]


def test_params_of_config_files_are_swept_unless_typed(here: Path) -> None:
    (here / "own" / "experiment").mkdir(parents=True)
    (here / "own" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {seed: '1,2', optimizer.learning_rate: '1e-3,1e-2'}}}\n"
    )
    words = ["--config-dir=own", "experiment=mine"]
    assert [job.label for job in jobs(*words)] == [
        f"seed={seed} optimizer.learning_rate={rate}" for seed in (1, 2) for rate in (0.001, 0.01)
    ]
    found = jobs(*words, "seed=5", "optimizer.learning_rate=3e-4,2e-4")
    assert [job.label for job in found] == ["optimizer.learning_rate=0.0003", "optimizer.learning_rate=0.0002"]
    assert found[0].settings["seed"] == 5


def test_folders_of_the_same_job_are_used_again(here: Path) -> None:
    first, second = jobs("sweep.name=mine", "seed=1,2")
    assert first.folder.name.startswith("seed_1-")
    write_run(first, "running")
    # With something else swept, and other words for the same settings, the job is still the one that was there.
    again = jobs("sweep.name=mine", "optimizer.learning_rate=0.0001,1e-2", "seed=1.0", "trainer.compile=true", "name=y")
    assert again[0].folder == first.folder
    assert again[1].folder.name.startswith("learning_rate_0.01-")
    assert jobs("sweep.name=mine", "seed=2")[0].folder.name == second.folder.name.removeprefix("seed_2-")
    first.folder.rename(first.folder.parent / first.folder.name.removeprefix("seed_1-"))
    assert jobs("sweep.name=mine", "seed=1,2")[0].folder.name == first.folder.name.removeprefix("seed_1-")


def test_the_sweeps_folder_and_how_to_go_on(here: Path) -> None:
    named = plan("sweep.name=mine", "seed=1,2")
    assert named.folder == here / "outputs/sweeps/mine"
    assert named.command == "segkit train -m sweep.name=mine seed=1,2"
    placed = plan("hydra.sweep.dir=there", "seed=1,2")
    assert placed.folder == here / "there"
    assert placed.command == "segkit train -m hydra.sweep.dir=there seed=1,2"
    dated = plan("name=folds", "data.root=it's", "seed=1,2")
    assert dated.folder.parent == here / "outputs" / "folds"
    assert dated.folder.name.endswith("_sweep")
    again = dated.command
    assert again == f"segkit train -m name=folds 'data.root=it'\"'\"'s' seed=1,2 hydra.sweep.dir={dated.folder}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.epochs=1,2"], "trainer.epochs: no such setting; segkit has trainer.max_epochs"),
        (["trainer.gpu=1", "seed=1,2"], "trainer.gpu: no such setting"),
        (["model=fcn8,fcn9"], "model=fcn9: no such file under conf/model/; did you mean fcn8?"),
        (["+anything=1,2"], "anything: no such setting"),
        (["data.split=random", "seed=1,2"], "data.split=random: should be"),
        (["trainer.max_epochs=0,-1"], "trainer.max_epochs=0: should be greater than 0"),
        (["data.root=???", "seed=1,2"], "data.root is missing: give data.root=…"),
        (["data.root='${nothing}'", "seed=1,2"], "nothing"),
        (["model.dropout=interval(0,1)"], "model.dropout: interval(…) is for hydra/sweeper=optuna"),
        (["trainer.max_epochs=range(5,5)"], "trainer.max_epochs=range(5,5): there is no value in it"),
        (["sweep.name=a,b"], "sweep.name: cannot be swept"),
        (["hydra.verbose=true,false"], "cannot be swept"),
        (["seed=1,2", "sweep.name=../a"], "sweep.name=../a: "),
        (["seed=1,2", "sweep.name=a", "hydra.sweep.dir=b"], "hydra.sweep.dir: sweep.name gives the sweep its folder"),
        (["seed=(1"], "seed"),
        (["seed"], "seed"),
        (["seed=1,2", "resume=x"], "resume= goes on with a single run"),
        (["seed=1,2", "--config-dir=nowhere"], "nowhere is no folder"),
        (["seed=1,2", "--config-name=other"], "--config-name=other: no such option"),
        (
            ["seed=1,2", "hydra/launcher=everywhere"],
            "hydra/launcher=everywhere: no such file under conf/hydra/launcher/",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_written(words: list[str], message: str, here: Path) -> None:
    with pytest.raises((UserError, HydraException)) as caught:
        run_sweep(*split_flags(["-m", *words]), train.run)
    assert message in readable(caught.value)  # type: ignore[arg-type]
    assert len(readable(caught.value).splitlines()) == 1  # type: ignore[arg-type]
    assert list(here.iterdir()) == []


def test_a_mistake_is_told_at_once(here: Path) -> None:
    # The second in which the command has to answer is a matter of what is imported: torch alone takes three.
    script = (
        "import sys, segkit.cli\n"
        "try: segkit.cli.main()\n"
        "except SystemExit as end: assert end.code == 2, end.code\n"
        "heavy = {'torch', 'pytorch_lightning', 'ray', 'optuna', 'submitit', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    command = [sys.executable, "-c", script, "train", "-m", "model.rate=1e-4,1e-3", "seed=1,2,3"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == "error: model.rate: no such setting (--help lists all)\n"
    assert list(here.iterdir()) == []
