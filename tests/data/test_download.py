"""Transfers from a local server that cuts, changes and refuses as it is told, and installing what they bring."""

import hashlib
import http.server
import io
import random
import resource
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from segkit.data import download
from segkit.data.download import discard, fetch
from segkit.data.install import obtain
from segkit.errors import UserError

CONTENT = random.Random(0).randbytes(600_000)


class Site(http.server.ThreadingHTTPServer):
    """One file at every path, and a record of what was asked for and sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True  # answers Range requests
        self.heeds_if_range = True
        self.sends_length = True
        self.validators = True
        self.cuts: list[int] = []  # bytes after which the next answers end, one each
        self.silence: threading.Event | None = None  # what the next answer waits for after its cut
        self.failures: list[int] = []  # status codes of the next answers, one each
        self.asked: list[str | None] = []  # the Range header of every request
        self.sent: list[int] = []  # body bytes of every answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/some/archive.zip"

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()}"'


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        site = self.server
        asked = self.headers["Range"]
        site.asked.append(asked)
        if site.failures:
            self.send_error(site.failures.pop(0))
            return
        start = 0
        unchanged = self.headers["If-Range"] == site.etag or not site.heeds_if_range
        if asked and site.ranges and unchanged:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(site.content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        else:
            self.send_response(200)
        if site.sends_length:
            self.send_header("Content-Length", str(len(site.content) - start))
        if site.validators:
            self.send_header("ETag", site.etag)
        self.end_headers()
        body = site.content[start:]
        if site.cuts:
            body = body[: site.cuts.pop(0)]
        site.sent.append(len(body))
        self.wfile.write(body)
        silence, site.silence = site.silence, None
        if silence:
            silence.wait(10)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output to the tests."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "RETRY_DELAY", 0.0)
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def zipped_data_set(pictures: int = 3, top: str = "data_set/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for part in ("training", "testing"):
            for index in range(pictures):
                target.writestr(f"{top}{part}/image_2/{index}.png", CONTENT[index * 1000 : (index + 1) * 1000])
    return buffer.getvalue()


def three_pictures(folder: Path) -> list[str]:
    found = len(list(folder.glob("training/image_2/*.png")))
    return [] if found == 3 else [f"{folder}/training/image_2: {found} pictures of 3"]


def test_downloads_whole_file_and_reports_progress(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(site.url, tmp_path / "new" / "a.zip", lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "new" / "a.zip"
    assert path.read_bytes() == CONTENT
    assert names_in(path.parent) == {"a.zip", "a.zip.json"}
    assert seen[0] == (0, 600_000)
    assert seen[-1] == (600_000, 600_000)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_finished_download_is_not_repeated(site: Site, tmp_path: Path) -> None:
    fetch(site.url, tmp_path / "a.zip")
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == CONTENT
    assert len(site.asked) == 1
    site.content = CONTENT[::-1]
    assert fetch(site.url + "?other", tmp_path / "a.zip").read_bytes() == CONTENT[::-1]
    discard(tmp_path / "a.zip")
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("cut", [1, 100_003, 599_999])
def test_retry_asks_only_for_the_rest(site: Site, tmp_path: Path, cut: int) -> None:
    site.cuts = [cut]
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == CONTENT
    assert site.asked == [None, f"bytes={cut}-"]
    assert site.sent == [cut, 600_000 - cut]


def test_silent_connection_is_taken_up_again(site: Site, tmp_path: Path) -> None:
    site.cuts, site.silence = [100_000], (end := threading.Event())
    assert fetch(site.url, tmp_path / "a.zip", timeout=0.2).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=100000-"]
    end.set()


def test_a_later_call_resumes(site: Site, tmp_path: Path) -> None:
    site.cuts = [100_000, 50_000]
    with pytest.raises(UserError, match=r"cut after 150\.0 kB of 600\.0 kB.*\nRun .* again to resume.*data\.url=<"):
        fetch(site.url, tmp_path / "a.zip", attempts=2)
    assert names_in(tmp_path) == {"a.zip.part", "a.zip.json"}
    seen: list[int] = []
    assert fetch(site.url, tmp_path / "a.zip", lambda done, _: seen.append(done)).read_bytes() == CONTENT
    assert site.sent == [100_000, 50_000, 450_000]
    assert seen[0] == 150_000


def test_a_killed_call_is_resumed(site: Site, tmp_path: Path) -> None:
    def kill(done: int, total: int | None) -> None:
        if done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(site.url, tmp_path / "a.zip", kill)
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert 0 < kept < 600_000
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == CONTENT
    assert site.asked == [None, f"bytes={kept}-"]


def test_killed_after_the_last_byte(site: Site, tmp_path: Path) -> None:
    fetch(site.url, tmp_path / "a.zip")
    (tmp_path / "a.zip").rename(tmp_path / "a.zip.part")
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == CONTENT
    assert len(site.asked) == 1


@pytest.mark.parametrize("lacking", ["ranges", "validators"])
def test_server_without_ranges_starts_again(site: Site, tmp_path: Path, lacking: str) -> None:
    setattr(site, lacking, False)
    site.cuts = [100_000, 300_000]
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == CONTENT
    assert site.sent == [100_000, 300_000, 600_000]


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("length", [400_000, 600_000, 700_000])
def test_changed_file_is_not_glued_to_the_old_half(
    site: Site, tmp_path: Path, heeds_if_range: bool, length: int
) -> None:
    site.cuts = [500_000]
    site.heeds_if_range = heeds_if_range
    with pytest.raises(UserError, match="cut after"):
        fetch(site.url, tmp_path / "a.zip", attempts=1)
    site.content = random.Random(1).randbytes(length)
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == site.content
    assert site.asked[:2] == [None, "bytes=500000-"]


@pytest.mark.parametrize("length", [550_000, 700_000])
def test_a_changed_length_alone_gives_a_changed_file_away(site: Site, tmp_path: Path, length: int) -> None:
    site.cuts = [500_000]
    with pytest.raises(UserError, match="cut after"):
        fetch(site.url, tmp_path / "a.zip", attempts=1)
    site.content = random.Random(1).randbytes(length)
    site.heeds_if_range = site.validators = False
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == site.content
    assert site.asked == [None, "bytes=500000-", None]


def test_another_address_does_not_continue_the_first(site: Site, tmp_path: Path) -> None:
    site.cuts = [500_000]
    with pytest.raises(UserError, match="cut after"):
        fetch(site.url, tmp_path / "a.zip", attempts=1)
    assert fetch(site.url + "?other", tmp_path / "a.zip").read_bytes() == CONTENT
    assert site.asked == [None, None]


def test_damaged_record_means_a_new_start(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(b"old")
    (tmp_path / "a.zip.json").write_text('{"url": ')
    assert fetch(site.url, tmp_path / "a.zip").read_bytes() == CONTENT
    assert site.asked == [None]


def test_length_not_announced(site: Site, tmp_path: Path) -> None:
    site.sends_length = False
    seen: list[int | None] = []
    assert fetch(site.url, tmp_path / "a.zip", lambda _, total: seen.append(total)).read_bytes() == CONTENT
    assert set(seen) == {None}


def test_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.failures = [503, 429]
    assert fetch(site.url, tmp_path / "a.zip", attempts=3).read_bytes() == CONTENT
    site.failures = [500] * 3
    with pytest.raises(UserError, match="500"):
        fetch(site.url + "?other", tmp_path / "a.zip", attempts=3)
    assert site.failures == []


def test_not_found_is_said_at_once(site: Site, tmp_path: Path) -> None:
    site.failures = [404]
    with pytest.raises(UserError, match=r"^data\.url=http.*404 Not Found.*\n.*data\.url=<local file>"):
        fetch(site.url, tmp_path / "a.zip")
    assert len(site.asked) == 1
    assert names_in(tmp_path) == set()


def test_refused_connection_is_said_at_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Site() as closed:
        url = closed.url
    monkeypatch.setattr(download.time, "sleep", lambda _: pytest.fail("waits"))
    with pytest.raises(UserError, match=r"^data\.url=http.*no answer from the host.*refused.*\n.*data\.url=<local"):
        fetch(url, tmp_path / "a.zip")
    assert names_in(tmp_path) == set()


def test_full_disk(site: Site, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(UserError, match=r"a\.zip\.part could not be written: .*too large.*\nRun .* to resume"):
            fetch(site.url, tmp_path / "a.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "a.zip").exists()


def test_folder_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/a\.zip\.part could not be written"):
        fetch(site.url, tmp_path / "file" / "a.zip")


def test_a_file_of_the_users_is_not_overwritten(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"in the way of the download: set data\.url=.*a\.zip to use it"):
        fetch(site.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == b"mine"


def test_obtain_downloads_installs_and_clears_up(site: Site, tmp_path: Path) -> None:
    site.content = zipped_data_set()
    site.cuts = [1000]
    root = obtain(site.url, tmp_path / "data" / "set", three_pictures)
    assert (root / "training/image_2/2.png").read_bytes() == CONTENT[2000:3000]
    assert names_in(tmp_path / "data") == {"set"}
    assert names_in(root) == {"training", "testing"}
    assert sum(site.sent) == len(site.content)
    assert obtain(site.url, root, three_pictures) == root
    assert len(site.sent) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "is not a zip file: 37 B that begin with '<!DOCTYPE html>"),
        (zipped_data_set()[:-2000], "is incomplete or damaged"),
        (zipped_data_set(pictures=2), r"is not the data set: training/image_2: 2 pictures of 3\."),
        (zipped_data_set(top="far/too/deep/"), r"no training/image_2 and testing/image_2.*found: far"),
        (zipped_data_set(top="../"), "leaves the folder"),
    ],
)
def test_wrong_content_does_not_poison_the_next_attempt(
    site: Site, tmp_path: Path, content: bytes, problem: str
) -> None:
    site.content = content
    root = tmp_path / "set"
    with pytest.raises(UserError, match=rf"^data\.url={site.url}: .*{problem}"):
        obtain(site.url, root, three_pictures)
    assert names_in(tmp_path) == set()
    site.content = zipped_data_set()
    assert three_pictures(obtain(site.url, root, three_pictures)) == []


def test_download_survives_a_killed_extraction(site: Site, tmp_path: Path) -> None:
    site.content = zipped_data_set()

    def kill(done: int, total: int | None) -> None:
        if total == 2 * 6000 and done > 8000:  # six pictures of 1000 bytes, read twice: while the second are written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(site.url, tmp_path / "set", three_pictures, kill)
    assert names_in(tmp_path) == {"set.zip", "set.zip.json"}
    assert three_pictures(obtain(site.url, tmp_path / "set", three_pictures)) == []
    assert names_in(tmp_path) == {"set"}
    assert len(site.asked) == 1
