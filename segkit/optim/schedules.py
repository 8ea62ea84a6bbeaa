"""Learning-rate schedules as factors of the step number."""

import math
from collections.abc import Callable
from typing import Literal


def learning_rate_factor(
    schedule: Literal["constant", "cosine"], warmup: float, total_steps: int
) -> Callable[[int], float]:
    """A function from the step (0…total_steps) to the factor (0…1) of the learning rate.

    The factor rises linearly over the first ``warmup`` share of the steps, then stays at 1 or falls along half a
    cosine to 0 at ``total_steps`` (Loshchilov and Hutter 2017, without restarts).
    """
    rising = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        if schedule == "constant":
            return 1.0
        share = (step - rising) / max(total_steps - rising, 1)
        return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))

    return factor
