"""One client of the server: its requests one after the other, and an end to every wait for it."""

import io
import logging
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from segkit.serve.messages import Answer, Refused, Request, refusal

if TYPE_CHECKING:
    from segkit.serve.server import Server

CHUNK = 2**16

LINGER = 2.0
"""Seconds for which a connection that is being closed is still read from."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger(__name__)


class Connection(BaseHTTPRequestHandler):
    protocol_version = default_request_version = "HTTP/1.1"
    server_version, sys_version = "segkit", ""
    disable_nagle_algorithm = True
    server: "Server"
    _left = 0
    """Bytes of the request's body that have not been read."""
    _lost = False
    """Nobody knows where the next request begins."""

    def setup(self) -> None:
        super().setup()
        self.incoming = _WithDeadline(self.connection)
        self.rfile = self.buffered = io.BufferedReader(self.incoming, CHUNK)

    def handle_one_request(self) -> None:
        self.incoming.give(self.server.seconds)
        self.requestline, self.request_version, self.command = "", "", ""
        self._left, self._lost = 0, False
        try:
            first = self.buffered.peek(1)
        except TimeoutError:
            first = b""
        if not first:
            self.close_connection = True
            return
        self.server.mark(self.connection, busy=True)
        try:
            self.incoming.give(self.server.seconds)
            self.raw_requestline = self.rfile.readline(CHUNK + 1)
            if len(self.raw_requestline) > CHUNK:
                raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "The request's first line is too long.")
            answer = self._answer() if self.parse_request() else None
        except TimeoutError:
            answer = refusal(self._slow())
        except Refused as refused:
            self._lost = True
            answer = refusal(refused)
        try:
            if answer is not None:
                self._reply(answer)  # one who is too slow to take it is given up
        finally:
            self.server.mark(self.connection, busy=False)
            if self.server.stopping.is_set():
                self.close_connection = True

    def _answer(self) -> Answer:
        try:
            self._left = self._length()
            try:
                url = urlsplit(self.path)
                request = Request(self.command, url.path, self.headers, self._body)
                self._check_sender()
            except ValueError as error:
                raise Refused(HTTPStatus.BAD_REQUEST, "The address or the sender's name is none.") from error
            return self.server.handle(request)
        except Refused as refused:
            return refusal(refused)
        except TimeoutError:
            return refusal(self._slow())
        except Exception:
            log.exception("%s %s failed", self.command, self.path[:200])
            return refusal(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log says how."))

    def _check_sender(self) -> None:
        """Pages of other sites are to have nothing of this server.

        A name that is made to point here (DNS rebinding) is not this machine's, so a server that listens to this
        machine alone wants to be asked for by one of its own; a page of another site has another origin.
        """
        asked = self.headers.get("Host", "")
        name = (urlsplit(f"//{asked}").hostname or "") if asked else ""
        if self.server.host in LOOPBACK and asked and name not in LOOPBACK:
            sentence = f"This server is for this machine, not for {name[:100]!r}; ask for 127.0.0.1."
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, sentence)
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != asked:
            raise Refused(HTTPStatus.FORBIDDEN, "Pages of other sites may not use this server.")

    def _length(self) -> int:
        """Bytes of the body."""
        if self.headers.get("Transfer-Encoding") is not None:
            self._lost = True
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "Send the body in one piece, with its Content-Length.")
        given = self.headers.get_all("Content-Length") or []
        if not given:
            return 0
        if len(given) > 1 or not (given[0].isascii() and given[0].isdigit() and len(given[0]) < 20):
            self._lost = True
            raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length is no number of bytes.")
        if int(given[0]) > self.server.max_bytes:
            self._lost = True
            most = self.server.max_bytes / 2**20
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {most:g} MiB, the most here.")
        return int(given[0])

    def _body(self) -> bytes:
        if self.headers.get("Content-Length") is None:
            self._lost = True
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "Send a body, with its Content-Length.")
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        content, kept = bytearray(), 0
        try:
            while self._left:
                piece = self.rfile.read1(min(self._left, CHUNK))
                if not piece:
                    self._lost = True
                    raise Refused(HTTPStatus.BAD_REQUEST, "The body was cut off.")
                self.server.received(len(piece))
                kept += len(piece)
                self._left -= len(piece)
                content += piece
        finally:
            self.server.received(-kept)
        return bytes(content)

    def _slow(self) -> Refused:
        self._lost = True
        return Refused(HTTPStatus.REQUEST_TIMEOUT, f"The request was not here after {self.server.seconds:g} s.")

    def _reply(self, answer: Answer) -> None:
        unread = self._lost or self._left > 0  # it would be taken for the next request
        if unread or self.server.stopping.is_set():
            self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.connection.settimeout(self.server.seconds)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)
        if unread:
            self._let_the_client_read()

    def _let_the_client_read(self) -> None:
        """Closed with bytes that nobody has read, a connection takes back its last answer: read on for a moment."""
        end(self.connection, socket.SHUT_WR)
        self.incoming.give(min(LINGER, self.server.seconds))
        with suppress(OSError):
            while self.rfile.read1(CHUNK):
                pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library says of a request that is none."""
        status = HTTPStatus(code)
        self._lost = True
        self._reply(refusal(Refused(status, f"{message or status.phrase}.")))

    def handle_expect_100(self) -> bool:
        return True  # the body is asked for where it is read

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class _WithDeadline(io.RawIOBase):
    """A socket to read from until a moment, however slowly its bytes come; then TimeoutError."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._ends = connection, 0.0

    def give(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def end(connection: socket.socket, how: int) -> None:
    """Shut it down as ``socket.shutdown`` does, where it is still there."""
    with suppress(OSError):
        connection.shutdown(how)
