"""Train a segmentation network: ``python train.py model=fcn8 trainer.gpus=1`` (the same as ``segkit train …``)."""

from segkit.cli import main

# The guard matters: data workers may be started by spawning, which imports this file again.
if __name__ == "__main__":
    main(["train"])
