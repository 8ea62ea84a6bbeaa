"""A server of HTTP/1.1 that nobody can hold: every wait for a client ends, and stopping finishes what is under way.

It is the standard library's, a thread for each connection. Beside a network that takes milliseconds for a picture, what
HTTP costs does not show (docs/serve.md has the figures), and its timeouts are the server's own, as is not so elsewhere:
a client that sends its header byte by byte, for one, is given up after the same seconds as any other.
"""

import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from segkit.errors import UserError

CONNECTIONS = 256
"""That are open at once; others are told to come back."""

IN_FLIGHT = 8
"""Bodies of the largest size whose bytes may be in memory at once."""

CHUNK = 2**16

LINGER = 2.0
"""Seconds for which a connection that is being closed is still read from."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - an answer, for the client
    """What a client gets in place of an answer: a status, a sentence, and after how many seconds to come back."""

    def __init__(self, status: HTTPStatus, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after


class Request(NamedTuple):
    """``path`` is without the query, ``headers`` are found in any case; ``body`` is read when it is called.

    ``body`` raises Refused: no length, too long, too slow, cut off, no room.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Callable[[], bytes]


@dataclass(frozen=True)
class Answer:
    """``kind`` is the content's media type."""

    content: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


Handle = Callable[[Request], Answer]


class Server(TCPServer):
    """Answers by ``handle``, which may raise Refused, and runs in many threads at once.

    Args:
        host, port: where to listen; port 0 is any that is free.
        handle: see above.
        seconds: how long a client may take to send a request, to take an answer, and between two requests.
        max_bytes: the largest body.

    Raises:
        UserError: the port is taken or not allowed, there is no such host.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, handle: Handle, seconds: float, max_bytes: int) -> None:
        self.handle, self.seconds, self.max_bytes = handle, seconds, max_bytes
        self.stopping = threading.Event()
        self._busy: dict[socket.socket, bool] = {}
        self._threads: set[threading.Thread] = set()
        self._received = 0
        self._lock = threading.Lock()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = found[0]
            super().__init__(found[4][:2], _Connection)  # type: ignore[arg-type]
        except socket.gaierror as error:
            raise UserError(f"host={host}: no such address ({error.strerror}); 127.0.0.1 is this machine alone") from error
        except OSError as error:
            raise UserError(f"port={port}: cannot be used at host={host} ({error.strerror}); give another port=") from error
        self.host, self.port = host, int(self.server_address[1])
        self._loop = threading.Thread(target=self.serve_forever, args=(0.1,), name="accept", daemon=True)

    @property
    def address(self) -> str:
        """For a browser on this machine."""
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{name}:{self.port}"

    def start(self) -> None:
        """Accept connections from now on, in another thread."""
        self._loop.start()

    def stop(self) -> bool:
        """Accept nothing more, finish the requests that have begun, close. Returns whether all came to their end."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection, busy in self._busy.items():
                if not busy:
                    _end(connection, socket.SHUT_RD)
            threads = list(self._threads)
        ends = time.monotonic() + self.seconds
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._busy) >= CONNECTIONS
            if not full:
                self._busy[request] = False
        if full:
            _send_at_once(request, _refusal(come_back("There are too many connections.")))
            self.shutdown_request(request)
            return
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except (OSError, ValueError):
            pass  # the client is gone
        except Exception:
            log.exception("a connection failed")
        finally:
            self.shutdown_request(request)
            with self._lock:
                self._busy.pop(request, None)
                self._threads.discard(threading.current_thread())

    def mark(self, connection: socket.socket, busy: bool) -> None:
        """A busy connection has begun to send a request whose answer is still to be given."""
        with self._lock:
            if connection in self._busy:
                self._busy[connection] = busy

    def received(self, count: int) -> None:
        """So many more bytes of bodies are in memory. Raises Refused where there is no room for them."""
        with self._lock:
            if count > 0 and self._received + count > IN_FLIGHT * self.max_bytes:
                raise come_back("Too much is being sent at once.")
            self._received += count


class _Connection(BaseHTTPRequestHandler):
    """One client: its requests one after the other."""

    protocol_version = default_request_version = "HTTP/1.1"
    server_version, sys_version = "segkit", ""
    disable_nagle_algorithm = True
    server: Server
    _left = 0
    """Bytes of the request's body that have not been read."""
    _lost = False
    """Nobody knows where the next request begins."""

    def setup(self) -> None:
        super().setup()
        self.incoming = _WithDeadline(self.connection)
        self.rfile = io.BufferedReader(self.incoming, CHUNK)

    def handle_one_request(self) -> None:
        self.incoming.give(self.server.seconds)
        self.requestline, self.request_version, self.command = "", "", ""
        self._left, self._lost = 0, False
        try:
            if not self.rfile.peek(1):
                self.close_connection = True
                return
        except TimeoutError:
            self.close_connection = True
            return
        self.server.mark(self.connection, busy=True)
        try:
            self.incoming.give(self.server.seconds)
            self.raw_requestline = self.rfile.readline(CHUNK + 1)
            if len(self.raw_requestline) > CHUNK:
                raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "The request's first line is too long.")
            if self.parse_request():
                self._reply(self._answer())
        except TimeoutError:
            self._reply(_refusal(self._slow()))
        except Refused as refused:
            self._reply(_refusal(refused))
        finally:
            self.server.mark(self.connection, busy=False)
            if self.server.stopping.is_set():
                self.close_connection = True

    def _answer(self) -> Answer:
        try:
            self._left = self._length()
            try:
                url = urlsplit(self.path)
                request = Request(self.command, url.path, dict(parse_qsl(url.query)), self.headers, self._body)
                self._check_sender()
            except ValueError as error:
                raise Refused(HTTPStatus.BAD_REQUEST, "The address or the sender's name is none.") from error
            return self.server.handle(request)
        except Refused as refused:
            return _refusal(refused)
        except TimeoutError:
            return _refusal(self._slow())
        except Exception:
            log.exception("%s %s failed", self.command, self.path[:200])
            return _refusal(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log says how."))

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
        _end(self.connection, socket.SHUT_WR)
        self.incoming.give(min(LINGER, self.server.seconds))
        with suppress(OSError):
            while self.rfile.read1(CHUNK):
                pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library says of a request that is none."""
        status = HTTPStatus(code)
        self._lost = True
        self._reply(_refusal(Refused(status, f"{message or status.phrase}.")))

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


def json_answer(content: Any, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Answer:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False)
    return Answer(text.encode(), "application/json", status, headers)


def come_back(sentence: str, seconds: int = 1) -> Refused:
    """For a server that has no room just now."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{sentence} Come back later.", seconds)


def _refusal(refused: Refused) -> Answer:
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    answer = json_answer({"error": refused.sentence}, refused.status)
    return Answer(answer.content, answer.kind, answer.status, headers)


def _send_at_once(connection: socket.socket, answer: Answer) -> None:
    head = f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.kind}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    connection.settimeout(0)
    with suppress(OSError):
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + answer.content)


def _end(connection: socket.socket, how: int) -> None:
    with suppress(OSError):
        connection.shutdown(how)
