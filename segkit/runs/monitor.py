"""Which way the score that ``trainer.monitor`` names is better: checkpoints, sweeps and studies choose by it."""

from typing import Literal


def mode(monitor: str) -> Literal["min", "max"]:
    """``min`` for a loss, ``max`` for any other score."""
    return "min" if monitor.endswith("loss") else "max"
