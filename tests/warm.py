"""Imported once by the server of :mod:`tests.processes`: what most programs of the tests import."""

import gc

import albumentations  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import tensorboard.plugins.hparams.summary_v2  # noqa: F401
import torch.distributed.launcher.api  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

import segkit.commands.evaluate
import segkit.commands.predict
import segkit.commands.train
import segkit.predict.predictor
import segkit.road.dataset
import segkit.training.fit
import tests.processes  # noqa: F401

gc.freeze()  # so that collecting does not copy these pages for each process
