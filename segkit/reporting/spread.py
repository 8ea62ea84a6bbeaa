"""What several seeds of one recipe give: the mean, and how far one of them lies from it."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from segkit.reporting.swept import NOTHING


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (of n − 1) of ``count`` values; one value has no deviation."""

    mean: float
    sd: float | None
    count: int

    def text(self, number: Callable[[float], str]) -> str:
        """``0.7210 ± 0.0035``, each number as ``number`` writes it."""
        return number(self.mean) if self.sd is None else f"{number(self.mean)} ± {number(self.sd)}"

    def result(self) -> dict[str, Any]:
        """As ``result.json`` has it."""
        return asdict(self)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of the values that exist; None where none does."""
    known = [value for value in values if value is not None]
    return Spread(mean(known), stdev(known) if len(known) > 1 else None, len(known)) if known else None


def spread_text(values: Iterable[float | None], number: Callable[[float], str]) -> str:
    """``Spread.text`` of the values that exist, a dash where none does."""
    found = spread(values)
    return NOTHING if found is None else found.text(number)


def words_apart(words: Iterable[list[str]]) -> tuple[list[str], list[str]]:
    """The settings, as they were typed, that all have in common, and what each has besides.

    Where none has anything besides, that is the experiment's name, if it has one.
    """
    several = [list(dict.fromkeys(own)) for own in words]
    common = [word for word in several[0] if all(word in own for own in several)]
    apart = [[word for word in own if word not in common] for own in several]
    if not any(apart):
        apart = [[word for word in own if word.startswith("experiment=")] for own in several]
    return common, [" ".join(own) for own in apart]
