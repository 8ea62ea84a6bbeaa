"""Copies of what lies in a bucket: whole, taken up again, shared, and a clear line for whatever goes wrong."""

import io
import os
import re
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from botocore.retries import standard

from segkit.errors import UserError
from segkit.remote import copying, s3
from segkit.remote.local import local_place, local_settings
from tests.processes import Program, python
from tests.remote.server import Bucket

FILES = {"training/image_2/um_0.png": b"a" * 100, "training/gt/um_0.png": b"", "readme.txt": b"text"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(copying, "RETRY_DELAY", 0.0)
    monkeypatch.setattr(copying, "PIECE", 1000)
    return tmp_path / "cache"


def files_in(folder: str | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def fill(bucket: Bucket, folder: str = "set", files: dict[str, bytes] = FILES) -> None:
    for name, content in files.items():
        bucket.put(f"{folder}/{name}", content)


def mistake(place: str, key: str = "data.root") -> str:
    """The one line that the user sees."""
    with pytest.raises(UserError) as caught:
        local_place(key, place)
    text = str(caught.value)
    assert text.startswith(f"{key}={place}: "), text
    assert "\n" not in text
    return text


def answers(status: str, code: str, when: str = "GET") -> Callable[..., Any]:
    """A fault: the server refuses with an error of S3's, as XML."""

    def fault(environ: dict[str, Any], start_response: Callable[..., Any], true: Any) -> Iterable[bytes] | None:
        if environ["REQUEST_METHOD"] != when:
            return None
        body = f"<Error><Code>{code}</Code><Message>as asked</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return fault


def test_a_local_place_is_left_alone() -> None:
    assert local_place("data.root", "data/data_road") == "data/data_road"
    settings = {"data": {"root": "here"}, "checkpoint": ["a", "b"], "predictions": 16, "init_from": None}
    assert local_settings(settings) == settings


def test_a_folder_is_copied_once_and_what_changed_there_again(bucket: Bucket) -> None:
    fill(bucket)
    bucket.put("set/", b"")  # a folder as consoles make them
    bucket.put("set-of-others/x", b"not this one")
    place = local_place("data.root", "s3://roads/set")
    assert Path(place).name == "set"
    assert files_in(place) == FILES
    bucket.requests.clear()
    assert local_place("data.root", "s3://roads/set/") == place
    assert bucket.gets() == []

    bucket.put("set/readme.txt", b"TEXT")
    bucket.client.delete_object(Bucket="roads", Key="set/training/gt/um_0.png")
    bucket.put("set/training/gt", b"a file by now")
    assert local_place("data.root", "s3://roads/set") == place
    assert sorted(bucket.gets()) == ["/roads/set/readme.txt", "/roads/set/training/gt"]
    assert files_in(place) == {
        "training/image_2/um_0.png": b"a" * 100, "training/gt": b"a file by now", "readme.txt": b"TEXT",
    }  # fmt: skip


def test_a_copy_that_somebody_has_damaged_is_mended(bucket: Bucket) -> None:
    fill(bucket)
    place = Path(local_place("data.root", "s3://roads/set"))
    (place / "readme.txt").write_bytes(b"te")
    (place / "training/image_2/um_0.png").unlink()
    local_place("data.root", "s3://roads/set")
    assert files_in(place) == FILES


def test_a_file_alone_a_whole_bucket_and_several_places(bucket: Bucket) -> None:
    fill(bucket)
    settings = {"model": {"weights": "s3://roads/set/readme.txt"}, "checkpoint": ["here", "s3://roads/set/readme.txt"]}
    made = local_settings(settings)
    assert Path(made["model"]["weights"]).read_bytes() == b"text"
    assert Path(made["model"]["weights"]).name == "readme.txt"
    assert made["checkpoint"][0] == "here"
    assert Path(made["checkpoint"][1]).read_bytes() == b"text"
    assert settings["checkpoint"][1].startswith("s3://"), "the settings themselves are kept as typed"
    bucket.put("weights.pth.tar", b"no archive")
    assert Path(local_place("model.weights", "s3://roads/weights.pth.tar")).read_bytes() == b"no archive"
    bucket.client.delete_object(Bucket="roads", Key="weights.pth.tar")
    assert set(files_in(local_place("input", "s3://roads"))) == {f"set/{name}" for name in FILES}


def content(size: int) -> bytes:
    return bytes(i * i % 251 for i in range(size))


def cut(after: int, times: int = 1) -> Callable[..., Any]:
    """A fault: files break off after so many bytes, the first ``times``."""
    left = [times]

    def fault(environ: dict[str, Any], start_response: Callable[..., Any], true: Any) -> Iterable[bytes] | None:
        if environ["REQUEST_METHOD"] != "GET" or "list-type" in environ["QUERY_STRING"] or not left[0]:
            return None
        left[0] -= 1

        def broken() -> Iterable[bytes]:
            yield b"".join(true())[:after]
            raise ConnectionResetError

        return broken()

    return fault


def test_a_connection_that_is_cut_goes_on_where_it_was(bucket: Bucket) -> None:
    bucket.put("large.bin", content(3500))
    bucket.fault = cut(after=300, times=3)
    assert Path(local_place("input", "s3://roads/large.bin")).read_bytes() == content(3500)


def test_a_server_that_falls_silent_is_asked_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("large.bin", content(900))
    monkeypatch.setattr(s3, "READ_TIMEOUT", 0.3)
    asked = [threading.Event(), threading.Event()]

    def fault(environ: dict[str, Any], start_response: Any, true: Any) -> None:
        if "list-type" not in environ["QUERY_STRING"]:
            (asked[1] if asked[0].is_set() else asked[0]).set()
            asked[1].wait(20)  # the first request until there is a second one

    bucket.fault = fault
    assert Path(local_place("input", "s3://roads/large.bin")).read_bytes() == content(900)
    assert len(bucket.gets()) == 2


@pytest.mark.parametrize("listing", [False, True])
def test_a_busy_server_is_asked_again(listing: bool, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(bucket)
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda self, context: 0.0)
    refuse, left = answers("503 Slow Down", "SlowDown"), [5 if listing else 2]

    def fault(environ: dict[str, Any], *rest: Any) -> Iterable[bytes] | None:
        if ("list-type" in environ["QUERY_STRING"]) != listing or not left[0]:
            return None
        left[0] -= 1
        return refuse(environ, *rest)

    bucket.fault = fault
    assert files_in(local_place("data.root", "s3://roads/set")) == FILES


def test_what_was_copied_before_it_failed_is_not_copied_again(bucket: Bucket, cache: Path) -> None:
    bucket.put("set/large.bin", content(4500))
    bucket.put("set/small.bin", b"small")

    def fault(environ: dict[str, Any], start_response: Any, true: Any) -> Iterable[bytes] | None:
        refused = "bytes=3000-" in environ.get("HTTP_RANGE", "")
        return answers("403 Forbidden", "AccessDenied")(environ, start_response, true) if refused else None

    bucket.fault = fault
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "THREADS", 1)  # so that it is known what came before
        assert "s3:GetObject" in mistake("s3://roads/set")
    assert not list(cache.rglob("set/large.bin")), "half a file has not the name of a whole one"
    bucket.fault = None
    bucket.requests.clear()
    assert files_in(local_place("data.root", "s3://roads/set"))["large.bin"] == content(4500)
    assert bucket.gets().count("/roads/set/large.bin") == 2


def test_pieces_of_an_earlier_copy_do_not_count(bucket: Bucket) -> None:
    bucket.put("set/large.bin", content(4500))
    place = Path(local_place("data.root", "s3://roads/set"), "large.bin")
    place.unlink()

    def fault(environ: dict[str, Any], start_response: Any, true: Any) -> Iterable[bytes] | None:
        refused = "bytes=2000-" in environ.get("HTTP_RANGE", "")
        return answers("403 Forbidden", "AccessDenied")(environ, start_response, true) if refused else None

    bucket.fault = fault
    mistake("s3://roads/set")
    bucket.fault = None
    local_place("data.root", "s3://roads/set")
    assert place.read_bytes() == content(4500)


KILLED = """
import os, signal, sys
from segkit.remote import copying, s3
copying.PIECE, copying.THREADS = 1000, 1
take, pieces = copying._File.take, []
def killed(self, *rest):
    if len(pieces) == 3:
        with open(copying.Path(self.tree).parent / "journal", "a") as file:
            file.write('["set/lar')  # as a kill leaves it that comes in the middle of a line
        os.kill(os.getpid(), signal.SIGKILL)
    pieces.append(take(self, *rest))
copying._File.take = killed
from segkit.remote.local import local_place
local_place("data.root", "s3://roads/set")
"""


def test_a_killed_copy_goes_on(bucket: Bucket, cache: Path) -> None:
    bucket.put("set/large.bin", content(5500))
    done = python(KILLED)
    assert done.returncode == -9, done.stderr
    bucket.requests.clear()
    assert files_in(local_place("data.root", "s3://roads/set")) == {"large.bin": content(5500)}
    assert len(bucket.gets()) == 3
    assert sorted(path.name for path in cache.glob("*/*")) == ["journal", "set"]


def test_two_processes_copy_once(bucket: Bucket) -> None:
    fill(bucket, files={f"{i}.bin": content(50) for i in range(40)})
    script = "from segkit.remote.local import local_place; print(local_place('input', 's3://roads/set'))"
    both = [Program(script) for _ in range(2)]
    places = {process.communicate().strip() for process in both}
    assert len(places) == 1
    assert len(files_in(places.pop())) == 40
    assert sorted(bucket.gets()) == sorted(f"/roads/set/{i}.bin" for i in range(40))


def test_what_changes_while_it_is_copied_is_never_mixed(bucket: Bucket) -> None:
    bucket.put("large.bin", content(3000))
    changed = []

    def fault(environ: dict[str, Any], start_response: Any, true: Any) -> None:
        if "HTTP_RANGE" in environ and not changed:
            changed.append(True)
            bucket.put("large.bin", b"x" * 3000)

    bucket.fault = fault
    assert "has changed while it was copied; run the command again" in mistake("s3://roads/large.bin", "input")
    assert Path(local_place("input", "s3://roads/large.bin")).read_bytes() == b"x" * 3000


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["../escaped"], "no path of a file"),
        (["a/../../escaped"], "no path of a file"),
        (["/absolute"], "no path of a file"),
        (["a//b"], "no path of a file"),
        (["a\\b"], "no path of a file"),
        (["Um.png", "um.png"], "upper and lower case"),
        (["a", "a/b"], "both a file and a folder"),
    ],
)
def test_names_that_cannot_be_files_here(
    names: list[str], told: str, bucket: Bucket, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segkit.remote.address import Entry
    from segkit.remote.s3 import S3

    # As a server may list them; no client would let a test put all of them there.
    entries = [Entry(name, f"set/{name}", 1, "tag") for name in names]
    monkeypatch.setattr(S3, "entries", lambda self: (entries, False))
    text = mistake("s3://roads/set")
    assert told in text
    assert "nothing was copied" in text
    assert not [path for path in cache.parent.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_mistakes_in_the_address(bucket: Bucket) -> None:
    fill(bucket)
    assert "there is nothing; aws s3 ls s3://roads shows what there is" in mistake("s3://roads/data_raod")
    assert "there is nothing" in mistake("s3://roads/set/training/nowhere")
    assert "no bucket of this name" in mistake("s3://rods/set")
    assert "no bucket's name" in mistake("s3://No_Bucket!/set")
    assert "names no bucket" in mistake("s3:///set")
    assert ". and .." in mistake("s3://roads/../other")
    assert "s3://, gs://, hf:// and https://" in mistake("s4://roads/set")
    bucket.put("empty/", b"")
    assert "there is nothing" in mistake("s3://roads/empty")


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        ("403 Forbidden", "AccessDenied", "needs s3:ListBucket on bucket roads"),
        ("400 Bad Request", "ExpiredToken", "the credentials have expired; sign in (aws configure, aws sso login)"),
        ("403 Forbidden", "InvalidAccessKeyId", "the access key is not known there"),
        ("403 Forbidden", "SignatureDoesNotMatch", "the secret key does not fit"),
        ("403 Forbidden", "RequestTimeTooSkewed", "clock"),
        ("503 Slow Down", "SlowDown", "overloaded"),
        ("418 Teapot", "SomethingNew", "the server answers SomethingNew: as asked"),
    ],
)
def test_what_the_server_refuses(status: str, code: str, told: str, bucket: Bucket) -> None:
    fill(bucket)
    bucket.fault = answers(status, code)
    assert told in mistake("s3://roads/set")


def test_a_file_that_may_be_read_but_not_listed(bucket: Bucket) -> None:
    fill(bucket)

    def fault(environ: dict[str, Any], *rest: Any) -> Iterable[bytes] | None:
        listed = "list-type" in environ["QUERY_STRING"]
        return answers("403 Forbidden", "AccessDenied")(environ, *rest) if listed else None

    bucket.fault = fault
    assert Path(local_place("input", "s3://roads/set/readme.txt")).read_bytes() == b"text"


def test_without_credentials_requests_are_not_signed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(bucket)
    for name in FILES:
        bucket.client.put_object_acl(Bucket="roads", Key=f"set/{name}", ACL="public-read")
    signed = []

    def fault(environ: dict[str, Any], *rest: Any) -> None:
        signed.append("HTTP_AUTHORIZATION" in environ)

    bucket.fault = fault
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert files_in(local_place("data.root", "s3://roads/set")) == FILES
    assert not any(signed)
    bucket.fault = answers("403 Forbidden", "AccessDenied")
    assert "is not public, and no credentials were found; sign in" in mistake("s3://roads/other")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in mistake("s3://roads/other")


def test_which_file_of_many_it_is_about_is_told(bucket: Bucket) -> None:
    fill(bucket)

    def fault(environ: dict[str, Any], *rest: Any) -> Iterable[bytes] | None:
        archived = environ["PATH_INFO"].endswith("readme.txt")
        return answers("403 Forbidden", "InvalidObjectState")(environ, *rest) if archived else None

    bucket.fault = fault
    told = "readme.txt: it is archived (Glacier); restore it first: aws s3api restore-object"
    assert mistake("s3://roads/set") == f"data.root=s3://roads/set: {told}"
    alone = "s3://roads/set/readme.txt"
    assert mistake(alone, "input") == f"input={alone}: {told.removeprefix('readme.txt: ')}"


def test_nobody_answers(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "no answer from http://127.0.0.1:9; look at the network and at AWS_ENDPOINT_URL" in mistake("s3://roads/set")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1")
    assert "AWS_ENDPOINT_URL" in mistake("s3://roads/set")


def test_a_disk_that_is_full(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    fill(bucket)

    def full(*arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        text = mistake("s3://roads/set")
    assert "No space left on device. Make room there, or set SEGKIT_CACHE" in text
    usage = type("Usage", (), {"free": 50})
    with monkeypatch.context() as patch:
        patch.setattr(copying.shutil, "disk_usage", lambda path: usage)
        assert "104 B are to be copied, and" in mistake("s3://roads/set")
    assert files_in(local_place("data.root", "s3://roads/set")) == FILES
    monkeypatch.setenv("SEGKIT_CACHE", "/proc/nowhere")
    assert "/proc/nowhere" in mistake("s3://roads/set")


def test_boto3_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert mistake("s3://roads/set").endswith("needs boto3: pip install 'segkit[aws]'")


def archived(kind: str, top: str = "") -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            for name, data in FILES.items():
                file.writestr(f"{top}{name}", data)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tar.gz" else "w") as tar:
            for name, data in FILES.items():
                about = tarfile.TarInfo(f"{top}{name}")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("top", ["", "data_road/"])
def test_an_archive_is_unpacked_once(kind: str, top: str, bucket: Bucket) -> None:
    bucket.put(f"data_road.{kind}", archived(kind, top))
    place = local_place("data.root", f"s3://roads/data_road.{kind}")
    assert files_in(place) == FILES
    before = Path(place).stat().st_mtime_ns
    assert local_place("data.root", f"s3://roads/data_road.{kind}") == place
    assert Path(place).stat().st_mtime_ns == before


def test_archives_that_are_no_archives(bucket: Bucket, cache: Path) -> None:
    bucket.put("a.zip", b"no zip file")
    assert "is not a zip file" in mistake("s3://roads/a.zip")
    bucket.put("a.tar", b"no tar file")
    assert "is no sound tar file" in mistake("s3://roads/a.tar")
    bucket.put("b.tar", archived("tar", top="../../"))
    assert "is no sound tar file" in mistake("s3://roads/b.tar")
    assert not list(cache.rglob("readme.txt"))
    bucket.put("a.tar", archived("tar"))  # mended there
    assert files_in(local_place("data.root", "s3://roads/a.tar")) == FILES


def test_of_a_run_folder_what_is_needed(bucket: Bucket) -> None:
    run = [".hydra/config.yaml", "result.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "code/mine.py"]
    run += ["tensorboard/events", "predictions/overlay/um.png"]
    fill(bucket, "runs/a", dict.fromkeys(run, b"x"))
    assert set(files_in(local_place("init_from", "s3://roads/runs/a"))) == {*run[:3], "code/mine.py"}
    one = Path(local_place("checkpoint", "s3://roads/runs/a/checkpoints/last.ckpt"))
    assert set(files_in(one.parents[1])) == {*run[:2], "checkpoints/last.ckpt", "code/mine.py"}
    assert set(files_in(local_place("sweep", "s3://roads/runs"))) == {
        f"a/{name}" for name in run if not re.search("ckpt|tensorboard", name)
    }
    assert "there is no such file" in mistake("s3://roads/runs/a/checkpoints/none.ckpt", "checkpoint")


def test_places_that_are_written_are_of_this_machine() -> None:
    with pytest.raises(UserError, match="output=s3://roads/painted: is written; give a folder or file of this machine"):
        local_settings({"output": "s3://roads/painted"})


def test_other_schemes_go_through_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name, data in FILES.items():
        memory.pipe(f"/store/set/{name}", data)
    memory.pipe("/store/large.bin", content(3500))
    place = local_place("data.root", "memory://store/set")
    assert files_in(place) == FILES
    assert Path(local_place("input", "memory://store/large.bin")).read_bytes() == content(3500)
    assert "there is nothing" in mistake("memory://store/nowhere")
    memory.pipe("/store/set/readme.txt", b"other")
    assert Path(local_place("data.root", "memory://store/set"), "readme.txt").read_bytes() == b"other"
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert mistake("gs://bucket/set").endswith("needs a package: pip install 'gcsfs'")


def test_a_file_of_a_web_server(bucket: Bucket) -> None:
    pytest.importorskip("aiohttp")
    bucket.put("weights.pth", content(2500))
    bucket.client.put_object_acl(Bucket="roads", Key="weights.pth", ACL="public-read")
    place = local_place("model.weights", f"{bucket.endpoint}/roads/weights.pth")
    assert Path(place).read_bytes() == content(2500)
    assert "there is nothing" in mistake(f"{bucket.endpoint}/roads/none.pth", "model.weights")
