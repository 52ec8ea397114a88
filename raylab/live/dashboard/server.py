"""Web server on loopback of the page that shows a stream and takes the wearer's marks."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.live.core.messages import LabelMark
from raylab.live.core.pipeline import Stream

PAGE = Path(__file__).with_name("page.html")
SECURITY_HEADERS = {
    # nothing from elsewhere, and no other site may frame or read it
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LONGEST_MESSAGE = 1000


def _is_own_page(headers: Any) -> bool:
    """Whether a request comes from this page: another site that is open in the same browser is refused, whatever name it gives loopback."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    origin = headers.get("origin")
    return host in ("127.0.0.1", "localhost", "::1") and (origin is None or urlsplit(origin).netloc == headers.get("host"))


def application(stream: Stream, greeting: dict[str, Any], agreed: Event, key: str) -> Any:
    """The web application of the page.

    Args:
        greeting: shown before the first event: consent, source, record.
        agreed: set when consent is given on the page.
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

    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    async def guard(request: Any, handle: Any) -> Any:
        if not _is_own_page(request.headers):
            return responses.PlainTextResponse("only this machine's own page", status_code=403)
        answer = await handle(request)
        answer.headers.update(SECURITY_HEADERS)
        return answer

    app.middleware("http")(guard)

    for path, kind in ((f"/{key}/", "html"), (f"/{key}/page.js", "js"), (f"/{key}/page.css", "css")):
        media = {"html": "text/html", "js": "text/javascript", "css": "text/css"}[kind]
        content = PAGE.with_suffix(f".{kind}").read_text(encoding="utf-8")
        app.add_api_route(path, _returning(responses.Response(content, media_type=media)), include_in_schema=False)

    async def live(websocket: Any) -> None:
        if not _is_own_page(websocket.headers):
            await websocket.close(1008)
            return
        await websocket.accept()
        await websocket.send_json(hello)
        async with _receiving(stream, agreed, websocket):
            await _send_events(stream, websocket)

    # fastapi passes the socket by this type; the package is loaded only here
    live.__annotations__["websocket"] = fastapi.WebSocket
    app.add_api_websocket_route(f"/{key}/live", live)
    return app


def _returning(answer: Any) -> Any:
    async def handler() -> Any:
        return answer

    return handler


async def _send_events(stream: Stream, websocket: Any) -> None:
    """Send events to the page as they come; a page that is too slow loses the oldest."""
    queue = stream.bus.subscribe(history=True)
    try:
        while not queue.done:
            event = await asyncio.to_thread(queue.get, 0.5)
            if event is not None:
                await websocket.send_json(event)
    except (RuntimeError, load("fastapi", "live").WebSocketDisconnect):
        pass  # the page was closed
    finally:
        stream.bus.unsubscribe(queue)


@asynccontextmanager
async def _receiving(stream: Stream, agreed: Event, websocket: Any) -> AsyncIterator[None]:
    """Receive consent and marks from the page in the meantime."""

    async def receive() -> None:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            _handle_message(stream, agreed, str(message.get("text") or ""))

    task = asyncio.create_task(receive())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _handle_message(stream: Stream, agreed: Event, message: str) -> None:
    """Handle a message of the page; unknown ones are ignored."""
    if message == "agree":
        agreed.set()
    elif message.startswith("mark ") and len(message) < LONGEST_MESSAGE:
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
    server = uvicorn.Server(
        uvicorn.Config(application(stream, greeting, agreed, key), log_level="warning", ws="websockets-sansio", lifespan="off")
    )
    thread = Thread(target=server.run, args=([listening],), name="page", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/{key}/"
    finally:
        server.should_exit = True
        thread.join(5)
        listening.close()
