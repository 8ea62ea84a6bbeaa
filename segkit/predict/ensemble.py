"""Several trained networks as one: the mean of their probabilities."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from segkit.errors import UserError
from segkit.predict.predictor import Segmenter, check_complete


class Ensemble(Segmenter):
    """Each network is shown pictures at its own input size; of a single one the probabilities are its own.

    Args:
        members: the networks by what an error is to call them, one or more; all are kept in memory.

    Raises:
        UserError: two have other classes, or one of several does not tell all probabilities.
    """

    def __init__(self, members: Mapping[str, Segmenter]) -> None:
        self.members = tuple(members.values())
        self.class_list, self.trained_input = self.members[0].class_list, self.members[0].trained_input
        self.device = self.members[0].device
        self.view_count = sum(member.view_count for member in self.members)
        self.complete = all(member.complete for member in self.members)
        self.precision = ", ".join(dict.fromkeys(member.precision for member in self.members))
        if len(members) > 1:
            for place, member in members.items():
                check_complete(member, f"checkpoint: {place} cannot be averaged with others")
        names = {place: ", ".join(item.name for item in member.class_list) for place, member in members.items()}
        first, *others = names
        for other in others:
            if names[other] != names[first]:
                raise UserError(
                    f"checkpoint: {first} and {other} cannot be averaged, their classes are {names[first]} and "
                    f"{names[other]}"
                )

    def views(self, picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return [view for member in self.members for view in member.views(picture)]

    @torch.inference_mode()
    def probabilities_at(self, views: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> torch.Tensor:
        total: torch.Tensor | None = None
        begin = 0
        for member in self.members:
            end = begin + member.view_count
            own = member.probabilities_at(views[begin:end], size)
            total = own if total is None else total.add_(own)
            begin = end
        assert total is not None
        return total if len(self.members) == 1 else total.div_(len(self.members))

    def probabilities_together(
        self, pictures: Sequence[tuple[Sequence[NDArray[np.uint8]], tuple[int, int]]]
    ) -> Iterator[torch.Tensor]:
        if len(self.members) == 1:
            return self.members[0].probabilities_together(pictures)
        return super().probabilities_together(pictures)
