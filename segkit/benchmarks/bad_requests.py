"""Requests that a server of pictures has to bear: of each what is sent, and the statuses that are right answers.

None of them is to hurt another client, and each is to be answered, or closed where nobody waits for an answer.
"""

import base64
import io
import json
import re
import socket
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

CLOSED = 0
"""In place of a status: the connection is closed without an answer."""

NO_STATUS = 1
"""What is answered begins with no status."""

HOST = b"Host: 127.0.0.1\r\n"


class BadRequest(NamedTuple):
    """``sent`` are the bytes of the whole request; ``right`` the statuses of which one has to come."""

    kind: str
    sent: bytes
    right: tuple[int, ...]


def bad_requests() -> list[BadRequest]:
    """All kinds, for a server of the default limits and a network of two classes."""
    return [*_of_http(), *_of_addresses(), *_of_pictures(), *_of_json()]


def answer_to(address: tuple[str, int], sent: bytes, seconds: float) -> tuple[int, str]:
    """Send it on a connection of its own: the answer's status, or CLOSED, and its body.

    Raises:
        TimeoutError: neither comes within so many seconds.
    """
    with socket.create_connection(address, seconds) as connection:
        received = b""
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(2**16):
                received += piece
        except ConnectionError:
            pass  # the server had enough of it
    if not received:
        return CLOSED, ""
    head, _, body = received.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.\d (\d{3})", head)
    return (int(status[1]) if status else NO_STATUS), body.decode(errors="replace")


def _request(
    body: bytes = b"", *headers: str, line: str = "POST /invocations HTTP/1.1", length: str | None = None
) -> bytes:
    lines = [line, "Host: 127.0.0.1", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _of_http() -> list[BadRequest]:
    png = _picture("PNG")
    post = b"POST /invocations HTTP/1.1\r\n" + HOST
    return [
        BadRequest("nothing", b"", (CLOSED,)),
        BadRequest("random bytes", _noise(300), (400,)),
        BadRequest("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + _noise(200), (400,)),
        BadRequest("a first line without an end", b"G" * 80_000, (414,)),
        BadRequest("a very long address", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414,)),
        BadRequest("300 headers", b"GET /ping HTTP/1.1\r\n" + b"X-A: b\r\n" * 300 + b"\r\n", (431,)),
        BadRequest("a header of 70 kB", b"GET /ping HTTP/1.1\r\nX-A: " + b"b" * 70_000 + b"\r\n\r\n", (431,)),
        BadRequest("version 9.9", b"GET /ping HTTP/9.9\r\n\r\n", (505,)),
        BadRequest("version x.y", b"GET /ping HTTP/x.y\r\n\r\n", (400,)),
        BadRequest("four words", b"GET /ping and HTTP/1.1\r\n\r\n", (400,)),
        BadRequest("a header cut off", b"POST /invocations HTTP/1.1\r\nContent-Le", (400, 411)),
        BadRequest("no Content-Length", post + b"\r\n" + png, (411,)),
        BadRequest("Content-Length -1", _request(png, length="-1"), (400,)),
        BadRequest("Content-Length as text", _request(png, length="many"), (400,)),
        BadRequest("two Content-Lengths", _request(png, "Content-Length: 5"), (400,)),
        BadRequest("Content-Length 10¹⁵", _request(png, length="1" + 15 * "0"), (413,)),
        BadRequest("Content-Length of 40 digits", _request(png, length=40 * "9"), (400,)),
        BadRequest("a body cut off", _request(png, length=str(len(png) + 100)), (400,)),
        BadRequest("chunked", post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", (411,)),
    ]


def _of_addresses() -> list[BadRequest]:
    png = _picture("PNG")
    return [
        BadRequest("an unknown method", _request(png, line="BREW /invocations HTTP/1.1"), (405,)),
        BadRequest("GET /invocations", _request(line="GET /invocations HTTP/1.1"), (405,)),
        BadRequest("POST /ping", _request(png, line="POST /ping HTTP/1.1"), (405,)),
        BadRequest("OPTIONS /invocations", _request(line="OPTIONS /invocations HTTP/1.1"), (405,)),
        BadRequest("an unknown address", _request(line="GET /admin HTTP/1.1"), (404,)),
        BadRequest("a way out", _request(line="GET /pictures/../../etc/passwd HTTP/1.1"), (404,)),
        BadRequest("picture 9999", _request(line="GET /pictures/9999 HTTP/1.1"), (404,)),
        BadRequest("picture -1", _request(line="GET /pictures/-1 HTTP/1.1"), (404,)),
        BadRequest("a broken address", _request(line="GET http://[::1 HTTP/1.1"), (400,)),
        BadRequest("an address with \\0", _request(line="GET /\0 HTTP/1.1"), (404, 400)),
        BadRequest("another host's name", _request(png).replace(b"Host: 127.0.0.1", b"Host: evil.example"), (421,)),
        BadRequest("another site's page", _request(png, "Origin: https://evil.example"), (403,)),
        BadRequest("Accept: text/html", _request(png, "Accept: text/html"), (406,)),
        BadRequest("a broken Accept", _request(png, "Accept: ;;q=,/,image/gif;q=x"), (406,)),
    ]


def _of_pictures() -> list[BadRequest]:
    png, jpeg = _picture("PNG"), _picture("JPEG")
    damaged = jpeg[:20] + _noise(150) + jpeg[170:]
    bodies: list[tuple[str, bytes, tuple[int, ...]]] = [
        ("an empty body", b"", (400,)),
        ("noise", _noise(5000), (400,)),
        ("text", b"What is on this picture?", (400,)),
        ("a web page", b"<!DOCTYPE html><html><body><img></body></html>", (400,)),
        ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', (400,)),
        ("PDF", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", (400,)),
        ("zip", b"PK\x03\x04" + _noise(300), (400,)),
        ("GIF", _picture("GIF"), (400,)),
        ("PNG: its signature alone", png[:8], (400,)),
        ("PNG: half of it", png[: len(png) // 2], (400,)),
        ("PNG: a wrong checksum", png[:60] + bytes([png[60] ^ 1]) + png[61:], (400,)),
        ("PNG: says 60000 × 60000", _png(60_000, 60_000, 2, b""), (413,)),
        ("PNG: says 2³¹ × 1", _png(2**31 - 1, 1, 0, b""), (413,)),
        ("PNG: says 0 × 0", _png(0, 0, 2, b""), (400,)),
        ("PNG: says 4000 × 3900, has nothing", _png(4000, 3900, 2, zlib.compress(b"")), (400,)),
        ("PNG: unpacks to more than it says", _png(8, 8, 2, zlib.compress(bytes(2**22), 9)), (200, 400)),
        ("PNG: a palette that is not there", _png(4, 4, 3, zlib.compress(bytes(20))), (400,)),
        ("PNG: a text of 64 MB, packed", _png(4, 4, 0, zlib.compress(bytes(20)), _packed_text(2**26)), (200, 400, 413)),
        ("JPEG: half of it", jpeg[: len(jpeg) // 2], (400,)),
        ("JPEG: its header alone", jpeg[:20], (400,)),
        ("JPEG: damaged", damaged, (400,)),
        ("JPEG: says 65535 × 65535", _of_size(jpeg, b"\xff\xff\xff\xff"), (413,)),
        ("WebP: half of it", _half("WEBP"), (400,)),
        ("TIFF: half of it", _half("TIFF"), (400,)),
        ("TIFF: its list beyond the end", b"II*\0\xff\xff\xff\x7f" + _noise(50), (400,)),
        ("BMP: half of it", _half("BMP"), (400,)),
        ("BMP: says 50000 × 50000", _bmp(50_000, 50_000), (413,)),
        ("BMP: says -1 × 9", _bmp(-1, 9), (400, 413)),
    ]
    return [BadRequest(kind, _request(body, "Content-Type: image/png"), right) for kind, body, right in bodies]


def _of_json() -> list[BadRequest]:
    picture = base64.b64encode(_picture("PNG")).decode()
    bodies: list[tuple[str, str]] = [
        ("no JSON", "{picture: no}"),
        ("a list", "[1, 2]"),
        ("no picture", "{}"),
        ("a number as picture", '{"picture": 7}'),
        ("no base64", '{"picture": "!!!"}'),
        ("an unknown key", json.dumps({"picture": picture, "url": "http://127.0.0.1/"})),
        ("100000 brackets", "[" * 100_000),
        ("a number of 5000 digits", '{"picture": "", "threshold": ' + "9" * 5000 + "}"),
        ("threshold 2", json.dumps({"picture": picture, "threshold": 2})),
        ("threshold NaN", json.dumps({"picture": picture, "threshold": float("nan")})),
        ("a calibration that is none", json.dumps({"picture": picture, "calibration": "P0: 1 2 3"})),
        ("a calibration of 1 MB", json.dumps({"picture": picture, "calibration": "P" * 2**20})),
    ]
    head = "Content-Type: application/json"
    return [BadRequest(f"JSON: {kind}", _request(text.encode(), head), (400,)) for kind, text in bodies]


def _noise(count: int) -> bytes:
    return np.random.default_rng(count).bytes(count)


def _picture(kind: str) -> bytes:
    rows = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3) // 7
    content = io.BytesIO()
    Image.fromarray(rows.astype(np.uint8)).save(content, kind)
    return content.getvalue()


def _half(kind: str) -> bytes:
    content = _picture(kind)
    return content[: len(content) // 2]


def _of_size(jpeg: bytes, size: bytes) -> bytes:
    """With other four bytes of height and width, after the marker SOF0, a length and the bits per value."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + size + jpeg[place + 4 :]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _png(width: int, height: int, colour_type: int, content: bytes, *more: bytes) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, colour_type, 0, 0, 0])
    chunks: Sequence[bytes] = [_chunk(b"IHDR", header), *more, _chunk(b"IDAT", content), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _packed_text(size: int) -> bytes:
    return _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9))


def _bmp(width: int, height: int) -> bytes:
    sizes = width.to_bytes(4, "little", signed=True) + height.to_bytes(4, "little", signed=True)
    return b"BM" + (54).to_bytes(12, "little") + (40).to_bytes(4, "little") + sizes + b"\1\0\x18\0" + bytes(24)
