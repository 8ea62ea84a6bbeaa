"""Imported once by the server of :mod:`tests.processes`: what most programs of the tests import."""

import gc
import importlib

from segkit.cli import COMMANDS
from segkit.config.compose import composed

ROOMS = """
data.augment data.datasets.cityscapes_server data.datasets.folder data.sheet data.statistics losses losses.class_weights
models.base models.decoders.unet models.trained optim.recipe predict.loading predict.outputs predict.predictor
predict.video predict.writers road.dataset road.submission road.writers scenes.generate speed.inference training.fit
"""

for name in (
    *(f"segkit.commands.{command}" for command in COMMANDS),
    *(f"segkit.{room}" for room in ROOMS.split()),
    "albumentations",
    "matplotlib.pyplot",
    "tensorboard.plugins.hparams.summary_v2",
    "timm",
    "torch.distributed.launcher.api",
    "torch.utils.tensorboard",
    "tests.processes",
):
    importlib.import_module(name)

# Hydra's parser learns with each kind of word that it sees, and what it has learned is inherited.
composed("predict", ["checkpoint=a/b.ckpt", "input='x y'", "format=[mask,overlay]", "average=[flip,0.75]"])
composed("train", ["model=fcn8", "seed=1", "trainer.max_epochs=2", "data.image_shape=[32,64]", "+trainer.x={a:1}"])

gc.freeze()  # so that collecting does not copy these pages for each process
