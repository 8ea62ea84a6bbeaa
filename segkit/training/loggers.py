"""Where a run's scalars, pictures and settings go: TensorBoard, or another of Lightning's loggers."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from segkit.errors import UserError
from segkit.runs.identity import NOT_COUNTED


class RunLogger(TensorBoardLogger):
    """TensorBoard events in the run folder, without the epoch number that Lightning adds to every entry."""

    def __init__(self, folder: Path) -> None:
        # Training waits for the thread that writes when more events are in its queue; losses come 50 steps at a time.
        super().__init__(folder, name="tensorboard", version="", default_hp_metric=False, max_queue=1000)
        threading.excepthook = _told_by_the_caller

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        shown = {name: value for name, value in metrics.items() if name != "epoch"}
        if shown:
            super().log_metrics(shown, step)


def _told_by_the_caller(stop: threading.ExceptHookArgs) -> None:
    """Of a disk that is full: TensorBoard's thread raises it again where the next event is added."""
    if not (isinstance(stop.exc_value, OSError) and type(stop.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(stop)


def build_logger(name: str, folder: Path) -> Logger:
    """The logger that ``trainer.logger`` names: ``tensorboard``, ``csv``, ``wandb`` or ``mlflow``.

    What they write lies in the run folder; wandb also sends it to where its own settings say.

    Raises:
        UserError: its package is not installed.
    """
    if name == "tensorboard":
        return RunLogger(folder)
    if name == "csv":
        return CSVLogger(folder, name="csv", version="")
    try:
        if name == "wandb":
            from pytorch_lightning.loggers import WandbLogger

            return WandbLogger(save_dir=folder, name=folder.name, project="segkit")
        from pytorch_lightning.loggers import MLFlowLogger

        place = f"sqlite:///{folder.absolute() / 'mlflow.db'}"
        return MLFlowLogger("segkit", run_name=folder.name, tracking_uri=place)
    except ModuleNotFoundError as error:
        raise UserError(f"trainer.logger={name} needs a package: pip install 'segkit[loggers]'") from error


def log_config(logger: Logger, config: Mapping[str, Any]) -> None:
    """Hand the whole config over: to TensorBoard as text, to other loggers as hyper-parameters."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(dict(config)))}```")
    else:
        logger.log_hyperparams(dict(config))


# What says where or how fast would hide the rest in the HPARAMS tab, as would what stands there in another form.
NOT_COMPARED = NOT_COUNTED | {"data.augment", "data.seed"}


def log_scores(folder: Path, config: Mapping[str, Any], scores: Mapping[str, float], swept: Sequence[str] = ()) -> None:
    """Put a run into TensorBoard's HPARAMS tab: its settings and the scores of its best checkpoint.

    Of a sweep's run only the ``swept`` settings (dotted keys, or groups): the tab shows the first few at once.
    """
    groups = ("data", "model", "loss", "optimizer", "trainer")
    flat = {
        f"{group}.{key}": str(value) if isinstance(value, list | dict) else value
        for group in groups
        for key, value in config.get(group, {}).items()
        if f"{group}.{key}" not in NOT_COMPARED and not key.startswith("_")
    }
    # Of the numbers of the augmentation only those that were swept have a place each; all that do something have one.
    strengths = {key: value for key, value in config["augment"].items() if not key.startswith("_")}
    flat |= {f"augment.{key}": value for key, value in strengths.items() if f"augment.{key}" in swept}
    at_work = [f"{key}={value}" for key, value in strengths.items() if value not in (0, 1, None, [])]
    flat |= {"seed": config["seed"], "augment": " ".join(at_work) or "none"}
    shown = {key: value for key, value in flat.items() if f"{key}.".startswith(tuple(f"{name}." for name in swept))}
    logger = RunLogger(folder)
    logger.log_hyperparams(shown or flat, {f"val_best/{name}": value for name, value in scores.items()})
    logger.save()
