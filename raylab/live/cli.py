"""What ``raylab live`` does."""

import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from raylab.errors import RaylabError
from raylab.live.core.event_bus import EventBus, EventWriter
from raylab.live.core.model_file import read_model
from raylab.live.core.pipeline import Stream, StreamSettings, StreamStatistics
from raylab.live.dashboard.server import serve
from raylab.live.sources import open_source
from raylab.live.sources.source import Source, SourceOptions

CONSENT = (
    "Whoever is heard, seen or measured must know it and agree. Signals stay on this machine and are not stored; decisions are stored only where a "
    "file was asked for. A decision is a model's guess and no diagnosis."
)


@dataclass(frozen=True)
class LiveRequest:
    """What the user asked for.

    Attributes:
        page: port on loopback; None: no page. 0: any free one.
        record: file that events are added to; None: nothing is stored.
        consent: whether the people whom a microphone or camera captures have agreed.
    """

    model: Path
    asked: SourceOptions
    settings: StreamSettings
    page: int | None = None
    record: Path | None = None
    consent: bool = False
    quiet: bool = False


def follow(order: LiveRequest, say: Any) -> StreamStatistics:
    """Follow a source until it ends, or until the user does.

    Raises:
        RaylabError: where model, source and settings do not fit, before anything is captured.
    """
    model = read_model(order.model)
    source = open_source(model.card, order.asked)
    for line in model.card.lines():
        say(line)
    say(f"source: {source.description}")
    say(CONSENT)
    waits = source.recorded and order.asked.speed == 0
    listeners = EventBus(waits)
    with ExitStack() as stack:
        agreed = Event()
        stream = Stream(model, source, listeners, order.settings, waits)
        if order.page is not None:
            about = {
                "consent": CONSENT,
                "source": source.description,
                "captures": source.captures,
                "record": str(order.record or ""),
            }
            url = stack.enter_context(serve(stream, order.page, about, agreed))
            say(f"page: {url}")
        _ask(source, order, agreed, say)
        writers = [EventWriter(listeners, order.record, str(order.record))] if order.record else []
        if not order.quiet:
            writers.append(EventWriter(listeners, sys.stdout, "standard output"))
        _stop_by_signal(stream)
        account = stream.run()
        for writer in writers:
            writer.finish()
    return account


def _ask(source: Source, order: LiveRequest, agreed: Event, say: Any) -> None:
    """Nobody is captured before they have agreed: on the command line or on the page."""
    if not source.captures or order.consent:
        return
    if order.page is None:
        raise RaylabError("this source captures people: say with --consent that they have agreed, or use --page, which asks")
    say("waiting for consent on the page")
    agreed.wait()


def _stop_by_signal(stream: Stream) -> None:
    """Ctrl-C and the usual request to end let the last windows be decided."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stream.stop())
