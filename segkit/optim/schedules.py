"""Learning-rate schedules as factors of the step number."""

import math
from collections.abc import Callable
from typing import Literal

Schedule = Literal["constant", "cosine", "poly"]

POLY_POWER = 0.9


def learning_rate_factor(schedule: Schedule, warmup: float, total_steps: int) -> Callable[[int], float]:
    """A function from the step (0…total_steps) to the factor (0…1) of the learning rate.

    The factor rises linearly during ``warmup``: so many steps if it is 1 or more, else that share of all steps. Then it
    stays at 1, or falls to 0 at ``total_steps``: along half a cosine (Loshchilov and Hutter 2017, without
    restarts), or as the 0.9th power of the share of steps that are left ("poly", Chen et al. 2017).
    """
    rising = int(warmup) if warmup >= 1 else round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        share = min((step - rising) / max(total_steps - rising, 1), 1.0)
        if schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        return (1 - share) ** POLY_POWER if schedule == "poly" else 1.0

    return factor
