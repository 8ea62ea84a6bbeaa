"""The road in metres: a picture's calibration, and the bird's-eye view of the road plane that follows from it."""

from segkit.road.birds_eye import BirdsEyeView
from segkit.road.calibration import Calibration

__all__ = ["BirdsEyeView", "Calibration"]
