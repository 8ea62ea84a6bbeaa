import numpy as np

from segkit.data.augment import Augmentation
from segkit.data.datasets.camvid import CLASSES, CamVidDataModule
from segkit.data.legend import UNSCORED
from segkit.data.sheet import augmented_sheet, sheet
from segkit.road.dataset import KittiRoadDataModule


def test_the_sheet_shows_each_group_with_its_labels_painted(kitti_root, camvid_root):
    data = KittiRoadDataModule(kitti_root, [16, 48], 2, split="fraction")
    picture = sheet(data, per_group=2)
    assert (picture.dtype, picture.shape) == (np.uint8, (3 * 138, 2 * 414, 3))
    greenish = (picture[..., 1].astype(int) - picture[..., 0] > 100).mean()
    assert greenish > 0.05


def test_below_stand_the_names_of_several_classes_beside_their_colours(camvid_root):
    narrow, wide = (sheet(CamVidDataModule(camvid_root, [15, 20], 2), per_group=count) for count in (1, 6))
    assert narrow.shape[0] > wide.shape[0] == 2 * 310 + 24  # less wide, the names take several lines
    for page in (narrow, wide):
        legend = page[2 * 310 :].reshape(-1, 3)
        for item in CLASSES:
            assert (legend == item.colour).all(1).sum() > 200
        assert (legend == UNSCORED[0]).all(1).sum() > 80  # stripes, and the patches' edges
    assert sheet(CamVidDataModule(camvid_root, [15, 20], 2, classes="road"), per_group=1).shape == (2 * 310, 414, 3)


def test_the_augmented_sheet_shows_samples_beside_their_labels(camvid_root, tmp_path):
    def painted(seed: int) -> np.ndarray:
        # Half as large as what they lie in, so that there is padding.
        common = {"resize": [15, 20], "workers": 0, "cache_dir": tmp_path / "cache", "seed": seed}
        data = CamVidDataModule(camvid_root, [30, 40], 2, augment=Augmentation(flip=0.5), **common)
        data.prepare()
        return augmented_sheet(data)

    first = painted(0)
    assert (first.dtype, first.shape) == (np.uint8, (6 * 310 + 24, 3 * 2 * 414, 3))
    np.testing.assert_array_equal(painted(0), first)
    assert (painted(1) != first).any()
    cells = first[: 6 * 310].reshape(6, 310, 6, 414, 3).swapaxes(1, 2)
    pictures, labels = (cells[:, side::2].reshape(-1, 310, 414, 3) for side in (0, 1))
    for picture, label in zip(pictures, labels, strict=True):
        padding = (picture[40:] == 0).all(-1)
        assert 0.6 < padding.mean() < 0.9
        striped = np.isin(label[40:][padding], [grey[0] for grey in UNSCORED]).mean()
        assert striped > 0.9
