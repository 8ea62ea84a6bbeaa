"""Colours that colour-blind people can tell apart.

They were searched for, so that the smallest difference (CIEDE2000) between any two of a list is as large as may be for
people with usual sight, protanopia, deuteranopia and tritanopia alike, as simulated by Machado, Oliveira and Fernandes
(2009). Greys were left out: on streets they look like what is not painted. Real roads in the first colour stand out as
they do in pure green; each next one is the most different from those before it.
"""

from collections.abc import Sequence
from dataclasses import replace

from segkit.data.records import SegmentationClass
from segkit.errors import UserError

ELEVEN = (
    (102, 255, 0),
    (68, 17, 85),
    (255, 204, 255),
    (68, 102, 0),
    (153, 119, 255),
    (153, 153, 0),
    (51, 153, 153),
    (0, 0, 221),
    (85, 0, 17),
    (204, 68, 102),
    (187, 204, 153),
)
"""RGB; no two differ by less than 17 to anyone."""

TWENTY = (
    (102, 255, 0),
    (51, 17, 68),
    (255, 204, 255),
    (68, 119, 85),
    (119, 0, 238),
    (0, 51, 0),
    (255, 51, 119),
    (119, 119, 255),
    (255, 136, 187),
    (102, 51, 68),
    (119, 136, 17),
    (170, 51, 119),
    (187, 204, 136),
    (85, 153, 136),
    (0, 0, 170),
    (136, 187, 0),
    (68, 85, 0),
    (187, 102, 170),
    (153, 170, 255),
    (204, 255, 221),
)
"""RGB; no two differ by less than 12 to anyone."""


def colour_blind(class_list: Sequence[SegmentationClass]) -> tuple[SegmentationClass, ...]:
    """The classes with the first colours of the shorter list that has enough; those without a colour stay without one.

    Raises:
        UserError: neither list has enough.
    """
    count = sum(item.colour is not None for item in class_list)
    if count > len(TWENTY):
        most = f"has {len(TWENTY)} colours, and {count} classes are painted"
        raise UserError(f"paint.colours=colour_blind: {most}; give paint.colours=own")
    left = iter(ELEVEN if count <= len(ELEVEN) else TWENTY)
    return tuple(item if item.colour is None else replace(item, colour=next(left)) for item in class_list)
