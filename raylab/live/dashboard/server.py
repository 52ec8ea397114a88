"""Web server on loopback of the page that shows a stream and takes the wearer's marks."""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.live.core.event_bus import BusEvent, line_of
from raylab.live.core.messages import LabelMark
from raylab.live.core.pipeline import Stream
from raylab.live.dashboard.origin import REASONS, TOO_LARGE, refusal
from raylab.live.dashboard.protocols import MOST_HEADER_BYTES, request_protocol, socket_protocol

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


def application(stream: Stream, greeting: dict[str, Any], agreed: Event, key: str) -> Any:
    """The web application of the page.

    Args:
        greeting: consent, source and record. Only the question for consent is sent before a page has agreed, nothing of the stream.
        agreed: set when consent is given on a page.
        key: in the page's address; other users of this machine do not know it.
    """
    fastapi = load("fastapi", "live")
    responses = load("fastapi.responses", "live")
    card = stream.model.card
    hello = {
        "event": "hello",
        **greeting,
        "card": card.lines(),
        "classes": list(card.classes),
        "channels": [channel.name for channel in card.channels],
        "calibrate": stream.settings.calibrate,
        "window_s": card.preprocessing["window_s"],
    }
    question = {"event": "consent", "consent": greeting.get("consent", ""), "record": greeting.get("record", "")}
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for path, kind in ((f"/{key}/", "html"), (f"/{key}/page.js", "js"), (f"/{key}/page.css", "css")):
        media = {"html": "text/html", "js": "text/javascript", "css": "text/css"}[kind]
        content = PAGE.with_suffix(f".{kind}").read_text(encoding="utf-8")
        app.add_api_route(path, _returning(responses.Response(content, media_type=media)), include_in_schema=False)
    pages: set[int] = set()
    waiting_threads = ThreadPoolExecutor(MOST_PAGES, "page")

    async def live(websocket: Any) -> None:
        await websocket.accept()
        if len(pages) >= MOST_PAGES:
            await websocket.close(TRY_LATER)
            return
        pages.add(id(websocket))
        try:
            await websocket.send_text(line_of(question))
            if await _agrees(websocket):
                agreed.set()
                await websocket.send_text(line_of(hello))
                await _until_one_ends(_receive(stream, websocket), _send_events(stream, websocket, waiting_threads))
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


async def _agrees(websocket: Any) -> bool:
    """Wait until the page says that everyone concerned has agreed; False if it is closed. Whatever else it says is ignored."""
    while (message := await _next_text(websocket)) is not None:
        if message == "agree":
            return True
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


async def _send_events(stream: Stream, websocket: Any, waiting_threads: ThreadPoolExecutor) -> None:
    """Send events to the page as they come; a page that is too slow loses the oldest, and is told how many."""
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
                await websocket.send_text(line_of({"event": "note", "about": "page", "text": text, "at": event.get("at", 0)}))
            await websocket.send_text(line_of(event))
    finally:
        stream.bus.unsubscribe(queue)
        queue.abandon()


async def _receive(stream: Stream, websocket: Any) -> None:
    """Take marks from the page until it is closed; other messages are ignored."""
    while (message := await _next_text(websocket)) is not None:
        if message.startswith("mark ") and len(message) < LONGEST_MESSAGE:
            stream.mark(LabelMark(message.removeprefix("mark ").strip()))


@contextmanager
def serve(stream: Stream, port: int, greeting: dict[str, Any], agreed: Event) -> Iterator[str]:
    """Serve the page while the context lasts; its value is the page's address.

    Args:
        port: on loopback; 0: any free one.
        greeting, agreed: see ``application``.

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
        application(stream, greeting, agreed, key),
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
