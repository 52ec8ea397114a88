"""The command ``raylab live``: opens model, source, page and record, and follows the stream to its end."""

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from raylab.errors import RaylabError
from raylab.live.calibrate import Calibrator, check_calibration
from raylab.live.core.event_bus import EventBus, EventWriter
from raylab.live.core.messages import Source
from raylab.live.core.model_file import read_model
from raylab.live.core.pipeline import Stream, StreamSettings, StreamStatistics
from raylab.live.dashboard.server import Destinations, serve
from raylab.live.dashboard.session import PageSession
from raylab.live.sources import open_source
from raylab.live.sources.source import SourceOptions

CONSENT = (
    "Whoever is heard, seen or measured must know it and agree. Signals stay on this machine and are not stored; decisions are stored only where a "
    "file was asked for. A decision is a model's guess and no diagnosis."
)


@dataclass(frozen=True)
class LiveRequest:
    """The user's request.

    Attributes:
        model: path of the model file.
        page: port on loopback; None: no page. 0: any free one.
        record: file to which events are appended; None: nothing is stored.
        consent: whether everyone concerned has agreed already: nothing waits for the page then, and microphone and camera may be opened without one.
        quiet: whether events are kept off standard output.
    """

    model: Path
    source: SourceOptions
    settings: StreamSettings
    page: int | None = None
    record: Path | None = None
    consent: bool = False
    quiet: bool = False


def follow(request: LiveRequest, log: Callable[[str], None]) -> StreamStatistics:
    """Follow a source until it ends, or until the user ends the command.

    Args:
        log: called with each line for the user.

    Raises:
        RaylabError: if model, source and settings do not fit together; before anything is captured.
    """
    model = read_model(request.model)
    check_calibration(model.card)
    source = open_source(model.card, request.source)
    for line in model.card.lines():
        log(line)
    log(f"source: {source.description}")
    log(CONSENT)
    _require_writable(request.record)
    _require_consent(source, request)
    waits = source.recorded and request.source.speed == 0
    bus = EventBus(waits)
    with ExitStack() as stack:
        stream = Stream(model, source, bus, request.settings, waits, Calibrator)
        session = PageSession(stream.withdraw)
        if request.consent or request.page is None:
            session.start()
        if request.page is not None:
            destinations = Destinations(str(request.record or ""), not request.quiet)
            log(f"page: {stack.enter_context(serve(stream, request.page, destinations, session))}")
        if not session.started:
            log("nothing is measured before everyone concerned has agreed on the page and start is pressed there")
        if not session.wait():
            log("consent was refused on the page: nothing was measured")
            return stream.statistics
        writers = [EventWriter(bus, request.record, str(request.record))] if request.record else []
        if not request.quiet:
            writers.append(EventWriter(bus, sys.stdout, "standard output"))
        _stop_by_signal(stream)
        statistics = stream.run()
        if session.outcome:
            log("consent was withdrawn on the page: what was not decided yet was thrown away")
        for writer in writers:
            writer.finish()
    return statistics


def _require_writable(record: Path | None) -> None:
    """Refuse a record that cannot be written, before the first decision is lost; nothing is written yet.

    Raises:
        RaylabError: naming the file.
    """
    if record is None:
        return
    try:
        existed = record.exists()
        record.open("a", encoding="utf-8").close()
        if not existed:
            record.unlink()
    except OSError as error:
        raise RaylabError(
            f"--record {record} cannot be written ({error.strerror or error}); give a file in a folder that is there"
        ) from error


def _require_consent(source: Source, request: LiveRequest) -> None:
    """Refuse to capture people who can agree neither on the command line nor on a page.

    Raises:
        RaylabError: naming both.
    """
    if source.captures and not request.consent and request.page is None:
        raise RaylabError("this source captures people: say with --consent that they have agreed, or use --page, which asks")


def _stop_by_signal(stream: Stream) -> None:
    """Ctrl-C and the usual request to terminate end the stream, after the last windows are decided."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stream.stop())
