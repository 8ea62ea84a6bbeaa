"""How a drive's surfaces, marks and camera look: as in the real recordings of KITTI, or drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from segkit.scenes.textures import Colour

Looks = Literal["kitti", "varied"]
"""``kitti``: roads, cameras and weather close to KITTI's recordings. ``varied``: every picture has a camera, a road and
a weather of its own, colours and textures are drawn from wide ranges, partly beyond what is real (domain
randomisation: Tobin et al., "Domain randomization for transferring deep neural networks from simulation to the real
world", IROS 2017)."""


@dataclass(frozen=True)
class Marks:
    """How many marks lie on the road: greatest number a metre, or the probability that there are such."""

    patches: float = 0.12
    cracks: float = 0.1
    arrows: float = 0.4
    crossing: float = 0.12
    stains: float = 0.0
    resurfaced: float = 0.0
    stop_line: float = 0.0
    box: float = 0.0
    signs: float = 0.0


@dataclass(frozen=True)
class Lens:
    """What camera and file add: ``gamma`` of the tones, darkening of the corners (``vignette``, share of the light),
    ``blur`` (pixels), ``glare`` (share of white over all) and JPEG ``quality`` (0: not compressed)."""

    gamma: float = 1.0
    vignette: float = 0.0
    blur: float = 0.0
    glare: float = 0.0
    quality: int = 0


@dataclass(frozen=True)
class Look:
    """``shades`` gives materials their colour (BGR in sunlight) and grain; those that lack one get the usual one.

    With ``every_road`` side roads and the opposite carriageway count as road, else they are not scored. ``tile`` picks
    the road's texture, ``relief`` and ``blotches`` say how much of it is seen (1: as usual). ``edge_lines`` are yellow
    lines at so many metres from the road's edges. ``wet`` is the share of light that the ground mirrors, ``bonnet`` the
    share of the picture's height that the own car hides, ``casts`` the number of shadows of things that are not seen.
    ``tinted`` drives take textures from a common stock, each thing in a tint of its own.
    """

    every_road: bool = False
    shades: Mapping[str, tuple[Colour, float]] = field(default_factory=dict)
    paint: Colour = (222.0, 226.0, 226.0)
    worn_paint: float = 1.0
    marks: Marks = Marks()
    edge_lines: tuple[float, ...] = ()
    tile: int = 0
    relief: float = 1.0
    blotches: float = 1.0
    wet: float = 0.0
    bonnet: float = 0.0
    casts: int = 0
    tinted: bool = False
    lens: Lens | None = None


KITTI = Look()
