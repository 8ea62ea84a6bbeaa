"""The mirror of a run folder: what is sent when, what happens when it cannot be, and whose it is."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segkit.errors import Interrupted, UserError
from segkit.remote import mirror
from segkit.remote.mirror import RECORD, Mirror, mirrored
from segkit.remote.run_folder import fetch_run
from tests.remote.server import Bucket
from tests.remote.test_local import answers

UPLOAD = "s3://roads/runs"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with a config, below outputs/ of the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mirror, "POLL", 0.01)
    monkeypatch.setattr(mirror, "RETRY", 0.02)
    folder = tmp_path / "outputs" / "train" / "run"
    write(folder / ".hydra" / "config.yaml", "name: train")
    write(folder / ".lock", "")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def soon(holds: Callable[[], bool]) -> None:
    """Wait until the mirror's thread has done something."""
    for _ in range(1000):
        if holds():
            return
        threading.Event().wait(0.01)
    pytest.fail("it never came")


def sent(bucket: Bucket) -> list[str]:
    puts = [path for method, path, _ in bucket.requests if method == "PUT"]
    return [path.removeprefix("/roads/runs/train/run/") for path in puts if not path.endswith(RECORD)]


def test_what_is_new_is_sent_after_an_epoch_the_last_checkpoint_first(bucket: Bucket, folder: Path) -> None:
    with mirrored(folder, UPLOAD):
        soon(lambda: sent(bucket) == [".hydra/config.yaml"])
        write(folder / "tensorboard" / "events", "1")
        write(folder / "checkpoints" / ".last.ckpt.part", "half")
        write(folder / "checkpoints" / "best.ckpt", "best")
        soon(lambda: "checkpoints/best.ckpt" in sent(bucket) and "tensorboard/events" in sent(bucket))
        # All at once, as far as the thread is concerned.
        Path("aside").mkdir()
        write(Path("aside", "result.json"), "{}")
        write(Path("aside", "best.ckpt"), "better")
        write(Path("aside", "last.ckpt"), "last")
        before = len(sent(bucket))
        for name in ("last.ckpt", "best.ckpt"):
            Path("aside", name).rename(folder / "checkpoints" / name)
        Path("aside", "result.json").rename(folder / "result.json")
        soon(lambda: len(sent(bucket)) >= before + 3)
        write(folder / "train.log", "the end")
    assert "checkpoints/.last.ckpt.part" not in sent(bucket)
    assert bucket.get("runs/train/run/checkpoints/best.ckpt") == b"better"
    assert bucket.get("runs/train/run/train.log") == b"the end"
    assert sorted(bucket.keys("runs/")) == [
        f"runs/train/run/{name}"
        for name in (".hydra/config.yaml", RECORD, "checkpoints/best.ckpt", "checkpoints/last.ckpt", "result.json",
                     "tensorboard/events", "train.log")
    ]  # fmt: skip


def test_the_order_of_what_is_sent(bucket: Bucket, folder: Path) -> None:
    for name in ("result.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "a/picture.png"):
        write(folder / name, name)
    with mirrored(folder, UPLOAD):
        pass
    assert sent(bucket)[:2] == ["checkpoints/last.ckpt", "checkpoints/best.ckpt"]


def test_training_does_not_wait(bucket: Bucket, folder: Path) -> None:
    held, reached = threading.Event(), threading.Event()

    def fault(environ: dict[str, Any], start_response: Any, true: Any) -> None:
        if environ["REQUEST_METHOD"] == "PUT" and not environ["PATH_INFO"].endswith(RECORD):
            reached.set()
            held.wait(20)

    bucket.fault = fault
    with mirrored(folder, UPLOAD):
        assert reached.wait(20)
        write(folder / "result.json", "{}")  # reached at all, with a request that nobody answers
        held.set()
    assert bucket.get("runs/train/run/result.json") == b"{}"


def test_what_cannot_be_sent_is_tried_again(bucket: Bucket, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), mirrored(folder, UPLOAD):
        soon(lambda: sent(bucket) == [".hydra/config.yaml"])
        bucket.fault = answers("400 Bad Request", "ExpiredToken", when="PUT")
        write(folder / "checkpoints" / "last.ckpt", "last")
        write(folder / "result.json", "{}")
        soon(lambda: "the credentials have expired" in caplog.text)
        bucket.fault = None
        soon(lambda: "runs/train/run/checkpoints/last.ckpt" in bucket.keys("runs/"))
    assert caplog.text.count("have expired") == 1
    assert "it is tried again" in caplog.text
    assert f"mirrored: {UPLOAD}/train/run" in caplog.text


def test_what_was_never_sent_is_named_and_kept(
    bucket: Bucket, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LAST_ATTEMPTS", 2)

    def run() -> None:
        with mirrored(folder, UPLOAD):
            soon(lambda: sent(bucket) == [".hydra/config.yaml"])
            bucket.fault = answers("403 Forbidden", "AccessDenied", when="PUT")
            write(folder / "checkpoints" / "last.ckpt", "last")
            write(folder / "result.json", "{}")

    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 1
    last = caplog.messages[-1]
    assert f"upload={UPLOAD}: no permission (as asked); your user or role needs s3:PutObject on bucket roads" in last
    assert "not sent: checkpoints/last.ckpt, result.json. All of it is in" in last
    assert f"resume={folder} sends the rest" in last
    bucket.fault = None
    bucket.requests.clear()
    with mirrored(folder, UPLOAD):
        pass
    assert sorted(sent(bucket)) == ["checkpoints/last.ckpt", "result.json"]


def test_a_run_that_ends_badly_keeps_its_own_exit_code(bucket: Bucket, folder: Path) -> None:
    def run() -> None:
        with mirrored(folder, UPLOAD):
            write(folder / "checkpoints" / "last.ckpt", "last")
            write(folder / "result.json", "{}")
            raise Interrupted(15)

    with pytest.raises(Interrupted) as caught:
        run()
    assert caught.value.code == 143
    assert bucket.get("runs/train/run/checkpoints/last.ckpt") == b"last"


def test_a_run_that_comes_to_nothing_leaves_nothing(bucket: Bucket, folder: Path) -> None:
    def run() -> None:
        with mirrored(folder, UPLOAD):
            soon(lambda: sent(bucket) == [".hydra/config.yaml"])
            raise UserError("no such data")

    with pytest.raises(UserError, match="no such data"):
        run()
    assert bucket.keys() == []
    assert not (folder / RECORD).exists()


def test_the_place_is_told_at_once_where_it_cannot_be_written(bucket: Bucket, folder: Path) -> None:
    for upload, told in (
        ("s3://rods/runs", "no bucket of this name"),
        ("gs://roads/runs", "runs are mirrored to S3 alone"),
        ("outputs/runs", "names no bucket"),
    ):
        with pytest.raises(UserError, match=f"^upload={upload}: .*{told}"), mirrored(folder, upload):
            pytest.fail("it was not told")
    bucket.fault = answers("403 Forbidden", "AccessDenied", when="PUT")
    with pytest.raises(UserError, match="needs s3:PutObject"), mirrored(folder, UPLOAD):
        pytest.fail("it was not told")
    assert not (folder / RECORD).exists()


def test_two_runs_do_not_share_a_place(bucket: Bucket, folder: Path, tmp_path: Path) -> None:
    write(folder / "result.json", "one")
    with mirrored(folder, UPLOAD):
        pass
    other = tmp_path / "elsewhere" / "outputs" / "train" / "run"
    write(other / "result.json", "two")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "elsewhere")
        with pytest.raises(UserError, match=f"{UPLOAD}/train/run holds another run.*resume={UPLOAD}/train/run"):
            Mirror(other, UPLOAD).claim()
    bucket.put("runs/train/foreign/notes.txt", b"mine")
    write(tmp_path / "outputs/train/foreign/result.json", "{}")
    with pytest.raises(UserError, match="holds another run"):
        Mirror(tmp_path / "outputs/train/foreign", UPLOAD).claim()
    # At the very same moment, too: each has found the place empty.
    new = tmp_path / "outputs/train/new"
    write(new / "result.json", "{}")
    late = Mirror(new, UPLOAD)
    late.store.entries = lambda: ([], False)  # type: ignore[method-assign]
    put = late.store.put_text
    late.store.put_text = lambda *args, **options: (  # type: ignore[method-assign]
        bucket.put(f"runs/train/new/{RECORD}", b'{"id": "first"}'), put(*args, **options))[1]  # fmt: skip
    with pytest.raises(UserError, match="holds another run"):
        late.claim()
    assert json.loads(bucket.get(f"runs/train/new/{RECORD}")) == {"id": "first"}


def test_going_on_elsewhere_and_coming_back(
    bucket: Bucket, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    run = f"{UPLOAD}/train/run"
    first = Mirror(folder, UPLOAD)
    first.claim()
    write(folder / "checkpoints" / "last.ckpt", "epoch 1")
    write(folder / "result.json", "{}")
    assert first._send()

    monkeypatch.chdir(tmp_path / "outputs")  # another machine
    second = fetch_run(run)
    assert second == Path("outputs/train/run")
    assert (second / "checkpoints" / "last.ckpt").read_text() == "epoch 1"
    assert not list(second.parent.glob(".run.copying/*"))
    bucket.requests.clear()
    with mirrored(second, UPLOAD):
        write(second / "checkpoints" / "last.ckpt", "epoch 2")
    assert sent(bucket) == ["checkpoints/last.ckpt"], "what came from there is not sent back"
    assert fetch_run(run) == second
    assert "going on with outputs/train/run, from which it was sent" in caplog.text

    monkeypatch.chdir(tmp_path)  # the first one was not dead after all
    write(folder / "checkpoints" / "last.ckpt", "epoch 1 again")
    assert not first._send()
    assert "another process goes on" in caplog.messages[-1]
    assert bucket.get("runs/train/run/checkpoints/last.ckpt") == b"epoch 2"
    with pytest.raises(UserError, match="is there already, and is not what was mirrored last; move it away, or"):
        fetch_run(run)


def test_what_is_no_run_folder_is_not_fetched(bucket: Bucket, folder: Path) -> None:
    bucket.put("runs/train/x/notes.txt", b"text")
    for place in (f"{UPLOAD}/train/x", f"{UPLOAD}/train/x/notes.txt"):
        with pytest.raises(UserError, match=f"^resume={place}: no run folder of segkit train"):
            fetch_run(place)
    with pytest.raises(UserError, match="there is nothing; aws s3 ls s3://roads shows what there is"):
        fetch_run(f"{UPLOAD}/run")


def test_a_sigterm_while_the_end_is_sent_ends_nothing(
    bucket: Bucket, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it comes minutes before a spot instance is taken away. The second one does what it always does."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(mirror, "SMALL", 4)
    heard: list[str] = []
    send = Mirror._send

    def sending(self: Mirror) -> bool:
        if not self.stop.is_set():  # nothing is sent before the end
            return True
        os.kill(os.getpid(), signal.SIGTERM)
        return send(self)

    monkeypatch.setattr(Mirror, "_send", sending)
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("again"))
    try:
        with mirrored(folder, UPLOAD):
            write(folder / "checkpoints" / "last.ckpt", "last")
            write(folder / "result.json", "{}")
        assert heard == []
        assert "sending the last 17 B to s3://roads/runs/train/run" in caplog.text
        assert "SIGTERM: what is left is sent still" in caplog.text
        assert bucket.get("runs/train/run/checkpoints/last.ckpt") == b"last"
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == ["again"]
    finally:
        signal.signal(signal.SIGTERM, before)
