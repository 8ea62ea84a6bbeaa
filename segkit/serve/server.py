"""A server of HTTP/1.1 that nobody can hold: every wait for a client ends, and stopping finishes what is under way.

It is the standard library's, a thread for each connection. Beside a network that takes milliseconds for a picture, what
HTTP costs does not show (docs/serve.md has the figures), and its timeouts are the server's own, as is not so elsewhere:
a client that sends its header byte by byte, for one, is given up after the same seconds as any other.
"""

import logging
import socket
import threading
import time
from contextlib import suppress
from socketserver import TCPServer
from typing import Any

from segkit.errors import UserError
from segkit.serve.connection import Connection, end
from segkit.serve.messages import Answer, Handle, come_back, refusal

CONNECTIONS = 256
"""That are open at once; others are told to come back."""

IN_FLIGHT = 8
"""Bodies of the largest size whose bytes may be in memory at once."""

log = logging.getLogger(__name__)


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
            super().__init__(found[4][:2], Connection)  # type: ignore[arg-type]
        except socket.gaierror as error:
            raise UserError(
                f"host={host}: no such address ({error.strerror}); 127.0.0.1 is this machine alone"
            ) from error
        except OSError as error:
            raise UserError(
                f"port={port}: cannot be used at host={host} ({error.strerror}); give another port="
            ) from error
        self.host, self.port = host, int(self.server_address[1])
        self._loop = threading.Thread(target=self.serve_forever, args=(0.1,), name="accept", daemon=True)

    @property
    def address(self) -> str:
        """For a browser on this machine."""
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(
            self.host, f"[{self.host}]" if ":" in self.host else self.host
        )
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
                    end(connection, socket.SHUT_RD)
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
            _send_at_once(request, refusal(come_back("There are too many connections.")))
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


def _send_at_once(connection: socket.socket, answer: Answer) -> None:
    head = f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.kind}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    connection.settimeout(0)
    with suppress(OSError):
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + answer.content)
