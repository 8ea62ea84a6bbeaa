"""Points of a line: several trainings in one process."""

from pathlib import Path

from segkit.benchmarks import points


def test_each_run_has_its_figures_or_its_error_and_leaves_nothing(kitti_root: Path, tmp_path: Path) -> None:
    common = [
        f"data.root={kitti_root}", f"data.cache_dir={tmp_path}/cache", "data.image_shape=[32,32]", "data.workers=0",
        "data.split=none", "model.weights=null", "model.fc_channels=4", "trainer.max_epochs=1", "trainer.gpus=0",
        "augment=none",
    ]  # fmt: skip
    runs = [[*common, "data.batch_size=9"], [*common, "model.learning_rate=1e30", "data.batch_size=3"]]
    good, bad = points.measure(runs, tmp_path / "run")
    assert [epoch["epoch"] for epoch in good["epochs"]] == [1]
    assert good["gpu_memory_gib"] is None
    assert "training stopped" in bad["error"]
    assert not (tmp_path / "run").exists()
