"""The zip that KITTI road's server scores: every test picture's confidence from above, checked before and after."""

import logging
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from segkit.data.checks import find_root
from segkit.data.records import SegmentationClass
from segkit.data.writer import Prediction, Writer, png
from segkit.errors import UserError, shortlist
from segkit.road import BirdsEyeView, Calibration
from segkit.road.dataset import IMAGE_NAME, TEST_IMAGES
from segkit.road.layout import CATEGORIES, PUBLISHED, Category
from segkit.road.writers import road_class
from segkit.runs.files import replacing
from segkit.runs.regular import real

GRID = BirdsEyeView()
log = logging.getLogger(__name__)


class Submission(Writer):
    """Gathers the maps of the pictures ``<root>/testing/image_2/<category>_<number>.png``, then writes the zip.

    Args:
        root: the data set's, ``data.root``.
        class_list: of the network; ``road`` is scored in all categories, ``lane`` in um.
        pictures: those that will be painted, with their calibrations.

    Raises:
        UserError: no class is the road, ``pictures`` are not exactly the test pictures of the target's categories, one
            of them has no calibration, or their numbers do not run from 0 without a gap.
    """

    name = "submission"
    per_picture = False
    files = ("submission.zip",)

    def __init__(
        self, root: Path, class_list: Sequence[SegmentationClass], pictures: Mapping[Path, Calibration | None]
    ) -> None:
        self.needs = road_class(class_list)
        if self.needs is None:
            names = ", ".join(item.name for item in class_list)
            raise UserError(f"format=submission: none of this network's classes is named road or lane ({names})")
        self.target: Literal["road", "lane"] = "lane" if class_list[self.needs].name == "lane" else "road"
        self.folder = find_root(root, [TEST_IMAGES]) / TEST_IMAGES
        self._calibrations = pictures
        self._maps: dict[str, bytes] = {}
        self._check_tests()
        self._check_pictures(pictures)
        self._compare_with_published()

    @property
    def categories(self) -> tuple[Category, ...]:
        return CATEGORIES if self.target == "road" else ("um",)

    def encode(self, prediction: Prediction) -> None:
        """Keep the map of one of the pictures."""
        calibration = self._calibrations[prediction.path]
        assert calibration is not None
        assert self.needs is not None
        seen_from_above = GRID.warp(prediction.confidence_of[self.needs], calibration)
        self._maps[self._map_name(prediction.path.name)] = png(seen_from_above)

    def finish(self, folder: Path, complete: bool) -> int | None:
        """Write the zip, whole and checked or not at all.

        Raises:
            UserError: what is on disk then is not one map for every test picture.
        """
        if not complete:
            log.error("%s was not written: it has to hold every test picture", self.files[0])
            return None
        with replacing(folder / self.files[0]) as temporary:
            with zipfile.ZipFile(temporary, "w") as archive:  # PNG is compressed as it is
                for name, content in sorted(self._maps.items()):
                    archive.writestr(name, content)
            check_zip(temporary, {self._map_name(name) for name in self._tests()})
        return len(self._maps)

    def _tests(self) -> list[str]:
        """The names of the test pictures that the target is scored in."""
        matches = (IMAGE_NAME.fullmatch(path.name) for path in sorted(self.folder.iterdir()))
        return [match.group() for match in matches if match and match["category"] in self.categories]

    def _map_name(self, picture: str) -> str:
        return picture.replace("_", f"_{self.target}_")

    def _check_tests(self) -> None:
        tests = self._tests()
        if not tests:
            raise UserError(f"{self.folder}: has no test picture of {', '.join(self.categories)}")
        counts = Counter(name.split("_")[0] for name in tests)
        expected = [f"{category}_{number:06d}.png" for category in counts for number in range(counts[category])]
        missing = sorted(set(expected) - set(tests))
        if missing:
            raise UserError(
                f"{self.folder}: {missing[0]} is missing; the numbers of a category run from 000000 without a gap"
            )

    def _check_pictures(self, pictures: Mapping[Path, Calibration | None]) -> None:
        wanted = {real(self.folder) / name for name in self._tests()}
        # By folder and name: the file itself may be a link into a store.
        given = {real(path.parent) / path.name: path for path in pictures}
        problems = []
        missing = sorted(path.name for path in wanted - given.keys())
        if missing:
            problems.append(
                f"{len(missing)} of the {len(wanted)} test pictures in {self.folder} are not in input=: "
                f"{shortlist(missing)}"
            )
        others = sorted(str(given[place]) for place in given.keys() - wanted)
        if others:
            pattern = "um_*.png" if self.target == "lane" else ""
            problems.append(
                f"{len(others)} of the pictures in input= are no test pictures for the {self.target}: "
                f"{shortlist(others)}; give input='{self.folder / pattern}'"
            )
        bare = sorted(path.name for path, calibration in pictures.items() if calibration is None)
        if bare and not problems:
            problems.append(
                f"{len(bare)} test pictures have no calibration in {self.folder.parent / 'calib'}: {shortlist(bare)}; "
                "calibration= takes another folder"
            )
        if problems:
            raise UserError("format=submission: " + "\n".join(problems))

    def _compare_with_published(self) -> None:
        counts = Counter(name.split("_")[0] for name in self._tests())
        held = {category: counts[category] for category in self.categories}
        published = {category: PUBLISHED["testing"][category] for category in self.categories}
        if held != published:
            log.warning(
                "KITTI's server would refuse this submission: %s has %s test pictures of %s instead of %s",
                self.folder,
                *("/".join(str(word) for word in words) for words in (held.values(), held, published.values())),
            )


def check_zip(path: Path, names: set[str]) -> None:
    """Hold a submission against the names that it has to have, and its maps against the grid.

    Raises:
        UserError: naming the first map that is missing, too many, or not 8 bit of the grid's shape.
    """
    with zipfile.ZipFile(path) as archive:
        held = archive.namelist()
        if sorted(held) != sorted(names):
            wrong = sorted(names.symmetric_difference(held)) or sorted(held)
            raise UserError(f"{path}: holds {len(held)} maps instead of {len(names)}, wrong from {wrong[0]} on")
        for name in held:
            values = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            if values is None or values.shape != GRID.shape or values.dtype != np.uint8:
                raise UserError(f"{path}: {name} is no 8-bit map of {GRID.shape[0]} × {GRID.shape[1]}")
