"""Inside a container for inference: its model lies in ``/opt/ml/model`` (or below ``SAGEMAKER_BASE_DIR``).

It is what a training job has left there, unpacked, or what a user has packed: a run folder, or a checkpoint. SageMaker
starts the container with the one word ``serve``, and asks at port 8080 for ``/ping`` and ``/invocations``.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import os
from pathlib import Path

from segkit.errors import UserError

VARIABLE = "SEGKIT_SERVE"
"""Settings of ``segkit serve`` in the environment, which is all that a model's definition may give a container."""


def served_model() -> Path | None:
    """The run folder or checkpoint of the container that this process runs in; None outside of one.

    Raises:
        UserError: there is none in its model, or several.
    """
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
    folder = base / "model"
    if not folder.is_dir() or (base / "input" / "config").is_dir():  # the latter is a training job's
        return None
    if (folder / "checkpoints" / "best.ckpt").is_file():
        return folder
    found = sorted(folder.rglob("*.ckpt"))
    if len(found) != 1:
        what = "none" if not found else f"{len(found)} of them"
        raise UserError(f"checkpoint: {folder} should hold a run folder or one .ckpt file, and has {what}")
    return found[0]
