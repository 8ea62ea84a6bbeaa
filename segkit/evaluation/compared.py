"""A network scored on a data set of other classes: which can be compared, under which names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from segkit.data.merging import IGNORE
from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.errors import UserError, choices
from segkit.evaluation.tables import LEFT_OUT
from segkit.predict.predictor import Segmenter


@dataclass(frozen=True)
class Comparison:
    """The classes in which a network and a data set can be compared.

    Attributes:
        class_list: their names, with the colours of the data's; at the end ``LEFT_OUT`` where the network has others.
        network: the number in ``class_list`` of each of the network's classes, int64 (C,).
        data: the same of each label value, uint8 (256,); 255 for classes that are not compared.
        members: by compared name the classes behind it, of the ``network`` and of the ``data``.
        left_out: names of the ``network``'s and of the ``data``'s classes that are not compared.
    """

    class_list: tuple[SegmentationClass, ...]
    network: torch.Tensor
    data: NDArray[np.uint8]
    members: Mapping[str, Mapping[str, Sequence[str]]]
    left_out: Mapping[str, Sequence[str]]


def compare_classes(
    trained: Sequence[SegmentationClass], held: Sequence[SegmentationClass], merge: Mapping[str, Sequence[str]]
) -> Comparison:
    """Compare the classes of a network with those of a data set.

    Args:
        trained: the network's.
        held: the data set's.
        merge: names of either side by the name under which they are compared, ``ignore`` for those that are not.
            Classes that it does not name are compared where both sides have one of the name.

    Raises:
        UserError: a name that neither side has, or that is named twice; a compared class that one side lacks; fewer
            than two classes in common.
    """
    sides = {"network": [item.name for item in trained], "data": [item.name for item in held]}
    words = [name for members in merge.values() for name in members]
    for name in words:
        if name not in sides["network"] and name not in sides["data"]:
            known = list(dict.fromkeys([*sides["network"], *sides["data"]]))
            raise UserError(f"compare: neither network nor data have a class {name}{choices(name, known)}")
    shared = [name for name in sides["data"] if name in sides["network"] and name not in words]
    kept = {name: list(members) for name, members in merge.items() if name != IGNORE}
    wanted = kept | {name: [name] for name in shared if name not in kept}
    twice = [name for name, count in Counter(words).items() if count > 1]
    twice += [name for name in shared if name in kept]
    if twice:
        raise UserError(f"compare: {twice[0]} would be part of two classes; name it in one of them")
    members = {
        name: {side: [one for one in own if one in names] for side, own in sides.items()}
        for name, names in wanted.items()
    }
    for name, both in members.items():
        for side, found in both.items():
            if not found:
                own = ", ".join(sides[side])
                raise UserError(f"compare.{name}: the {side} has none of {', '.join(wanted[name])}; it has {own}")
    # In the order of the data's classes, whose colours they have.
    order = sorted(members, key=lambda name: sides["data"].index(members[name]["data"][0]))
    if len(order) < 2:
        raise UserError(
            f"compare: {' and '.join(order) or 'no class'} alone can be compared ({', '.join(sides['network'])} with "
            f"{', '.join(sides['data'])}); name more, compare={{vegetation: [tree, vegetation]}}, or give data.classes"
        )
    class_list = [replace(held[sides["data"].index(members[name]["data"][0])], name=name) for name in order]
    left_out = {
        side: [name for name in own if not any(name in both[side] for both in members.values())]
        for side, own in sides.items()
    }
    network, data = torch.full((len(trained),), len(order)), np.full(256, IGNORE_INDEX, np.uint8)
    for number, name in enumerate(order):
        network[[sides["network"].index(one) for one in members[name]["network"]]] = number
        data[[sides["data"].index(one) for one in members[name]["data"]]] = number
    if left_out["network"]:
        class_list.append(SegmentationClass(LEFT_OUT, None, background=True))
    return Comparison(tuple(class_list), network, data, {name: members[name] for name in order}, left_out)


class Compared(Segmenter):
    """A network whose classes are those of a comparison: the one that it decides on, under its compared name."""

    def __init__(self, network: Segmenter, comparison: Comparison) -> None:
        self.network, self.comparison = network, comparison
        self.class_list = comparison.class_list

    def views(self, picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return self.network.views(picture)

    @torch.inference_mode()
    def probabilities_at(self, views: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> torch.Tensor:
        own = self.network.probabilities_at(views, size)
        # The largest, not the sum: the class that is chosen stays the one that the network chooses.
        found = torch.zeros(len(self.class_list), *own.shape[1:], dtype=own.dtype, device=own.device)
        for number, place in enumerate(self.comparison.network.tolist()):
            torch.maximum(found[place], own[number], out=found[place])
        return found
