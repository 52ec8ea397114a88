"""Connections with a time limit: uvicorn waits without end for a request that does not end, and for a page that does not read."""

from typing import Any

from raylab.features.optional_packages import load

REQUEST_S = 10.0  # from a request's first byte, or from the connection, to its last byte
UNREAD_S = 20.0  # for which a page may read nothing while there is something to read
MOST_HEADER_BYTES = 16_384


def request_protocol() -> Any:
    """uvicorn's protocol of HTTP, with a time limit for each request."""
    h11 = load("h11", "live")
    base: Any = load("uvicorn.protocols.http.h11_impl", "live").H11Protocol

    class TimedRequests(base):  # type: ignore[misc]  # the package is loaded only here
        """Closes a connection on which no request comes, or one that does not end."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._deadline: Any = None
            self._begin_to_wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
                self._begin_to_wait()
            else:
                self._end_to_wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_to_wait()
            super().connection_lost(exc)

        def _begin_to_wait(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(REQUEST_S, self._give_up)

        def _end_to_wait(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _give_up(self) -> None:
            self._deadline = None
            if self.transport.get_protocol() is self:  # no websocket has taken it over
                self.transport.abort()

    return TimedRequests


def socket_protocol() -> Any:
    """uvicorn's protocol of websockets, with a time limit for a page that does not read."""
    base: Any = load("uvicorn.protocols.websockets.websockets_sansio_impl", "live").WebSocketsSansIOProtocol

    class TimedSocket(base):  # type: ignore[misc]  # the package is loaded only here
        """Ends a connection if what was sent is not read for long; until then the page's queue drops the oldest events."""

        _deadline: Any = None

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._deadline is None:
                self._deadline = self.loop.call_later(UNREAD_S, self.transport.abort)

        def resume_writing(self) -> None:
            self._end_to_wait()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_to_wait()
            super().connection_lost(exc)

        def _end_to_wait(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return TimedSocket
