"""A page on loopback that shows a stream, and takes the wearer's marks."""

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
SAFE = {
    # nothing from elsewhere, and nobody else may frame it or read it
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LONGEST_MESSAGE = 1000


def _is_ours(headers: Any) -> bool:
    """Whether a request comes from this page: another site that is open in the same browser may not listen in, whatever name it gives loopback."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    origin = headers.get("origin")
    return host in ("127.0.0.1", "localhost", "::1") and (origin is None or urlsplit(origin).netloc == headers.get("host"))


def application(stream: Stream, about: dict[str, Any], agreed: Event, key: str) -> Any:
    """The page's server.

    Args:
        key: in the page's address: other people who use this machine do not know it.
        about: what the page says before anything comes: consent, source, record.
        agreed: set when somebody has agreed on the page.
    """
    fastapi = load("fastapi", "live")
    responses = load("fastapi.responses", "live")
    card = stream.model.card
    hello = {
        "event": "hello",
        **about,
        "card": card.lines(),
        "classes": list(card.classes),
        "channels": [channel.name for channel in card.channels],
        "calibrate": stream.settings.calibrate,
        "window_s": card.preprocessing["window_s"],
    }

    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    async def guard(request: Any, go_on: Any) -> Any:
        if not _is_ours(request.headers):
            return responses.PlainTextResponse("only this machine's own page", status_code=403)
        answer = await go_on(request)
        answer.headers.update(SAFE)
        return answer

    app.middleware("http")(guard)

    for path, kind in ((f"/{key}/", "html"), (f"/{key}/page.js", "js"), (f"/{key}/page.css", "css")):
        media = {"html": "text/html", "js": "text/javascript", "css": "text/css"}[kind]
        content = PAGE.with_suffix(f".{kind}").read_text(encoding="utf-8")
        app.add_api_route(path, _giving(responses.Response(content, media_type=media)), include_in_schema=False)

    async def live(socket_: Any) -> None:
        if not _is_ours(socket_.headers):
            await socket_.close(1008)
            return
        await socket_.accept()
        await socket_.send_json(hello)
        async with _hearing(stream, agreed, socket_):
            await _sending(stream, socket_)

    live.__annotations__["socket_"] = fastapi.WebSocket  # by which it is given the socket; the package is loaded only here
    app.add_api_websocket_route(f"/{key}/live", live)
    return app


def _giving(answer: Any) -> Any:
    async def give() -> Any:
        return answer

    return give


async def _sending(stream: Stream, socket_: Any) -> None:
    """Events to the page, as they come; a page that is too slow loses the oldest."""
    queue = stream.listeners.join(before=True)
    try:
        while not queue.done:
            event = await asyncio.to_thread(queue.get, 0.5)
            if event is not None:
                await socket_.send_json(event)
    except (RuntimeError, load("fastapi", "live").WebSocketDisconnect):
        pass  # the page was closed
    finally:
        stream.listeners.leave(queue)


@asynccontextmanager
async def _hearing(stream: Stream, agreed: Event, socket_: Any) -> AsyncIterator[None]:
    """What the page says: consent and marks."""

    async def hear() -> None:
        while True:
            said = await socket_.receive()
            if said["type"] == "websocket.disconnect":
                return
            _take(stream, agreed, str(said.get("text") or ""))

    task = asyncio.create_task(hear())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _take(stream: Stream, agreed: Event, said: str) -> None:
    """A message of the page; what is none is left out."""
    if said == "agree":
        agreed.set()
    elif said.startswith("mark ") and len(said) < LONGEST_MESSAGE:
        stream.mark(LabelMark(said.removeprefix("mark ").strip()))


@contextmanager
def serve(stream: Stream, port: int, about: dict[str, Any], agreed: Event) -> Iterator[str]:
    """The page while the stream runs; gives its address.

    Raises:
        RaylabError: where the port is taken.
    """
    uvicorn = load("uvicorn", "live")
    load("websockets", "live")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()  # who comes before the server has started waits
    except OSError as error:
        listening.close()
        raise RaylabError(f"port {port} cannot be used ({error.strerror}); give another one with --page, 0 for any") from error
    key = secrets.token_urlsafe(12)
    server = uvicorn.Server(
        uvicorn.Config(application(stream, about, agreed, key), log_level="warning", ws="websockets-sansio", lifespan="off")
    )
    thread = Thread(target=server.run, args=([listening],), name="page", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/{key}/"
    finally:
        server.should_exit = True
        thread.join(5)
        listening.close()
