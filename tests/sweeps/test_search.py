"""Searching with Optuna: what is asked for, what is told, how a study goes on, and which trials are ended early."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segkit.commands.train import run as train_run
from segkit.config.messages import readable
from segkit.config.overrides import split_flags
from segkit.errors import Pruned, UserError
from segkit.runs import study as studies
from segkit.runs.study import Trial
from segkit.sweeps import sweep
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.plan import Plan
from segkit.sweeps.search import Search
from segkit.training.callbacks.pruning import Pruning
from tests.sweeps.fake_pool import FakePool, finished, folders, write_run

SEARCH = ["hydra/sweeper=optuna", "sweep.name=mine"]
RATE = "optimizer.learning_rate=tag(log,interval(1e-5,1e-1))"
DROPOUT = "model.dropout=interval(0,0.9)"


def trials(number: int, startup: int = 3, seed: int = 0) -> list[str]:
    return [f"hydra.sweeper.{key}" for key in (f"n_trials={number}", f"startup_trials={startup}", f"seed={seed}")]


def valley(job: Job) -> Outcome:
    """Best, 0, at a learning rate of 1e-3 and a dropout of 0.3."""
    rate, dropout = job.settings["optimizer"]["learning_rate"], job.settings["model"]["dropout"]
    return Outcome("finished", score=-((math.log10(rate) + 3) ** 2) - (dropout - 0.3) ** 2)


class Death(BaseException):
    """What SIGKILL is to the sweep, as far as a test can have it: nothing is told or written after it."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a study: making its tables takes longer than most studies here."""
    folder = tmp_path_factory.mktemp("empty")
    studies.open_storage(studies.address(folder))
    return folder / "optuna.db"


@pytest.fixture
def search(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, FakePool | None]]:
    """Runs a study in a fake pool. Returns the exit code, and the pool if one was made."""
    monkeypatch.chdir(tmp_path)

    def open_storage(url: str) -> Any:
        path = Path(url.removeprefix("sqlite:///"))
        if not path.exists():
            shutil.copy(empty, path)
        return studies.open_storage(url)

    monkeypatch.setattr("segkit.sweeps.search.open_storage", open_storage)

    def run(
        words: list[str], outcome: Callable[[Job], Outcome] = valley, slots: int | None = 1
    ) -> tuple[int, FakePool | None]:
        made: list[FakePool] = []

        def make(*about: Any) -> FakePool:
            made.append(FakePool(outcome, slots))
            return made[0]

        monkeypatch.setattr(sweep, "make_pool", make)
        code = sweep.run_sweep(*split_flags(["-m", *SEARCH, *words]), train_run)
        return code, made[0] if made else None

    return run


def stored(folder: Path = Path("outputs/sweeps/mine")) -> optuna.Study:
    return optuna.load_study(study_name="sweep", storage=studies.open_storage(studies.address(folder)))


def asked(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def states(study: optuna.Study) -> str:
    return " ".join(trial.state.name for trial in study.trials)


def test_the_search_beats_its_random_beginning(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, pool = search([RATE, DROPOUT, *trials(16, startup=6)])
    assert code == 0
    scores = [trial.value for trial in stored().trials]
    assert len(scores) == len(pool.jobs) == 16
    assert max(scores[6:]) > max(scores[:6])
    assert max(scores) > -0.05
    best = stored().best_trial
    lines = capsys.readouterr().out.splitlines()
    label = " ".join(f"{name}={value:g}" for name, value in best.params.items())
    assert lines[-2].startswith(f"best: {label}: val/iou {best.value:.4f} (outputs/sweeps/mine/learning_rate_")
    assert lines[-1] == "segkit report sweep=mine"
    for trial, job in zip(stored().trials, pool.jobs, strict=True):
        assert job.settings["optimizer"]["learning_rate"] == pytest.approx(
            trial.params["optimizer.learning_rate"], rel=1e-11
        )
        assert job.trial == Trial(studies.address(Path("outputs/sweeps/mine")), "sweep", trial.number)


def test_a_study_that_was_killed_goes_on_as_if_it_had_not_been(
    search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [RATE, DROPOUT, *trials(6, startup=2)]
    search([*words, "sweep.name=whole"])
    whole = asked(stored(Path("outputs/sweeps/whole")))

    def dying(job: Job) -> Outcome:
        if job.trial is not None and job.trial.number == 3:
            raise Death
        return valley(job)

    with pytest.raises(Death):
        search(words, dying)
    assert states(stored()) == "COMPLETE " * 3 + "RUNNING"
    before = folders(Path("outputs/sweeps/mine"))
    assert len(before) == 4
    code, pool = search(words)
    assert code == 0
    assert [job.trial.number for job in pool.jobs] == [3, 4, 5]
    assert states(stored()) == " ".join(["COMPLETE"] * 6)
    assert asked(stored()) == whole
    assert pool.jobs[0].folder.name in before
    assert len(folders(Path("outputs/sweeps/mine"))) == 6
    # All trials are done: nothing is run, and no pool is made. More trials go on from there.
    assert search(words) == (0, None)
    code, pool = search([RATE, DROPOUT, *trials(7, startup=2)])
    assert [job.trial.number for job in pool.jobs] == [6]


def test_what_a_killed_sweep_did_not_tell_is_told_at_once(search: Any) -> None:
    words = [DROPOUT, *trials(1)]

    def ended_untold(job: Job) -> Outcome:
        write_run(job, "finished", scores={"iou": 0.625})
        raise Death

    with pytest.raises(Death):
        search(words, ended_untold)
    code, pool = search(words)
    assert code == 0
    assert pool.jobs == []
    assert [trial.value for trial in stored().trials] == [0.625]


def test_a_trial_that_was_half_asked_for_is_given_up(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    suggest = optuna.Trial._suggest

    def dying(self: optuna.Trial, name: str, distribution: Any) -> Any:
        if self.number == 1 and name == "model.dropout":
            raise Death
        return suggest(self, name, distribution)

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Trial, "_suggest", dying)
        with pytest.raises(Death):
            search([RATE, DROPOUT, *trials(3)])
    assert search([RATE, DROPOUT, *trials(3)])[0] == 0
    assert states(stored()) == "COMPLETE FAIL COMPLETE COMPLETE"


def test_failed_pruned_and_interrupted_trials(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Outcome("failed", "out of GPU memory"),
        Outcome("pruned", "unpromising after epoch 2"),
        Outcome("finished", score=math.inf),
        Outcome("finished", score=0.5),
        Outcome("interrupted", "SIGTERM"),
    ]
    code, pool = search([DROPOUT, *trials(5)], lambda job: outcomes[job.trial.number])  # type: ignore[union-attr]
    assert code == 1
    assert states(stored()) == "FAIL PRUNED FAIL COMPLETE RUNNING"
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("failed: model.dropout=")
    assert "out of GPU memory" in line
    # The one that was interrupted goes on, others take the place of those that failed.
    code, pool = search([DROPOUT, *trials(5)])
    assert (code, [job.trial.number for job in pool.jobs]) == (0, [4, 5, 6])
    assert states(stored()) == "FAIL PRUNED FAIL COMPLETE COMPLETE COMPLETE COMPLETE"


def test_the_same_settings_are_trained_once_and_a_loss_is_minimised(search: Any) -> None:
    words = ["model.encoder=vgg16,vgg16_bn", "trainer.monitor=val/loss", *trials(6)]
    code, pool = search(words, finished(0.25), slots=3)
    assert stored().direction == optuna.study.StudyDirection.MINIMIZE
    assert code == 0
    assert 1 <= len(pool.jobs) <= 2
    assert len({job.settings["model"]["encoder"] for job in pool.jobs}) == len(pool.jobs)
    assert [(trial.state.name, trial.value) for trial in stored().trials] == [("COMPLETE", 0.25)] * 6


@pytest.mark.parametrize(
    ("slots", "words", "most"),
    [
        (3, ["hydra.sweeper.parallel=2"], 2),
        (None, [], 3),  # a pool that queues gets the trials that need no results at once
    ],
)
def test_trials_at_once(slots: int | None, words: list[str], most: int, search: Any) -> None:
    _, pool = search([DROPOUT, RATE, *trials(4), *words], slots=slots)
    assert (len(pool.jobs), pool.most) == (4, most)


def space(*words: str) -> dict[str, Any]:
    return Search(Plan(*split_flags(["-m", *SEARCH, *words]), train_run)).space


def test_the_space_is_what_hydras_grammar_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert space(RATE, DROPOUT) == {
        "optimizer.learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
        "model.dropout": FloatDistribution(0, 0.9),
    }
    assert space("trainer.max_epochs=range(4,12,4)", "data.batch_size=int(interval(1,8))") == {
        "trainer.max_epochs": IntDistribution(4, 8, step=4),
        "data.batch_size": IntDistribution(1, 8),
    }
    assert space("trainer.max_epochs=tag(log,range(1,100))", "model.dropout=range(0.5,0,-0.125)") == {
        "trainer.max_epochs": IntDistribution(1, 99, log=True),
        "model.dropout": FloatDistribution(0.125, 0.5, step=0.125),
    }
    assert space("data.image_shape=[160,576],[256,832]", "augment=glob(*)", "trainer.clip=null,0.5") == {
        "data.image_shape": CategoricalDistribution(["[160,576]", "[256,832]"]),
        "augment": CategoricalDistribution(["albumentations", "flip", "none", "road", "street"]),
        "trainer.clip": CategoricalDistribution(["null", "0.5"]),
    }
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults: [override /hydra/sweeper: optuna]\n"
        "hydra: {sweeper: {n_trials: 7, params: {model.dropout: 'interval(0,0.5)', seed: '1,2'}}}\n"
    )
    own = Search(Plan(["-m", "--config-dir=."], ["experiment=mine", "seed=3"], train_run))
    assert (own.space, own.total) == ({"model.dropout": FloatDistribution(0, 0.5)}, 7)
    assert own.settings["seed"] == 3


def test_lists_groups_and_the_strength_of_augmentation_are_searched(search: Any) -> None:
    words = ["augment=road", "data.image_shape=[32,64],[64,128]", "augment.shadow=interval(0,1)"]
    _, pool = search([*words, *trials(3)], finished(0.5))
    for job, params in zip(pool.jobs, asked(stored()), strict=True):
        shape, shadow = job.settings["data"]["image_shape"], params["augment.shadow"]
        assert str(shape).replace(" ", "") == params["data.image_shape"]
        assert job.settings["data"]["augment"] == job.settings["augment"]
        assert job.settings["augment"]["shadow"] == pytest.approx(shadow, rel=1e-11)


def test_a_study_is_about_the_same_settings_always(search: Any) -> None:
    words = [DROPOUT, "model.encoder=vgg16,vgg16_bn", *trials(2)]
    search(words, finished(0.5))
    # What does not count may change, and so may the ends of an interval, and the search.
    code, _ = search(
        ["model.dropout=interval(0.1,0.5)", "model.encoder=vgg16,vgg16_bn", "data.root=x", *trials(3, seed=1)],
        finished(0.5),
    )
    assert code == 0
    for changed, message in [
        ([*words, "trainer.max_epochs=3"], "trainer.max_epochs=3 was 20: the study in "),
        ([*words, "trainer.monitor=val/loss"], "trainer.monitor=val/loss was val/iou: "),
        ([DROPOUT, "model.encoder=vgg16_bn,vgg16", *trials(2)], "model.encoder had other choices to be searched: "),
        ([DROPOUT, *trials(2)], "searched=['model.dropout'] was ['model.dropout', 'model.encoder']: "),
    ]:
        with pytest.raises(UserError) as caught:
            search(changed)
        assert str(caught.value).startswith(message)
        assert len(stored().trials) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["seed=1"],
            "hydra/sweeper=optuna: nothing to search; give a setting room, as in optimizer.learning_rate='tag(",
        ),
        ([DROPOUT, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: should be greater than 0"),
        ([DROPOUT, "hydra.sweeper.n_trial=5"], "hydra.sweeper.n_trial: no such setting"),
        ([DROPOUT, "trainer.monitor=val/iou,val/loss"], "trainer.monitor: cannot be searched"),
        (["model.dropout=tag(lag,interval(0,1))"], "the only tag there is is log"),
        (["model.dropout=tag(log,choice(0,1))"], "the only tag there is is log"),
        (["optimizer.learning_rate=tag(log,interval(0,1))"], "optimizer.learning_rate=tag(log,interval(0,1)): "),
        (["optimizer.learning_rate=interval(1,0.1)"], "optimizer.learning_rate=interval(1,0.1): "),
        (["model=fcn8,fcn9"], "model=fcn9: no such file under conf/model/"),
        ([DROPOUT, "trainer.max_epochs=0"], "trainer.max_epochs=0: should be greater than 0"),
        (["model.dropout=interval(2,3)"], "model.dropout=2.0: should be less than 1"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    words: list[str], message: str, search: Any, tmp_path: Path
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Hydra's or segkit's
        search(words)
    assert message in readable(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_there_is_no_pool_to_be_had(
    search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*about: Any) -> FakePool:
        raise UserError("hydra/launcher=gpus needs Ray")

    monkeypatch.setattr(sweep, "make_pool", none)
    with pytest.raises(UserError, match="needs Ray"):
        sweep.run_sweep(*split_flags(["-m", *SEARCH, DROPOUT]), train_run)
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_it_is_said_what_to_install(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UserError, match=r"^hydra/sweeper=optuna needs Optuna: pip install -e '\.\[sweep\]'$"):
        search([DROPOUT])


class StubTrainer:
    """What the callback sees of a trainer: rank 0, or another rank that hears what rank 0 has decided."""

    def __init__(self, epoch: int, score: float, heard: bool | None = None) -> None:
        self.current_epoch, self.check_val_every_n_epoch, self.num_val_batches = epoch, 1, [1]
        self.callback_metrics = {"val/iou": torch.tensor(score)}
        self.is_global_zero = heard is None
        self.strategy = SimpleNamespace(broadcast=lambda value: value if heard is None else heard)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished trials, whose scores after the epochs are 0.2, 0.4 and 0.6 and then 0.3, 0.5 and 0.7; two run."""
    folder = tmp_path_factory.mktemp("study")
    storage = studies.open_storage(studies.address(folder))
    own = optuna.create_study(study_name=studies.NAME, storage=storage, direction="maximize")
    own.set_user_attr(studies.STARTUP, 2)
    own.set_user_attr(studies.PRUNING, True)
    for number in range(5):
        trial = own.ask()
        if number < 3:
            for epoch in (0, 1):
                trial.report(0.2 + 0.2 * number + 0.1 * epoch, epoch)
            own.tell(trial, 0.3 + 0.2 * number)
    return folder / "optuna.db"


@pytest.fixture
def study(written: Path, tmp_path: Path) -> optuna.Study:
    """A test's own copy of what was written."""
    shutil.copy(written, tmp_path)
    return stored(tmp_path)


def train(trial: Trial, *scores: float, first: int = 0) -> None:
    for epoch, score in enumerate(scores, first):
        Pruning(trial, "val/iou").on_train_epoch_end(StubTrainer(epoch, score), None)  # type: ignore[arg-type]


def test_a_trial_below_the_median_is_ended(study: optuna.Study, tmp_path: Path) -> None:
    # The medians are 0.4 and 0.5; a trial is judged by its best score so far.
    below, above = (Trial(studies.address(tmp_path), studies.NAME, number) for number in (3, 4))
    with pytest.raises(Pruned, match=r"^unpromising after epoch 2: val/iou 0\.4500$"):
        train(below, 0.42, 0.45, 0.9)
    train(above, 0.55, 0.1)
    assert [trial.intermediate_values for trial in study.trials[3:]] == [
        pytest.approx({0: 0.42, 1: 0.45}),
        pytest.approx({0: 0.55, 1: 0.1}),
    ]
    assert states(study) == "COMPLETE COMPLETE COMPLETE RUNNING RUNNING"  # the sweep tells what came of it


def test_an_epoch_that_is_repeated_is_not_reported_again(study: optuna.Study, tmp_path: Path) -> None:
    trial = Trial(studies.address(tmp_path), studies.NAME, 3)
    train(trial, 0.5)
    train(trial, 0.1, 0.6)
    assert study.trials[3].intermediate_values == pytest.approx({0: 0.5, 1: 0.6})


def test_one_of_the_first_trials_is_not_ended_though_others_have_overtaken_it(
    study: optuna.Study, tmp_path: Path
) -> None:
    first, other = (Trial(studies.address(tmp_path), studies.NAME, number) for number in (3, 4))
    train(other, 0.9)
    study.tell(4, 0.9)
    study.set_user_attr(studies.STARTUP, 4)
    train(first, 0.0)


def test_nothing_is_ended_where_there_is_too_little_to_go_by(study: optuna.Study, tmp_path: Path) -> None:
    trial = Trial(studies.address(tmp_path), studies.NAME, 3)
    study.set_user_attr(studies.STARTUP, 4)
    train(trial, 0.0)
    study.set_user_attr(studies.STARTUP, 2)
    study.set_user_attr(studies.PRUNING, False)
    train(trial, 0.0, first=1)
    study.set_user_attr(studies.PRUNING, True)
    with pytest.raises(Pruned):
        train(trial, 0.0, first=1)
    train(trial, 0.0, first=2)  # nobody else has come so far


def test_all_ranks_end_and_one_alone_talks_to_the_study() -> None:
    nowhere = Pruning(Trial("sqlite:////nowhere/optuna.db", studies.NAME, 3), "val/iou")
    nowhere.on_train_epoch_end(StubTrainer(0, 0.5, heard=False), None)  # type: ignore[arg-type]
    with pytest.raises(Pruned, match="unpromising after epoch 8"):
        nowhere.on_train_epoch_end(StubTrainer(7, 0.5, heard=True), None)  # type: ignore[arg-type]


def test_a_score_that_is_not_there_is_the_checkpoints_business() -> None:
    Pruning(Trial("sqlite:////nowhere/optuna.db", studies.NAME, 3), "val/other").on_train_epoch_end(
        StubTrainer(0, 0.5),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )


def test_the_first_trials_are_never_ended(search: Any) -> None:
    def unpromising(job: Job) -> Outcome:
        assert job.trial is not None
        number = job.trial.number
        try:
            train(job.trial, 1.0 - 0.1 * number)  # each worse than the one before
        except Pruned as error:
            return Outcome("pruned", str(error))
        return Outcome("finished", score=1.0 - 0.1 * number)

    search([DROPOUT, *trials(5, startup=3)], unpromising)
    assert states(stored()) == "COMPLETE COMPLETE COMPLETE PRUNED PRUNED"
    search([DROPOUT, *trials(4, startup=3), "hydra.sweeper.pruning=false", "sweep.name=other"], unpromising)
    assert states(stored(Path("outputs/sweeps/other"))) == "COMPLETE COMPLETE COMPLETE COMPLETE"
