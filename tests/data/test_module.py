import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from segkit.data.augment import AlbumentationsList, Augmentation
from segkit.data.sampler import SampleKey
from segkit.errors import UserError
from segkit.road.dataset import KittiRoadDataModule
from tests.processes import python

AUGMENT = {"flip": 0.5, "scale": 1.5, "contrast": 0.5, "shadow": 0.5, "noise": 0.02, "classmix": 0.5}


def module(root: Path, **settings) -> KittiRoadDataModule:
    common = {"image_shape": [16, 48], "batch_size": 4, "split": "fraction", "workers": 0}
    common["augment"] = Augmentation(**AUGMENT)
    return KittiRoadDataModule(root, **(common | {"cache_dir": root.parent / "cache"} | settings))


def epoch_of(data: KittiRoadDataModule, epoch: int) -> list[dict]:
    data.setup()
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def assert_same(left: list[dict], right: list[dict]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a["name"] == b["name"]
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["label"], b["label"])


def test_training_batches_are_uint8_in_channels_last_memory(kitti_root):
    batches = epoch_of(module(kitti_root), 0)
    assert sorted(name for batch in batches for name in batch["name"]) == sorted(
        record.name for record in module(kitti_root).records("train")
    )
    image, label = batches[0]["image"], batches[0]["label"]
    assert (image.dtype, tuple(image.shape), label.dtype, tuple(label.shape)) == (
        torch.uint8, (4, 3, 16, 48), torch.uint8, (4, 16, 48)
    )  # fmt: skip
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert set(label.unique().tolist()) <= {0, 1, 255}


def test_evaluation_batches_keep_the_labels_at_their_own_sizes(kitti_root):
    data = module(kitti_root)
    data.setup()
    [batch] = list(data.val_dataloader())
    records = data.records("val")
    assert batch["name"] == [record.name for record in records]
    for record, image, label in zip(records, batch["image"], batch["label"], strict=True):
        np.testing.assert_array_equal(label.numpy(), data.read_label(record.label))
        own = cv2.imread(str(record.image))[..., ::-1]
        expected = cv2.resize(own, (48, 16), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_unlabelled_test_pictures_are_unscored_at_their_own_sizes(kitti_root):
    data = module(kitti_root)
    data.setup()
    labels = [label for batch in data.test_dataloader() for label in batch["label"]]
    sizes = [cv2.imread(str(record.image)).shape[:2] for record in data.records("test")]
    assert [tuple(label.shape) for label in labels] == sizes
    assert all((label == 255).all() for label in labels)


def test_epochs_differ_and_each_repeats(kitti_root):
    first = epoch_of(module(kitti_root), 0)
    assert_same(first, epoch_of(module(kitti_root), 0))
    second = epoch_of(module(kitti_root), 1)
    assert [batch["name"] for batch in first] != [batch["name"] for batch in second]
    other_seed = epoch_of(module(kitti_root, seed=1), 0)
    assert [batch["name"] for batch in first] != [batch["name"] for batch in other_seed]


@pytest.mark.parametrize("augment", [Augmentation(**AUGMENT), AlbumentationsList([{"name": "GaussNoise", "p": 1.0}])])
def test_worker_processes_change_nothing(kitti_root, augment):
    """Persistent ones, over two epochs. Validation starts none."""
    alone, helped = module(kitti_root, augment=augment), module(kitti_root, augment=augment, workers=2)
    loaders = []
    for data in (alone, helped):
        data.setup()
        loaders.append(data.train_dataloader())
    for epoch in (0, 1):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        assert_same(list(loaders[0]), list(loaders[1]))
    assert all(batch["image"].is_contiguous(memory_format=torch.channels_last) for batch in loaders[1])
    processes = {child.pid for child in multiprocessing.active_children()}
    [expected], [batch] = list(alone.val_dataloader()), list(helped.val_dataloader())
    assert torch.equal(expected["image"], batch["image"])
    assert all(torch.equal(a, b) for a, b in zip(expected["label"], batch["label"], strict=True))
    assert {child.pid for child in multiprocessing.active_children()} <= processes


class Recorder(LightningModule):
    """Notes every training batch; ``step`` is its only weight."""

    def __init__(self) -> None:
        super().__init__()
        self.step = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[str], int]] = []

    def training_step(self, batch: dict, index: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch["name"], int(batch["image"].sum())))
        return self.step * 1.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_sees_what_the_uninterrupted_one_saw(kitti_root, tmp_path, workers):
    def fit(epochs: int, checkpoint: str | None = None) -> tuple[Trainer, Recorder]:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **quiet)
        recorder = Recorder()
        trainer.fit(recorder, module(kitti_root, workers=workers), ckpt_path=checkpoint)
        return trainer, recorder

    _, whole = fit(3)
    assert len({tuple(names) for _, names, _ in whole.seen}) > 4
    trainer, begun = fit(1)
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    _, resumed = fit(3, str(tmp_path / "first.ckpt"))
    assert begun.seen + resumed.seen == whole.seen


def test_processes_share_each_epoch(kitti_root):
    class Attached:
        current_epoch, world_size = 2, 2

        def __init__(self, rank: int) -> None:
            self.global_rank = rank
            self.strategy = SimpleNamespace(root_device=torch.device("cpu"))

    alone = module(kitti_root, batch_size=1)
    expected = {batch["name"][0]: batch["image"] for batch in epoch_of(alone, 2)}
    names = []
    for rank in range(2):
        data = module(kitti_root, batch_size=1)
        data.trainer = Attached(rank)
        data.setup()
        batches = list(data.train_dataloader())
        assert len(batches) == 8
        assert all(torch.equal(batch["image"], expected[batch["name"][0]]) for batch in batches)
        names += [batch["name"][0] for batch in batches]
    assert len(names) == 16
    assert set(names) == set(expected)


@pytest.mark.parametrize(
    ("augment", "fits", "resident"),
    [
        (None, True, True),
        (Augmentation(**AUGMENT), True, True),
        (Augmentation(), False, False),
        (AlbumentationsList([]), True, False),
    ],
)
def test_a_set_lies_on_the_gpu_where_it_fits_and_is_augmented_there(kitti_root, monkeypatch, augment, fits, resident):
    data = module(kitti_root, augment=augment)
    data.setup()
    monkeypatch.setattr("segkit.data.module.fits", lambda entries, device: fits)
    monkeypatch.setattr("segkit.data.module.ResidentLoader", lambda *given: SimpleNamespace(sampler=given[5]))
    strategy = SimpleNamespace(root_device=torch.device("cuda"))
    data.trainer = SimpleNamespace(current_epoch=3, world_size=1, global_rank=0, strategy=strategy)
    loader = data.train_dataloader()
    assert isinstance(loader, SimpleNamespace) == resident
    assert loader.sampler.epoch == 3


def test_a_sample_that_does_not_count_is_the_same_picture_without_a_scored_pixel(kitti_root):
    data = module(kitti_root)
    data.prepare()
    samples = data.training_set()
    (image, label, _), (same, unscored, _) = (samples[SampleKey(0, 1, counts)] for counts in (True, False))
    np.testing.assert_array_equal(same, image)
    assert (label != 255).any()
    assert (unscored == 255).all()


def test_progress_counts_every_picture(kitti_root):
    calls: list[tuple[int, int]] = []
    module(kitti_root).prepare(lambda done, total: calls.append((done, total)))
    assert calls == [(i, 24) for i in range(1, 25)]


def test_a_wrong_augmentation_is_refused_before_any_file_is_opened(kitti_root):
    with pytest.raises(UserError, match=r"augment\.paste_classes: there is no class lorry;"):
        module(kitti_root, augment=Augmentation(paste=0.5, paste_classes=["road", "lorry"])).prepare()
    with pytest.raises(UserError, match=r"data\.image_shape=\[16, 48\]"):
        module(kitti_root, augment=AlbumentationsList([{"name": "RandomScale", "p": 1.0}])).prepare()
    with pytest.raises(UserError, match=r"data\.augment=\[\].*_target_"):
        module(kitti_root, augment=[])
    assert not (kitti_root.parent / "cache").exists()


def test_a_full_disk_is_reported_at_once(kitti_root):
    (kitti_root.parent / "cache").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"data\.cache_dir="):
        module(kitti_root).prepare()


INTERRUPTED = """
import os, signal, sys, time
from segkit.road.dataset import KittiRoadDataModule

def main():
    data = KittiRoadDataModule(sys.argv[1], [16, 48], 1, split="fraction", workers=2, cache_dir=sys.argv[2])
    data.setup()
    batches = iter(data.train_dataloader())  # its workers are still starting
    try:
        os.killpg(os.getpgrp(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt:
        print(len(list(batches)))

main()
"""


def test_the_interrupt_key_reaches_the_main_process_alone(kitti_root):
    run = python(INTERRUPTED, str(kitti_root), str(kitti_root.parent / "cache"), spawns=1)
    assert (run.stdout, run.returncode) == ("15\n", 0), run.stderr
