"""Clients that are slow, many, or on their way when the server is stopped."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus

import pytest

from segkit.errors import UserError
from segkit.serve import server as module
from segkit.serve.messages import Answer, Handle, Request
from segkit.serve.server import Server


@contextmanager
def started(handle: Handle, seconds: float = 30, host: str = "127.0.0.1", max_bytes: int = 2**20) -> Iterator[Server]:
    server = Server(host, 0, handle, seconds, max_bytes)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def echo(request: Request) -> Answer:
    return Answer(request.body(), "application/octet-stream")


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 30)


def everything(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(2**16):
        received += piece
    return received


def test_requests_follow_each_other_on_one_connection() -> None:
    with started(echo) as server, closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
        for body in (b"one", b"", b"x" * 2**20):
            client.request("POST", "/", body)
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, body)


def test_a_body_that_waits_to_be_asked_for_is_asked_for() -> None:
    with started(echo) as server, connect(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
    with started(echo, max_bytes=3) as server, connect(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert everything(client).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "sent",
    [b"POST / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"],
    ids=["header", "body"],
)
def test_a_client_that_sends_byte_by_byte_is_given_up(sent: bytes) -> None:
    with started(echo, seconds=0.3) as server, connect(server) as client:
        client.sendall(sent)
        client.settimeout(0.05)
        received = b""
        for _ in range(200):  # much longer than it may
            try:
                client.sendall(b"x")
                received += client.recv(2**16)
            except TimeoutError:
                continue
            except OSError:
                break
            if received:
                client.settimeout(30)
                received += everything(client)
                break
        assert received.startswith(b"HTTP/1.1 408 Request Timeout")
        assert b"The request was not here after 0.3 s." in received


def test_a_client_that_says_nothing_or_takes_nothing_is_given_up() -> None:
    with started(lambda request: Answer(bytes(2**26), "text/plain"), seconds=0.2) as server:
        with connect(server) as silent:
            assert everything(silent) == b""
        with connect(server) as deaf:
            deaf.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for _ in range(2000):
                if not server._busy:
                    break
                threading.Event().wait(0.01)
            assert not server._busy
            assert b"HTTP/1.1 408" not in everything(deaf)  # no second answer within the first


def test_more_connections_than_there_may_be_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 2)
    with started(echo) as server, connect(server) as one, connect(server) as two:
        for client in (one, two):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        with connect(server) as third:
            refusal = everything(third)
        assert refusal.startswith(b"HTTP/1.1 503")
        assert b"\r\nRetry-After: 1\r\n" in refusal


def test_bodies_beyond_the_memory_for_them_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT", 1)
    held = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with started(echo, max_bytes=1000) as server, connect(server) as first:
        first.sendall(held + bytes(600))
        for _ in range(2000):
            if server._received == 600:
                break
            threading.Event().wait(0.01)
        with connect(server) as second:
            second.sendall(held + bytes(600))
            second.shutdown(socket.SHUT_WR)
            assert everything(second).startswith(b"HTTP/1.1 503")
        first.sendall(bytes(400))
        assert first.recv(1000).startswith(b"HTTP/1.1 200")


def test_stopping_finishes_what_is_under_way_and_takes_nothing_more() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        begun.set()
        assert go.wait(30)
        return Answer(b"done", "text/plain")

    with started(slow) as server, connect(server) as busy, connect(server) as idle:
        busy.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert begun.wait(30)
        ended: list[bool] = []
        stopping = threading.Thread(target=lambda: ended.append(server.stop()))
        stopping.start()
        assert everything(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        go.set()
        answer = everything(busy)
        stopping.join(30)
        assert ended == [True]
        assert answer.endswith(b"done")
        assert b"\r\nConnection: close\r\n" in answer


def test_stopping_does_not_wait_for_ever() -> None:
    go = threading.Event()

    def stuck(request: Request) -> Answer:
        go.wait(30)
        return Answer(b"", "text/plain")

    server = Server("127.0.0.1", 0, stuck, 0.2, 100)
    server.start()
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(2000):
            if any(server._busy.values()):
                break
            threading.Event().wait(0.01)
        assert server.stop() is False
    go.set()


def status(server: Server, **headers: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
        client.request("GET", "/", headers=headers)
        return client.getresponse().status


def test_other_names_and_other_sites_have_nothing_of_a_server_for_this_machine() -> None:
    def page(request: Request) -> Answer:
        return Answer(b"", "text/plain")

    with started(page) as server:
        own = f"localhost:{server.port}"
        assert status(server, Host=own) == status(server, Host=own, Origin=f"http://{own}") == HTTPStatus.OK
        assert status(server, Host="[::1]:80") == HTTPStatus.OK
        assert status(server, Host="evil.example") == HTTPStatus.MISDIRECTED_REQUEST
        assert status(server, Host=own, Origin="http://evil.example") == HTTPStatus.FORBIDDEN
        assert status(server, Host=own, Origin="null") == HTTPStatus.FORBIDDEN
    with started(page, host="0.0.0.0") as server:
        assert server.address == f"http://127.0.0.1:{server.port}"
        assert status(server, Host="car.example:8080") == HTTPStatus.OK
        assert status(server, Host="car.example", Origin="http://evil.example") == HTTPStatus.FORBIDDEN


def test_a_port_that_is_taken_and_a_host_that_is_none_are_told() -> None:
    with (
        started(echo) as server,
        pytest.raises(UserError, match=rf"^port={server.port}: cannot be used at host=127.0.0.1 \(Address already"),
    ):
        Server("127.0.0.1", server.port, echo, 1, 1)
    with pytest.raises(UserError, match=r"^host=no\.such\.host\.invalid: no such address"):
        Server("no.such.host.invalid", 0, echo, 1, 1)
    with pytest.raises(UserError, match=r"^port=0: cannot be used at host=192\.0\.2\.1"):
        Server("192.0.2.1", 0, echo, 1, 1)
