"""Tiny generated data sets in the true layouts, shared by all tests."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data.datasets.cityscapes import CLASSES as STREET
from segkit.data.datasets.cityscapes import LABEL_ID
from segkit.road import Calibration

SMALLEST = [
    "model.weights=null",
    "model.encoder=mobilenet_v3_large",
    "model.fc_channels=null",
]
"""Settings of an FCN whose checkpoints are a fifth of VGG16's, and whose training takes half as long."""

KITTI_SIZES = [(40, 120), (41, 119), (38, 118)]
RED, MAGENTA, BLACK = (255, 0, 0), (255, 0, 255), (0, 0, 0)


def write_rgb(path: Path, pixels: np.ndarray) -> None:
    """Write RGB uint8 (H, W, 3), or one-channel (H, W), as the format that the file's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def road_scene(height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, road label and lane label, each RGB (H, W, 3): a grey trapezium below green, black at the left edge."""
    image = np.full((height, width, 3), (60, 140, 60), np.uint8)
    road = np.zeros((height, width), np.uint8)
    centre = int(rng.integers(width // 3, 2 * width // 3))
    corners = [(centre - 8, height // 2), (centre + 8, height // 2), (centre + 40, height), (centre - 40, height)]
    cv2.fillPoly(road, [np.array(corners, np.int32)], 1)
    image[road == 1] = (110, 110, 115)
    image = np.clip(image + rng.integers(-12, 13, image.shape), 0, 255).astype(np.uint8)
    lane = road.copy()
    lane[:, centre:] = 0
    labels = []
    for area in (road, lane):
        label = np.empty_like(image)
        label[:] = RED
        label[area == 1] = MAGENTA
        label[height // 2 :, : width // 20] = BLACK
        labels.append(label)
    return image, labels[0], labels[1]


def write_kitti(root: Path, count: int = 6, tests: int = 2, seed: int = 0) -> Path:
    """A KITTI road tree: ``count`` training and ``tests`` test pictures in each of um, umm, uu; lane labels for um."""
    rng = np.random.default_rng(seed)
    for category in ("um", "umm", "uu"):
        for i in range(count + tests):
            image, road, lane = road_scene(*KITTI_SIZES[i % 3], rng)
            if i >= count:
                write_rgb(root / f"testing/image_2/{category}_{i - count:06d}.png", image)
                continue
            write_rgb(root / f"training/image_2/{category}_{i:06d}.png", image)
            write_rgb(root / f"training/gt_image_2/{category}_road_{i:06d}.png", road)
            if category == "um":
                write_rgb(root / f"training/gt_image_2/{category}_lane_{i:06d}.png", lane)
    return root


def level_camera(focal: float, centre: tuple[float, float], height: float) -> Calibration:
    """Looks straight ahead from ``height`` metres over the road's origin.

    A road point (x, z) lies at u = focal · x / z + centre[0], v = focal · height / z + centre[1].
    """
    camera = np.array([[focal, 0, centre[0], 0], [0, focal, centre[1], 0], [0, 0, 1, 0]], float)
    motion = np.eye(4)[:3]
    to_road = np.column_stack([np.eye(3), [0, -height, 0]])
    return Calibration(
        {
            **{name: camera for name in ("P0", "P1", "P2", "P3")},
            "R0_rect": np.eye(3),
            "Tr_velo_to_cam": motion,
            "Tr_imu_to_velo": motion,
            "Tr_cam_to_road": to_road,
        }
    )


def write_raw_calibration(
    path: Path, focal: float = 70, centre: tuple[float, float] = (60, 15), rotated: bool = True
) -> Path:
    """A ``calib_cam_to_cam.txt`` of KITTI's raw recordings: camera 3 stands half a metre right of cameras 0 and 2."""

    def line(name: str, matrix: np.ndarray) -> str:
        return f"{name}: " + " ".join(f"{value:g}" for value in matrix.ravel())

    lines = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    for camera, right in ((0, 0.0), (2, 0.0), (3, 0.5)):
        turn = 0.01 * (camera + 1) if rotated else 0.0
        rotation = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        projection = np.array([[focal, 0, centre[0], -focal * right], [0, focal, centre[1], 0], [0, 0, 1, 0]])
        lines += [f"S_rect_{camera:02d}: 1.242000e+03 3.750000e+02", line(f"R_rect_{camera:02d}", rotation)]
        lines += [line(f"P_rect_{camera:02d}", projection)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_calibrations(root: Path) -> None:
    """A calibration file for each picture of a tree of ``write_kitti``: 1.65 m over the road, f = 70 pixels."""
    for image in root.glob("*/image_2/*.png"):
        path = image.parents[1] / "calib" / f"{image.stem}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(level_camera(70, (60, 15), 1.65).text())


def write_camvid(root: Path, train: int = 6, val: int = 3, seed: int = 0) -> Path:
    """A CamVid tree of 30×40 pictures, each a column per class and void."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(12, dtype=np.uint8), 4)[None, :40].repeat(30, 0)
    label[:4] = 11
    for part, count in (("train", train), ("val", val)):
        for i in range(count):
            name = f"{'0001TP' if part == 'train' else '0016E5'}_{i:05d}.png"
            image = np.dstack([label * 20, 255 - label * 20, label * 7])
            image = np.clip(image + rng.integers(-10, 11, image.shape), 0, 255).astype(np.uint8)
            write_rgb(root / part / name, image)
            write_rgb(root / f"{part}annot" / name, label)
    return root


COLOURS = {"ground": (60, 40, 20), "road": (128, 64, 128), "sky": (70, 130, 180)}
"""Classes and colours of ``write_folder``."""

CLASSES_YAML = (
    "names: [ground, road, sky]\ncolours: {ground: [60, 40, 20], road: [128, 64, 128], sky: [70, 130, 180]}\n"
)


def write_folder(root: Path, count: int = 6, colours: bool = False, ending: str = "png") -> Path:
    """``count`` pictures of 30×40 in ``images/`` and masks of three classes in ``masks/``, and ``classes.yaml``.

    A column of each mask is not scored: 255, or black among colours.
    """
    rng = np.random.default_rng(0)
    table = np.zeros((256, 3), np.uint8)
    table[:3] = list(COLOURS.values())
    for i in range(count):
        label = np.zeros((30, 40), np.uint8)
        label[20:, 10 + i : 30] = 1
        label[:10] = 2
        image = np.clip(table[label] + rng.integers(-15, 16, (30, 40, 3)), 0, 255).astype(np.uint8)
        label[:, 0] = 255
        write_rgb(root / f"images/p{i:02d}.{ending}", image)
        write_rgb(root / f"masks/p{i:02d}.png", table[label] if colours else label)
    (root / "classes.yaml").write_text(CLASSES_YAML + "ignore: [255, [0, 0, 0]]\n")
    return root


def street_label(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Train ids uint8 (H, W) of a street: sky, buildings and trees over pavement and road, a few things; 255 below."""
    label = np.full((height, width), 2, np.uint8)
    label[: height // 4] = 10
    label[:, : width // 4] = 8
    label[height // 2 :] = 1
    centre = int(rng.integers(width // 3, 2 * width // 3))
    label[height // 2 :, max(0, centre - width // 4) : centre + width // 4] = 0
    for number in range(3, 19):
        if number in (8, 10):
            continue
        row, column = int(rng.integers(height // 4, height - 6)), int(rng.integers(0, width - 4))
        label[row : row + 5, column : column + 3] = number
    label[-2:] = 255
    return label


def street(height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture RGB (H, W, 3) in the classes' colours, and its train ids (H, W)."""
    label = street_label(height, width, rng)
    table = np.zeros((256, 3), np.uint8)
    table[: len(STREET)] = [item.colour for item in STREET]
    return np.clip(table[label] + rng.integers(-15, 16, (height, width, 3)), 0, 255).astype(np.uint8), label


def label_ids(label: np.ndarray) -> np.ndarray:
    """Cityscapes' label ids of train ids; what is not scored is ``out of roi``."""
    table = np.full(256, 3, np.uint8)
    table[: len(STREET)] = [LABEL_ID[item.name] for item in STREET]
    return table[label]


def write_cityscapes(root: Path, shape: tuple[int, int] = (32, 64)) -> Path:
    """A Cityscapes tree: 4 training pictures of two cities, 2 for validation, 1 test picture with a placeholder."""
    rng = np.random.default_rng(0)
    for part, cities in (("train", ("aachen", "ulm")), ("val", ("lindau",)), ("test", ("berlin",))):
        for city in cities:
            for i in range(1 if part == "test" else 2):
                image, label = street(*shape, rng)
                name = f"{city}_{i:06d}_000019"
                write_rgb(root / f"leftImg8bit/{part}/{city}/{name}_leftImg8bit.png", image)
                write_rgb(root / f"gtFine/{part}/{city}/{name}_gtFine_labelIds.png", label_ids(label))
                write_rgb(root / f"gtFine/{part}/{city}/{name}_gtFine_instanceIds.png", label.astype(np.uint16) * 1000)
    return root


def write_kitti_semantic(root: Path, training: int = 10, testing: int = 2) -> Path:
    """A tree of KITTI's semantic pictures, whose sizes differ."""
    rng = np.random.default_rng(0)
    for i in range(training + testing):
        image, label = street(*KITTI_SIZES[i % 3], rng)
        if i < training:
            write_rgb(root / f"training/image_2/{i:06d}_10.png", image)
            write_rgb(root / f"training/semantic/{i:06d}_10.png", label_ids(label))
            write_rgb(root / f"training/semantic_rgb/{i:06d}_10.png", image)
            write_rgb(root / f"training/instance/{i:06d}_10.png", label_ids(label).astype(np.uint16) * 256)
        else:
            write_rgb(root / f"testing/image_2/{i - training:06d}_10.png", image)
    return root


def write_bdd100k(root: Path) -> Path:
    """A tree of BDD100K's 10k pictures: jpg, and png labels of train ids."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2), ("test", 1)):
        for i in range(count):
            image, label = street(36, 64, rng)
            write_rgb(root / f"images/10k/{part}/{part}-{i:04d}.jpg", image)
            if part != "test":
                write_rgb(root / f"labels/sem_seg/masks/{part}/{part}-{i:04d}.png", label)
    return root


@pytest.fixture
def kitti_root(tmp_path: Path) -> Path:
    """A tiny KITTI road tree of the test's own, free to be damaged."""
    return write_kitti(tmp_path / "data_road")


@pytest.fixture
def camvid_root(tmp_path: Path) -> Path:
    """A tiny CamVid tree of the test's own, free to be damaged."""
    return write_camvid(tmp_path / "camvid")


@pytest.fixture
def make_kitti() -> Callable[..., Path]:
    """``write_kitti``, for tests that need other counts."""
    return write_kitti
