"""Imported once by the server of :mod:`tests.processes`: what most programs of the tests import."""

import gc
import importlib

for name in (
    "albumentations",
    "matplotlib.pyplot",
    "tensorboard.plugins.hparams.summary_v2",
    "torch.distributed.launcher.api",
    "torch.utils.tensorboard",
    "segkit.commands.evaluate",
    "segkit.commands.predict",
    "segkit.commands.train",
    "segkit.predict.predictor",
    "segkit.road.dataset",
    "segkit.training.fit",
    "tests.processes",
):
    importlib.import_module(name)

gc.freeze()  # so that collecting does not copy these pages for each process
