"""Consent on the page: nothing of the stream before it and before start, nothing after it is taken back. The server holds it, not the page."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from builders.live import chunks_of, events, exported, subscribe
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from raylab.errors import RaylabError
from raylab.live.cli import CONSENT, LiveRequest, follow
from raylab.live.core.event_bus import EventBus
from raylab.live.core.messages import Source
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.dashboard.server import Destinations, serve
from raylab.live.dashboard.session import REFUSED, WITHDRAWN, PageSession
from raylab.live.sources.source import SourceOptions
from raylab.recordings.simulated import SIMULATED

SECRETS = (
    "secret",
    "stress",
    "calm",
    "fcn",
    "P01",
    "rsp",
    "simulated",
    '"p"',
)  # source, classes, model, person, channel, dataset


def _chunks() -> list[Any]:
    recording = SIMULATED.read(Path(), "P01", {"participants": 4, "minutes": 4, "seed": 5})
    return list(chunks_of({c.name: (c.rate_hz, recording.segments[0].signals[c.name]) for c in recording.channels}))


class _Command:
    """``raylab live`` with a page, in a thread, on a source that says how much was taken from it."""

    def __init__(self, live_run: Path, patch: pytest.MonkeyPatch, chunks: list[Any], captures: bool, **request: Any) -> None:
        self.taken, self.lines, self.statistics = 0, list[str](), list[Any]()
        self.chunks = chunks
        source = Source("the secret source", self._items, recorded=False, captures=captures)
        patch.setattr("raylab.live.cli.open_source", lambda card, options: source)
        patch.setattr("raylab.live.cli.signal.signal", lambda number, handler: None)  # pytest's own stay
        exported(live_run)
        model = next((live_run / "models").glob("fcn_w0.0625-non_personalized.raylab"))
        asked = LiveRequest(model, SourceOptions("x"), StreamSettings(), page=0, quiet=True, **request)
        self.runner = threading.Thread(target=lambda: self.statistics.append(follow(asked, self.lines.append)), daemon=True)
        self.runner.start()
        until = time.monotonic() + 20
        while not any(line.startswith("page: ") for line in self.lines) and time.monotonic() < until:
            time.sleep(0.02)

    def _items(self, stop: threading.Event) -> Iterator[Any]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk
            if stop.wait(0.001):
                return
        stop.wait(20)  # a device has no end

    @property
    def url(self) -> str:
        return next(line for line in self.lines if line.startswith("page: ")).removeprefix("page: ")

    @contextmanager
    def page(self) -> Iterator[Any]:
        with connect(self.url.replace("http", "ws") + "live") as page:
            yield page


def _next(page: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(page.recv(timeout=20))
    return event


def _until(page: Any, wanted: str) -> dict[str, Any]:
    while (event := _next(page))["event"] != wanted:
        pass
    return event


def _rest(page: Any) -> list[dict[str, Any]]:
    """Everything that still comes, until the server closes."""
    received = []
    try:
        while True:
            received.append(_next(page))
    except ConnectionClosed:
        return received


@pytest.mark.parametrize("captures", [False, True])
def test_nothing_is_taken_or_sent_before_consent_and_start(
    live_run: Path, monkeypatch: pytest.MonkeyPatch, captures: bool
) -> None:
    """The source rests until start is pressed by a page that has agreed; before consent a page has the question alone, whatever it says."""
    command = _Command(live_run, monkeypatch, _chunks(), captures)
    assert "nothing is measured before everyone concerned has agreed on the page and start is pressed there" in command.lines
    with urllib.request.urlopen(command.url) as answer, command.page() as page, command.page() as other:
        question, html = page.recv(timeout=20), answer.read().decode()
        assert [] == [word for word in SECRETS if word in question or word in html]
        assert {
            "event": "consent",
            "measured": [
                "electrical activity of the heart (in millivolts)",
                "pulse",
                "skin conductance (in microsiemens)",
                "breathing",
            ],
            "replay": False,
            "captures": captures,
            "record": "",
            "printed": False,
        } == json.loads(question)
        for message in ("start", "mark calm", "stop", "", "Agree", b"agree"):
            page.send(message)
        with pytest.raises(TimeoutError):
            page.recv(timeout=0.7)
        page.send("agree")
        hello = _next(page)
        assert ("hello", False, "the secret source") == (hello["event"], hello["started"], hello["source"])
        page.send("mark calm")
        with pytest.raises(TimeoutError):
            page.recv(timeout=0.7)
        assert 0 == command.taken
        page.send("start")
        assert "started" == _next(page)["event"]
        assert 12 == _until(page, "decision")["window"] and command.taken > 0
        assert "consent" == _next(other)["event"]
        with pytest.raises(TimeoutError):  # another page agrees for itself
            other.recv(timeout=0.7)
        page.send("stop")
    command.runner.join(20)
    assert not command.runner.is_alive()


def test_a_refusal_ends_the_command_before_anything_is_measured(
    live_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also if another page has agreed: both are told, nothing is written, and the command ends without an error."""
    command = _Command(live_run, monkeypatch, _chunks(), captures=True, record=tmp_path / "r.jsonl")
    with command.page() as willing, command.page() as page:
        willing.send("agree")
        _until(willing, "hello")
        page.send("refuse")
        assert {"event": "over", "outcome": REFUSED} == _until(page, "over") == _until(willing, "over")
        assert [] == _rest(page)
    command.runner.join(20)
    assert not command.runner.is_alive() and 0 == command.taken == command.statistics[0].windows
    assert [] == list(tmp_path.iterdir()) and "consent was refused on the page: nothing was measured" in command.lines


def test_withdrawn_consent_ends_the_stream_for_every_page(
    live_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is sent after it, what waits is thrown away, the file says so, and a page that comes later is told that it is over."""
    command = _Command(live_run, monkeypatch, _chunks(), captures=False, record=tmp_path / "r.jsonl")
    with command.page() as page, command.page() as other:
        for each in (page, other):
            each.send("agree")
            _until(each, "hello")
        other.send("start")
        assert "started" == _next(page)["event"]
        _until(page, "decision")
        page.send("stop")
        for each in (page, other):
            kinds = [event["event"] for event in _rest(each)]
            assert "over" == kinds[-1] and 1 == kinds.count("over")
    command.runner.join(20)
    assert not command.runner.is_alive()
    assert any("consent was withdrawn on the page" in line for line in command.lines)
    written = [json.loads(line)["event"] for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert "end" == written[-1] and "decision" not in written[written.index("withdrawn") :]


def test_a_page_after_the_withdrawal_is_told_that_it_is_over(live_run: Path) -> None:
    """While the command still ends: no question, nothing to agree to, and no start brings it back."""
    bus = EventBus()
    stream = Stream(exported(live_run), Source("x", lambda stop: iter(()), False), bus, StreamSettings())
    session = PageSession(stream.withdraw)
    with serve(stream, 0, Destinations(), session) as url:
        session.start()
        session.end()
        session.start()
        with connect(url.replace("http", "ws") + "live") as page:
            assert [{"event": "over", "outcome": WITHDRAWN}] == _rest(page)
    assert not session.wait()


def test_what_waits_is_thrown_away_when_consent_is_withdrawn(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision that is being made is not sent, and the windows behind it are not decided, though their samples were captured."""
    bus = EventBus()
    queue = subscribe(bus)
    chunks, deciding = _chunks(), threading.Event()
    source = Source("x", lambda stop: iter(chunks), recorded=True)
    stream = Stream(exported(live_run), source, bus, StreamSettings(), waits=True)
    decide = stream.classifier.decide

    def slowly(window: Any, began: float | None = None) -> Any:
        if window.number == 14:
            deciding.set()
            time.sleep(0.5)
        return decide(window, began)

    monkeypatch.setattr(stream.classifier, "decide", slowly)
    runner = threading.Thread(target=stream.run)
    runner.start()
    assert deciding.wait(20)
    stream.withdraw()
    runner.join(20)
    assert not runner.is_alive()
    decided = [event["window"] for event in events(queue) if event["event"] == "decision"]
    assert [12, 13] == decided


def test_without_a_page_people_are_captured_only_with_consent(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command refuses, and says how to agree; with --consent a page need not be waited for."""
    source = Source("somebody", lambda stop: iter(_chunks()), recorded=False, captures=True)
    monkeypatch.setattr("raylab.live.cli.open_source", lambda card, options: source)
    monkeypatch.setattr("raylab.live.cli.signal.signal", lambda number, handler: None)
    exported(live_run)
    model = next((live_run / "models").glob("fcn_w0.0625-non_personalized.raylab"))
    with pytest.raises(RaylabError, match="captures people: say with --consent"):
        follow(LiveRequest(model, SourceOptions("x"), StreamSettings(), quiet=True), lambda line: None)
    lines: list[str] = []
    for page in (None, 0):
        request = LiveRequest(model, SourceOptions("x"), StreamSettings(), page=page, consent=True, quiet=True)
        assert follow(request, lines.append).windows > 0
    assert CONSENT in lines


def test_the_question_says_what_consent_is_about() -> None:
    """What is measured and shown, where it goes, what the number is and is not, and how to stop: in the page itself, before any script."""
    html = (Path(__file__).resolve().parents[2] / "raylab/live/dashboard/page.html").read_text(encoding="utf-8")
    question = html[html.index('<section id="consent"') : html.index('<section id="ready"')]
    titles = (
        "What is measured",
        "What is shown",
        "Where it goes",
        "What the number is",
        "What the number is not",
        "You can stop",
    )
    assert [] == [title for title in titles if f"<dt>{title}</dt>" not in question]
    assert "Nowhere but this machine" in question and "not a medical device" in question
    assert [] == [stage for stage in ("consent", "ready", "over") if f'<section id="{stage}" class="reading"' not in html]
    assert 5 == html.count(" hidden>") - html.count('<button id="stop" hidden>')  # all stages, and the calibration
