import numpy as np

from segkit.data.augment import Augmentation
from segkit.data.datasets.camvid import CamVidDataModule
from segkit.data.sheet import UNSCORED, augmented_sheet, sheet
from segkit.road.dataset import KittiRoadDataModule


def test_the_sheet_shows_each_group_with_its_labels_painted(kitti_root, camvid_root):
    data = KittiRoadDataModule(kitti_root, [16, 48], 2, split="fraction")
    picture = sheet(data, per_group=2)
    assert (picture.dtype, picture.shape) == (np.uint8, (3 * 138, 2 * 414, 3))
    greenish = (picture[..., 1].astype(int) - picture[..., 0] > 100).mean()
    assert greenish > 0.05
    assert sheet(CamVidDataModule(camvid_root, [15, 20], 2), per_group=1).shape == (2 * 310, 414, 3)


def test_the_augmented_sheet_shows_samples_beside_their_labels(camvid_root, tmp_path):
    def painted(seed: int) -> np.ndarray:
        # Half as large as what they lie in, so that there is padding.
        common = {"resize": [15, 20], "workers": 0, "cache_dir": tmp_path / "cache", "seed": seed}
        data = CamVidDataModule(camvid_root, [30, 40], 2, augment=Augmentation(flip=0.5), **common)
        data.prepare()
        return augmented_sheet(data)

    first = painted(0)
    assert (first.dtype, first.shape) == (np.uint8, (6 * 310, 3 * 2 * 414, 3))
    np.testing.assert_array_equal(painted(0), first)
    assert (painted(1) != first).any()
    cells = first.reshape(6, 310, 6, 414, 3).swapaxes(1, 2)
    pictures, labels = (cells[:, side::2].reshape(-1, 310, 414, 3) for side in (0, 1))
    for picture, label in zip(pictures, labels, strict=True):
        padding = (picture[40:] == 0).all(-1)
        assert 0.6 < padding.mean() < 0.9
        striped = np.isin(label[40:][padding], [grey[0] for grey in UNSCORED]).mean()
        assert striped > 0.9
