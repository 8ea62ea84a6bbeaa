"""Installing from a local archive: the root is whole and checked, or not there, whatever happens in between."""

import fcntl
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from segkit.data import archive as archive_module
from segkit.data.install import obtain
from segkit.errors import UserError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return pack(tmp_path / "mine.zip", "data_set/")


def pack(path: Path, top: str) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for part in ("training", "testing"):
            for index in range(2):
                target.writestr(f"{top}{part}/image_2/{index}.png", bytes([index]) * 1000)
        target.writestr("__MACOSX/litter", "x")
    return path


def check(folder: Path) -> list[str]:
    """No file may be missing, added or cut short."""
    expected = {f"{part}/image_2/{index}.png" for part in ("training", "testing") for index in range(2)}
    found = {str(path.relative_to(folder)) for path in folder.glob("*/image_2/*")}
    short = [str(path) for path in folder.glob("*/*/*.png") if path.stat().st_size != 1000]
    return [f"{folder}/{name}: missing or too much" for name in sorted(expected ^ found)] + short


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("top", ["", "data_set/"])
@pytest.mark.parametrize("form", ["path", "text", "address"])
def test_installs_and_leaves_the_users_archive(tmp_path: Path, top: str, form: str) -> None:
    archive = pack(tmp_path / "two words.zip", top)
    forms: dict[str, str | Path] = {"path": archive, "text": str(archive), "address": archive.as_uri()}
    root = obtain(forms[form], tmp_path / "data" / "set", check)
    assert check(root) == []
    assert names_in(tmp_path) == {"two words.zip", "data"}
    assert names_in(tmp_path / "data") == {"set"}


def test_an_empty_root_is_filled_through_a_link(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "other_disk").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "other_disk")
    obtain(archive, tmp_path / "set", check)
    assert check(tmp_path / "set") == []
    assert (tmp_path / "set").is_symlink()


def test_a_good_root_is_kept_without_looking_at_the_archive(tmp_path: Path, archive: Path) -> None:
    root = obtain(archive, tmp_path / "set", check)
    before = root.stat().st_ino
    assert obtain(tmp_path / "absent.zip", root, check) == root
    assert root.stat().st_ino == before


def test_another_root_is_not_overwritten(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"data\.root=.*set exists and is not the data set \(.*and 1 more\)"):
        obtain(archive, tmp_path / "set", check)
    assert names_in(tmp_path / "set") == {"thesis.txt"}
    with pytest.raises(UserError, match="it is a file"):
        obtain(archive, archive, check)


def test_failed_check_leaves_no_root(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.zip is not the data set: training/a\.png: bad; b; c; and 2 more\."):
        obtain(archive, tmp_path / "set", lambda folder: [f"{folder}/training/a.png: bad", "b", "c", "d", "e"])
    assert names_in(tmp_path) == {"mine.zip"}


def test_check_sees_the_whole_tree_before_the_root_is_there(tmp_path: Path, archive: Path) -> None:
    def unseen(folder: Path) -> list[str]:
        assert not (tmp_path / "set").exists()
        return check(folder)

    assert check(obtain(archive, tmp_path / "set", unseen)) == []


def test_exception_during_extraction_leaves_no_root(tmp_path: Path, archive: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done > 4000 + 2001:  # verified, and the first files written
            assert len(list((tmp_path / ".set.extracting").rglob("*.png"))) >= 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(archive, tmp_path / "set", check, stop)
    assert names_in(tmp_path) == {"mine.zip"}
    assert check(obtain(archive, tmp_path / "set", check)) == []


def test_sigkill_during_extraction_leaves_no_root(tmp_path: Path, archive: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from segkit.data.install import obtain\n"
        "def kill(done, total):\n"
        "    if done > 6001: os.kill(os.getpid(), signal.SIGKILL)\n"
        "obtain(sys.argv[1], Path(sys.argv[2]), lambda folder: [], kill)\n"
    )
    repository = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", program, str(archive), str(tmp_path / "set")]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    left = tmp_path / ".set.extracting"
    assert list(left.rglob("*.png"))
    assert not (tmp_path / "set").exists()
    (left / "data_set/training/image_2/of_an_older_archive.png").touch()
    assert check(obtain(archive, tmp_path / "set", check)) == []
    assert names_in(tmp_path) == {"mine.zip", "set"}


def test_a_second_process_does_not_interfere(tmp_path: Path, archive: Path) -> None:
    with (tmp_path / ".set.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"data\.root=.*another process is installing it"):
            obtain(archive, tmp_path / "set", check)
    assert check(obtain(archive, tmp_path / "set", check)) == []
    assert names_in(tmp_path) == {"mine.zip", "set"}


def test_full_disk_leaves_nothing(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, mode: str = "r") -> object:
        if mode == "xb" and self.name == "1.png":
            raise OSError(28, "No space left on device", str(self))
        return open(self, mode)

    monkeypatch.setattr(archive_module.Path, "open", full)
    with pytest.raises(UserError, match="No space left on device"):
        obtain(archive, tmp_path / "set", check)
    assert names_in(tmp_path) == {"mine.zip"}


@pytest.mark.parametrize("address", ["ftp://host/a.zip", "s3://bucket/a.zip", "file://elsewhere/a.zip"])
def test_unknown_kind_of_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match=rf"data\.url={address}: takes an http://, https:// or file:// address"):
        obtain(address, tmp_path / "set", check)
    assert names_in(tmp_path) == set()


def test_missing_archive_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.url=.*absent\.zip: there is no file"):
        obtain(tmp_path / "absent.zip", tmp_path / "set", check)
    with pytest.raises(UserError, match=r"a folder is set as data\.root"):
        obtain(tmp_path, tmp_path / "set", check)
