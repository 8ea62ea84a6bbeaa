"""Whole runs with data in a bucket and their folder mirrored there, in processes of their own."""

import json
import shutil
from pathlib import Path

import torch

from tests.commands.test_train import SETTINGS, SIGNALLED, run
from tests.fixtures import write_kitti
from tests.remote.server import Bucket

REMOTE = [*SETTINGS, "data.root=s3://roads/data_road", "upload=s3://roads/runs"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_a_killed_run_goes_on_from_s3_on_another_machine_to_the_same_weights(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_tree(write_kitti(tmp_path / "kitti"), "data_road")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    plain = "from segkit.cli import main; main()"
    done = run(plain, *REMOTE, "hydra.run.dir=outputs/train/whole", cwd=first)
    assert done.returncode == 0, done.stderr
    whole = first / "outputs" / "train" / "whole"
    there = set(bucket.keys("runs/train/whole/"))
    here = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    assert there == {f"runs/train/whole/{name}" for name in here - {".lock"}}
    assert json.loads(bucket.get("runs/train/whole/result.json"))["status"] == "finished"

    # Killed in its third epoch, once the second one's checkpoint is in the bucket.
    script = SIGNALLED.format(hook="on_train_epoch_start", point="(2, None)", signal="SIGKILL")
    waiting = """
import time
def wait(self, trainer, module, before=LastCheckpoint.on_train_epoch_end):
    before(self, trainer, module)
    from segkit.remote import mirror
    while trainer.current_epoch == 1 and "checkpoints/last.ckpt" in sent(): time.sleep(0.05)
def sent():
    import gc
    from segkit.remote.mirror import Mirror
    (found,) = [each for each in gc.get_objects() if isinstance(each, Mirror)]
    return found._changed()
LastCheckpoint.on_train_epoch_end = wait
"""
    script = script.replace("from segkit.cli", f"{waiting}\nfrom segkit.cli")
    killed = run(script, *REMOTE, "hydra.run.dir=outputs/train/cut", cwd=first)
    assert killed.returncode == -9, killed.stderr
    shutil.rmtree(first / "outputs" / "train" / "cut")
    resumed = run(plain, "resume=s3://roads/runs/train/cut", cwd=second)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from" in resumed.stdout
    folder = second / "outputs" / "train" / "cut"
    assert [epoch["epoch"] for epoch in json.loads((folder / "result.json").read_text())["epochs"]] == [1, 2, 3]
    for name, value in weights(whole).items():
        assert torch.equal(weights(folder)[name], value), name
    assert json.loads(bucket.get("runs/train/cut/result.json"))["status"] == "finished"
