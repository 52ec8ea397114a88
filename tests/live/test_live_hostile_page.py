"""The page's server and hostile clients: malformed headers, requests that do not end, readers that never read."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from builders.live import exported, source_of
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from raylab.live.core.event_bus import EventBus
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.dashboard import protocols
from raylab.live.dashboard.origin import refusal
from raylab.live.dashboard.server import MOST_PAGES, Destinations, serve
from raylab.live.dashboard.session import PageSession


@contextmanager
def _served(live_run: Path) -> Iterator[tuple[str, EventBus]]:
    """A page of a started session whose events are sent by the test."""
    bus = EventBus()
    stream = Stream(exported(live_run), source_of([]), bus, StreamSettings())
    session = PageSession(stream.withdraw)
    session.start()
    with serve(stream, 0, Destinations(), session) as url:
        yield url, bus


def _agree(page: Any) -> None:
    """Give consent, and read up to the events."""
    page.send("agree")
    assert ["consent", "hello", "started"] == [json.loads(page.recv(timeout=20))["event"] for _ in range(3)]


def _ask(url: str, request: bytes, timeout_s: float = 30.0) -> bytes:
    """The answer to these bytes, until the server closes."""
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as client:
        client.sendall(request)
        answer = b""
        try:
            while part := client.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
ODD_HOSTS = [b"[", b"]", b"[::1", b"[::1]x", b"127.0.0.1:port", b"127.0.0.1:99999999", b"a b", b"user@127.0.0.1", b"\xff\xfe", b"", b"127.0.0.1/..",
             b"\xe2\x84\x80", b"[v1.x]", b"127.0.0.1:80:80", b"x" * 5000]  # fmt: skip


@pytest.mark.parametrize("upgrade", [b"", UPGRADE])
def test_malformed_headers_are_refused_without_a_traceback(
    live_run: Path, capfd: pytest.CaptureFixture[str], upgrade: bytes
) -> None:
    """Host and Origin of every kind: 400 or 403, for the page and for its socket, and nothing on standard error."""
    with _served(live_run) as (url, _):
        path = url[url.index("/", 8) :].encode() + (b"live" if upgrade else b"")
        port = url.split(":")[2].split("/")[0].encode()
        head = (
            b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n"
            if not upgrade
            else b"GET " + path + b" HTTP/1.1\r\n" + upgrade
        )
        own = b"Host: 127.0.0.1:" + port + b"\r\n"
        requests = [head + b"Host: " + host + b"\r\n\r\n" for host in ODD_HOSTS]
        requests += [
            head + own + b"Origin: " + odd + b"\r\n\r\n" for odd in (*ODD_HOSTS, b"http://[", b"://", b"http://127.0.0.1:1")
        ]
        requests += [head + b"\r\n", head + own + own + b"\r\n", head + own + b"Host: evil.example\r\n\r\n"]
        requests += [head + own + b"Origin: http://127.0.0.1:" + port + b"\r\nOrigin: null\r\n\r\n"]
        assert {400, 403} >= {_status(_ask(url, request)) for request in requests}
        if not upgrade:
            assert 200 == _status(_ask(url, head + own + b"Origin: http://127.0.0.1:" + port + b"\r\n\r\n"))
            assert 200 == _status(_ask(url, head + b"Host: LOCALHOST:" + port + b"\r\n\r\n"))
    assert "Traceback" not in capfd.readouterr().err


def test_a_page_of_loopback_is_the_page_s_own() -> None:
    """By any of its names, with any port, as a forwarded one; no other site, and no two at once."""
    own, no = (b"host", b"127.0.0.1:8800"), (b"x", b"y")
    assert [0, 0, 0, 0] == [
        refusal(headers)
        for headers in (
            [own],
            [own, (b"origin", b"http://127.0.0.1:8800")],
            [(b"Host", b"[::1]:1")],
            [no, (b"host", b"localhost")],
        )
    ]
    assert [403, 403, 400, 400, 400] == [
        refusal(headers)
        for headers in (
            [own, (b"origin", b"null")],
            [(b"host", b"evil.example")],
            [],
            [own, own],
            [own, (b"origin", b"http://[")],
        )
    ]


def test_bytes_that_are_no_request_are_refused(live_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Headers without end, binary, other methods, a body."""
    with _served(live_run) as (url, _):
        path, port = url[url.index("/", 8) :].encode(), url.split(":")[2].split("/")[0].encode()
        host = b"Host: 127.0.0.1:" + port + b"\r\n"
        get = b"GET " + path + b" HTTP/1.1\r\n" + host
        assert _status(_ask(url, get + b"X: " + b"x" * 100_000 + b"\r\n\r\n")) in (400, 431)
        assert _status(_ask(url, get + b"X: y\r\n" * 20_000 + b"\r\n")) in (400, 431)
        assert 400 == _status(_ask(url, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50 + b"\r\n\r\n"))
        assert 405 == _status(
            _ask(url, b"POST " + path + b" HTTP/1.1\r\nConnection: close\r\n" + host + b"Content-Length: 3\r\n\r\nabc")
        )
        assert 400 == _status(_ask(url, get + b"Content-Length: -1\r\n\r\n"))
        assert 404 == _status(_ask(url, b"GET /%00%ff/../etc HTTP/1.1\r\nConnection: close\r\n" + host + b"\r\n"))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n",
    ],
)
def test_a_request_that_does_not_end_is_closed(live_run: Path, monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    """Also one that brings a byte now and then."""
    monkeypatch.setattr(protocols, "REQUEST_S", 1.0)
    with _served(live_run) as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(beginning)
            began, closed = time.monotonic(), False
            client.settimeout(0.2)
            while not closed and time.monotonic() - began < 15:
                try:
                    if beginning:
                        client.sendall(b"x")
                    while part := client.recv(65536):
                        assert part
                    closed = True
                except TimeoutError:
                    continue
                except OSError:
                    closed = True
            assert closed and time.monotonic() - began < 12


def test_a_page_that_never_reads_is_ended_and_delays_nothing(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is bounded; others get every event in time; after a while its connection is closed."""
    monkeypatch.setattr(protocols, "UNREAD_S", 2.0)
    with _served(live_run) as (url, bus):
        port = int(url.split(":")[2].split("/")[0])
        path = url[url.index("/", 8) :]
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(
            f"GET {path}live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert b"101" in deaf.recv(100)
        deaf.sendall(b"\x81\x85\x00\x00\x00\x00agree")
        with connect(url.replace("http", "ws") + "live") as page:
            _agree(page)
            until = time.monotonic() + 20
            while len(bus._queues) < 2 and time.monotonic() < until:
                time.sleep(0.05)
            assert 2 == len(bus._queues)
            for number in range(600):
                bus.emit({"event": "decision", "window": number, "filling": "x" * 10_000})
                assert number == json.loads(page.recv(timeout=20))["window"]
            assert all(len(queue) <= 400 for queue in bus._queues)
            until = time.monotonic() + 20
            while len(bus._queues) > 1 and time.monotonic() < until:
                time.sleep(0.1)
            assert 1 == len(bus._queues)
        deaf.close()


def test_pages_are_limited_and_those_that_leave_make_room(live_run: Path) -> None:
    """One too many is told to try later; messages of any size end only the page that sends them."""
    with _served(live_run) as (url, bus), ExitStack() as stack:
        address = url.replace("http", "ws") + "live"
        pages: list[Any] = [stack.enter_context(connect(address)) for _ in range(MOST_PAGES)]
        for page in pages:
            assert "consent" == json.loads(page.recv(timeout=20))["event"]
        with connect(address) as extra, pytest.raises(ConnectionClosed) as closed:
            extra.recv(timeout=20)
        assert closed.value.rcvd is not None and 1013 == closed.value.rcvd.code
        pages[0].send("x" * 1_000_000)
        with pytest.raises(ConnectionClosed):
            pages[0].recv(timeout=20)
        pages[1].send("agree")
        assert ["hello", "started"] == [json.loads(pages[1].recv(timeout=20))["event"] for _ in range(2)]
        for page in pages[2:]:
            page.close()
        until = time.monotonic() + 20
        again = None
        while again is None and time.monotonic() < until:
            with connect(address) as page:
                try:
                    again = json.loads(page.recv(timeout=20))["event"]
                except ConnectionClosed:
                    time.sleep(0.1)
        assert "consent" == again
        bus.emit({"event": "decision", "window": 7})
        assert 7 == json.loads(pages[1].recv(timeout=20))["window"]
        pages[1].close()


def test_a_page_that_leaves_frees_its_queue(live_run: Path) -> None:
    """Also if nothing happens on the stream."""
    with _served(live_run) as (url, bus):
        with connect(url.replace("http", "ws") + "live") as page:
            _agree(page)
            until = time.monotonic() + 20
            while not bus._queues and time.monotonic() < until:
                time.sleep(0.05)
            assert 1 == len(bus._queues)
        until = time.monotonic() + 20
        while bus._queues and time.monotonic() < until:
            time.sleep(0.05)
        assert not bus._queues
