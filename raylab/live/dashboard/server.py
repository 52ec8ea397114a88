"""Web server on loopback of the page that shows a stream and takes the wearer's marks."""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.live.core.event_bus import BusEvent, line_of
from raylab.live.core.messages import LabelMark
from raylab.live.core.pipeline import Stream
from raylab.live.dashboard.origin import REASONS, TOO_LARGE, refusal
from raylab.live.dashboard.protocols import MOST_HEADER_BYTES, request_protocol, socket_protocol
from raylab.live.dashboard.session import PageSession
from raylab.live.dashboard.words import channel_words, kinds, quality

PAGE = Path(__file__).with_name("page.html")
SECURITY_HEADERS = {
    # nothing from elsewhere, and no other site may frame or read it
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LONGEST_MESSAGE, MOST_MESSAGE_BYTES = 1000, 16_384
MOST_PAGES, MOST_CONNECTIONS = 16, 64
TRY_LATER, NOT_ALLOWED = 1013, 1008  # codes of a closed websocket


@dataclass(frozen=True)
class Destinations:
    """Where decisions go besides the page.

    Attributes:
        record: file to which they are added; empty: none.
        printed: whether the command prints them.
    """

    record: str = ""
    printed: bool = False


def _question(stream: Stream, destinations: Destinations) -> dict[str, Any]:
    """What a page is told before it agrees: kinds of signals and where decisions go. No class, no name, nothing of the stream."""
    source = stream.source
    return {
        "event": "consent",
        "measured": kinds(stream.model.card),
        "replay": source.recorded,
        "captures": source.captures,
        "record": destinations.record,
        "printed": destinations.printed,
    }


def _hello(stream: Stream) -> dict[str, Any]:
    """What a page is told once it has agreed: what the session will be."""
    card = stream.model.card
    return {
        "event": "hello",
        "source": stream.source.description,
        "card": card.lines(),
        "quality": quality(card),
        "caution": card.caution,
        "label": card.label,
        "classes": list(card.classes),
        "channels": channel_words(card),
        "utterances": card.kind == "utterances",
        "calibrate": stream.settings.calibrate,
        "window_s": card.preprocessing["window_s"],
        "step_s": card.preprocessing["step_s"],
    }


def application(stream: Stream, destinations: Destinations, session: PageSession, key: str) -> Any:
    """The web application of the page.

    A page is sent the question alone until it has agreed, then what the session will be, and the stream's events once it is started.

    Args:
        session: what the pages decide on.
        key: in the page's address; other users of this machine do not know it.
    """
    fastapi = load("fastapi", "live")
    responses = load("fastapi.responses", "live")
    question, hello = _question(stream, destinations), _hello(stream)
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for path, kind in ((f"/{key}/", "html"), (f"/{key}/page.js", "js"), (f"/{key}/page.css", "css")):
        media = {"html": "text/html", "js": "text/javascript", "css": "text/css"}[kind]
        content = PAGE.with_suffix(f".{kind}").read_text(encoding="utf-8")
        app.add_api_route(path, _returning(responses.Response(content, media_type=media)), include_in_schema=False)
    pages: set[int] = set()
    waiting_threads = ThreadPoolExecutor(MOST_PAGES, "page")

    async def _accompany(websocket: Any) -> None:
        """Ask for consent, wait for the start, and pass events and the page's messages on, until the page or the stream ends."""
        await websocket.send_text(line_of(question))
        if await _agrees(websocket, session):
            await websocket.send_text(line_of({**hello, "started": session.started}))
            await _until_one_ends(
                _receive(stream, websocket, session), _send_events(stream, websocket, session, waiting_threads)
            )

    async def live(websocket: Any) -> None:
        await websocket.accept()
        if len(pages) >= MOST_PAGES:
            await websocket.close(TRY_LATER)
            return
        pages.add(id(websocket))
        try:
            if not session.outcome:
                await _until_one_ends(_accompany(websocket), session.until_over())
            if session.outcome:
                await websocket.send_text(line_of({"event": "over", "outcome": session.outcome}))
                await websocket.close()
        except (RuntimeError, fastapi.WebSocketDisconnect):
            pass  # the page was closed
        finally:
            pages.discard(id(websocket))

    # fastapi passes the socket by this type; the package is loaded only here
    live.__annotations__["websocket"] = fastapi.WebSocket
    app.add_api_websocket_route(f"/{key}/live", live)
    return _guarded(app, responses.PlainTextResponse)


def _guarded(app: Any, text: Any) -> Any:
    """The application behind a check of where a request comes from, with the security headers in every answer."""

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        n_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        status = TOO_LARGE if n_bytes > MOST_HEADER_BYTES else refusal(scope["headers"])
        if status and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": NOT_ALLOWED})
        elif status:
            await text(REASONS[status], status_code=status)(scope, receive, send)
        else:
            await app(scope, receive, send if scope["type"] == "websocket" else _with_headers(send))

    return guard


def _with_headers(send: Any) -> Any:
    headers = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return send_with_headers


def _returning(answer: Any) -> Any:
    async def handler() -> Any:
        return answer

    return handler


async def _agrees(websocket: Any, session: PageSession) -> bool:
    """Wait until the page says that everyone concerned has agreed; False if it refuses, which ends the session, or is closed."""
    while (message := await _next_text(websocket)) is not None:
        if message == "agree":
            return True
        if message == "refuse":
            session.end()
            return False
    return False


async def _next_text(websocket: Any) -> str | None:
    """The next message of the page; None if it is closed."""
    message = await websocket.receive()
    return None if message["type"] == "websocket.disconnect" else str(message.get("text") or "")


async def _until_one_ends(*parts: Any) -> None:
    """Run these at the same time until one of them ends."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for error in outcomes:
        if isinstance(error, Exception):  # a task that was cancelled has none
            raise error


async def _send_events(stream: Stream, websocket: Any, session: PageSession, waiting_threads: ThreadPoolExecutor) -> None:
    """Send events to the page as they come, from the start on; a page that is too slow loses the oldest, and is told how many."""
    await session.until_started()
    await websocket.send_text(line_of({"event": "started"}))
    queue = stream.bus.subscribe(history=True)
    n_lost = 0
    loop = asyncio.get_running_loop()
    try:
        while not queue.done:
            event: BusEvent | None = await loop.run_in_executor(waiting_threads, queue.get, 0.5)
            if event is None:
                continue
            if queue.dropped > n_lost:
                text = f"too slow: {queue.dropped - n_lost} events were left out"
                n_lost = queue.dropped
                note = {"event": "note", "about": "page", "text": text, "at": event.get("at", 0), "events_lost": n_lost}
                await websocket.send_text(line_of(note))
            await websocket.send_text(line_of(event))
    finally:
        stream.bus.unsubscribe(queue)
        queue.abandon()


async def _receive(stream: Stream, websocket: Any, session: PageSession) -> None:
    """Take start, stop and, once it is started, marks from the page until it is closed; other messages are ignored."""
    while (message := await _next_text(websocket)) is not None:
        if message == "start":
            session.start()
        elif message == "stop":
            session.end()
        elif message.startswith("mark ") and len(message) < LONGEST_MESSAGE and session.started:
            stream.mark(LabelMark(message.removeprefix("mark ").strip()))


@contextmanager
def serve(stream: Stream, port: int, destinations: Destinations, session: PageSession) -> Iterator[str]:
    """Serve the page while the context lasts; its value is the page's address.

    Args:
        port: on loopback; 0: any free one.
        destinations, session: see ``application``.

    Raises:
        RaylabError: if the port is taken.
    """
    uvicorn = load("uvicorn", "live")
    load("websockets", "live")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()  # a request that comes before the server has started waits
    except OSError as error:
        listening.close()
        raise RaylabError(f"port {port} cannot be used ({error.strerror}); give another one with --page, 0 for any") from error
    key = secrets.token_urlsafe(12)
    config = uvicorn.Config(
        application(stream, destinations, session, key),
        log_level="error",
        http=request_protocol(),
        ws=socket_protocol(),
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listening],), name="page", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/{key}/"
    finally:
        server.should_exit = True
        thread.join(5)
        listening.close()
