"""Extraction: what is ordinary comes out whole, what is hostile or damaged is refused before anything is written."""

import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from segkit.data import archive as module
from segkit.data.archive import ArchiveError, extract, readable_size
from segkit.errors import UserError

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def pack(path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as target:
        warnings.simplefilter("ignore")  # zipfile warns when it is made to write a name twice
        for name, content in entries:
            target.writestr(name, content, method)
    return path


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def patch(path: Path, header: bytes, offset: int, value: bytes) -> Path:
    """Overwrite a field of the first entry's local or central header."""
    content = bytearray(path.read_bytes())
    start = content.index(header) + offset
    content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


def names_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def encrypted(path: Path) -> None:
    pack(path, [("secret.png", b"x" * 50)])
    patch(patch(path, LOCAL, 6, b"\x01"), CENTRAL, 8, b"\x01")


def with_nul(path: Path) -> None:
    pack(path, [("good.png!evil", b"x")])
    path.write_bytes(path.read_bytes().replace(b"good.png!evil", b"good.png\0evil"))


def wrong_checksum(path: Path) -> None:
    content = pack(path, [("first.png", b"a" * 100), ("second.png", b"b" * 100)], zipfile.ZIP_STORED).read_bytes()
    path.write_bytes(content.replace(b"b" * 100, b"b" * 99 + b"c"))


def broken_stream(path: Path) -> None:
    start = 30 + len("a.png")
    patch(pack(path, [("a.png", bytes(range(256)) * 8)]), LOCAL, start, b"\xff" * 20)


def understated_size(path: Path) -> None:
    patch(pack(path, [("a.png", b"x" * 5000)]), CENTRAL, 24, struct.pack("<I", 10))


def overstated_size(path: Path) -> None:
    patch(pack(path, [("a.png", b"x" * 5000)]), CENTRAL, 24, struct.pack("<I", 6000))


def bomb(path: Path) -> None:
    patch(pack(path, [("zeros", bytes(100_000))]), CENTRAL, 24, struct.pack("<I", 2_000_000_000))


def truncated(path: Path) -> None:
    content = pack(path, [("a.png", b"x" * 5000)], zipfile.ZIP_STORED).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def without_last_bytes(path: Path) -> None:
    content = pack(path, [("a.png", b"x" * 5000)]).read_bytes()
    path.write_bytes(content[:-10])


def entry(*names: str | zipfile.ZipInfo) -> Callable[[Path], object]:
    return lambda path: pack(path, [("harmless.png", b"1"), *((name, b"2") for name in names)])


HOSTILE = {
    "absolute": (entry("/absolute/evil.png"), r"'/absolute/evil.png' has an absolute path"),
    "parent": (entry("../evil.png"), r"'../evil.png' leaves the folder"),
    "inner parent": (entry("a/../../evil.png"), r"'a/../../evil.png' leaves the folder"),
    "drive": (entry("C:evil.png"), "drive letter"),
    "backslash": (entry("..\\evil.png"), "backslash"),
    "nul": (with_nul, "no usable name"),
    "only a dot": (entry("./"), "no usable name"),
    "symbolic link": (entry(with_mode("link", stat.S_IFLNK | 0o777)), "'link' is a symbolic link"),
    "device": (entry(with_mode("null", stat.S_IFCHR | 0o666)), "'null' is neither a regular file nor a folder"),
    "fifo": (entry(with_mode("pipe", stat.S_IFIFO | 0o666)), "'pipe' is neither"),
    "folder as file": (entry(with_mode("folder", stat.S_IFDIR | 0o755)), "'folder' is neither"),
    "twice": (entry("a/b.png", "a/b.png"), "'a/b.png' is there twice"),
    "twice by spelling": (entry("a/b.png", "a/./b.png"), "is there twice"),
    "twice by case": (entry("a/b.png", "A/B.PNG"), "'A/B.PNG' is there twice"),
    "file and folder": (entry("a", "a/b.png"), "'a' is both a file and a folder"),
    "encrypted": (encrypted, "'secret.png' is encrypted"),
    "method": (lambda path: pack(path, [("a.png", b"x" * 99)], zipfile.ZIP_BZIP2), "'a.png' is packed by method 12"),
    "bomb": (bomb, r"would unpack to 2\.0 GB, more than 100 times its size"),
    "checksum": (wrong_checksum, r"'second.png' is damaged"),
    "stream": (broken_stream, r"'a.png' is damaged"),
    "understated": (understated_size, r"'a.png' is damaged"),
    "overstated": (overstated_size, r"'a.png' is damaged"),
    "truncated": (truncated, r"is incomplete or damaged: 2\.6 kB"),
    "no end": (without_last_bytes, "is incomplete or damaged"),
    "html": (
        lambda path: path.write_bytes(b"<html>Sign in</html>"),
        r"is not a zip file: 20 B that begin with '<html>",
    ),
    "empty": (lambda path: path.write_bytes(b""), "is not a zip file: an empty file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_refuses_before_writing(tmp_path: Path, kind: str) -> None:
    make, reason = HOSTILE[kind]
    make(tmp_path / "bad.zip")
    with pytest.raises(ArchiveError, match=reason) as refusal:
        extract(tmp_path / "bad.zip", tmp_path / "into")
    message = str(refusal.value)
    assert str(tmp_path / "bad.zip") in message
    assert "\n" not in message
    assert names_under(tmp_path) == {"bad.zip"}
    assert not Path("/absolute/evil.png").exists()


def test_extracts_files_and_folders(tmp_path: Path) -> None:
    contents = {"data/a/one.png": bytes(range(256)) * 3000, "data/b/empty.txt": b"", "two words ü.txt": b"2"}
    folder = with_mode("data/hollow/", stat.S_IFDIR | 0o755)
    file = with_mode("plain.txt", stat.S_IFREG | 0o644)
    pack(tmp_path / "good.zip", [*contents.items(), (folder, b""), (file, b"3")])
    extract(tmp_path / "good.zip", tmp_path / "new" / "into")
    into = tmp_path / "new" / "into"
    assert {name: (into / name).read_bytes() for name in contents} == contents
    assert names_under(into) == {*contents, "plain.txt", "data", "data/a", "data/b", "data/hollow"}
    assert (into / "data/hollow").is_dir()


def test_progress_counts_verification_and_extraction(tmp_path: Path) -> None:
    pack(tmp_path / "good.zip", [("a", bytes(600_000)), ("b", bytes(5))])
    seen: list[tuple[int, int | None]] = []
    extract(tmp_path / "good.zip", tmp_path / "into", lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {2 * 600_005}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == 2 * 600_005


def test_names_both_figures_when_the_disk_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "good.zip", [("a", bytes(3_000_000))])
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_500_000))
    with pytest.raises(UserError, match=r"unpacks to 3\.0 MB, and .* has 1\.5 MB free") as refusal:
        extract(tmp_path / "good.zip", tmp_path / "into")
    assert not isinstance(refusal.value, ArchiveError)  # the archive is good, and worth keeping
    assert names_under(tmp_path) == {"good.zip"}


def test_small_archives_may_be_packed_tightly(tmp_path: Path) -> None:
    pack(tmp_path / "tight.zip", [("zeros", bytes(2_000_000))])
    assert (tmp_path / "tight.zip").stat().st_size * module.LARGEST_RATIO < 2_000_000
    extract(tmp_path / "tight.zip", tmp_path / "into")
    assert (tmp_path / "into/zeros").stat().st_size == 2_000_000


def test_never_extracts_over_something(tmp_path: Path) -> None:
    pack(tmp_path / "good.zip", [("a", b"new")])
    (tmp_path / "into").mkdir()
    (tmp_path / "into/a").write_bytes(b"old")
    with pytest.raises(UserError, match="is not an empty folder"):
        extract(tmp_path / "good.zip", tmp_path / "into")
    assert (tmp_path / "into/a").read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pack(tmp_path / "good.zip", [("a", b"1")])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"good\.zip could not be extracted into .*file/into"):
        extract(tmp_path / "good.zip", tmp_path / "file" / "into")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_600_000, "2.6 MB"), (3 * 10**13, "30.0 TB")]
)
def test_readable_size(size: int, text: str) -> None:
    assert readable_size(size) == text
