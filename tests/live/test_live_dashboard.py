"""The command and its page: lines in, decisions out; served to this machine only; and (slow) shown in a browser."""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from builders.live import chunks_of, exported, source_of
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from raylab.errors import RaylabError
from raylab.live.calibrate import Calibrator
from raylab.live.cli import CONSENT, LiveRequest, follow
from raylab.live.core.event_bus import EventBus
from raylab.live.core.messages import LabelMark, Note, Source
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.dashboard.server import serve
from raylab.live.sources.source import SourceOptions
from raylab.recordings.simulated import SIMULATED


def _chunks(seed: int = 5) -> list[Any]:
    recording = SIMULATED.read(Path(), "P01", {"participants": 4, "minutes": 4, "seed": seed})
    (segment,) = recording.segments
    return list(chunks_of({c.name: (c.rate_hz, segment.signals[c.name]) for c in recording.channels}))


@contextmanager
def _served(
    live_run: Path, items: Any, settings: StreamSettings, captures: bool = False
) -> Iterator[tuple[str, Stream, threading.Event]]:
    """A stream with its page; it runs in a thread."""
    bus, agreed = EventBus(), threading.Event()
    replay = source_of(items)
    source = Source(replay.description, replay.items, recorded=True, captures=captures)
    stream = Stream(exported(live_run, "tuned"), source, bus, settings, waits=True, calibrator=Calibrator)
    greeting = {"consent": CONSENT, "source": source.description, "captures": captures, "record": ""}
    with serve(stream, 0, greeting, agreed) as url:
        runner = threading.Thread(target=stream.run, daemon=True)
        runner.start()
        try:
            yield url, stream, agreed
        finally:
            stream.stop()
            runner.join(20)


def _slowly(chunks: list[Any], pause_s: float = 0.001) -> Iterator[Any]:
    for chunk in chunks:
        time.sleep(pause_s)
        yield chunk


def _agree(socket: Any) -> dict[str, Any]:
    """Give consent as the page does; the greeting that follows."""
    assert "consent" == json.loads(socket.recv(timeout=30))["event"]
    socket.send("agree")
    hello: dict[str, Any] = json.loads(socket.recv(timeout=30))
    return hello


def _until(socket: Any, wanted: str) -> dict[str, Any]:
    """The next event of this kind."""
    while True:
        event: dict[str, Any] = json.loads(socket.recv(timeout=30))
        if event["event"] == wanted:
            return event


def test_a_page_gets_what_is_decided_and_sends_marks(live_run: Path) -> None:
    """Greeting, decisions, marks and consent over the websocket."""
    with _served(live_run, _slowly(_chunks()), StreamSettings(calibrate=50)) as (url, stream, agreed):
        with connect(url.replace("http", "ws") + "live") as socket:
            hello = _agree(socket)
            assert agreed.wait(5)
            assert ("hello", ["calm", "stress"], 50) == (hello["event"], hello["classes"], hello["calibrate"])
            assert {"label", "p", "weights", "missing", "quality", "latency_ms", "parts_ms"} <= set(_until(socket, "decision"))
            socket.send("mark stress")
            assert "stress" == _until(socket, "mark")["label"]
            socket.send(b"mark calm")  # none of the page's: left out
            socket.send("mark " + "x" * 5000)
            assert "stress" == _until(socket, "decision")["mark"]
        assert stream.calibrator is not None and "stress" == stream.calibrator.current_mark


def test_a_late_page_sees_what_was_decided(live_run: Path) -> None:
    """The last events are kept for pages that connect later."""
    with _served(live_run, _chunks(), StreamSettings()) as (url, stream, _):
        until = time.monotonic() + 30
        while stream.statistics.windows < 20 and time.monotonic() < until:
            time.sleep(0.05)
        with connect(url.replace("http", "ws") + "live") as socket:
            _agree(socket)
            assert 12 == _until(socket, "decision")["window"]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "null"}],
)
def test_other_sites_get_nothing(live_run: Path, headers: dict[str, str]) -> None:
    """Neither the page nor the stream, whatever name they give this machine."""
    with _served(live_run, _slowly(_chunks()), StreamSettings()) as (url, _, _):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers))
        caught.value.close()
        assert 403 == caught.value.code
        with pytest.raises(InvalidStatus), connect(url.replace("http", "ws") + "live", additional_headers=headers, origin=None):
            pass


def test_the_page_is_this_machine_s_and_has_a_key(live_run: Path) -> None:
    """On loopback; not without the key in its address; with a policy that allows nothing from elsewhere."""
    with _served(live_run, _slowly(_chunks()), StreamSettings()) as (url, _, _):
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert b"raylab live" in answer.read()
        root = url[: url.index("/", 8) + 1]
        for path in ("", "live", "page.js", "docs", "openapi.json"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(root + path)
            caught.value.close()
            assert 404 == caught.value.code
        port = int(url.split(":")[2].split("/")[0])
        bus, other = EventBus(), exported(live_run)
        with (
            pytest.raises(RaylabError, match="cannot be used"),
            serve(Stream(other, source_of([]), bus, StreamSettings()), port, {}, threading.Event()),
        ):
            pass


def test_lines_in_decisions_out(live_run: Path, tmp_path: Path) -> None:
    """The command in a process of its own: JSON in, bad lines among it; decisions on standard output, and in the record that was asked for."""
    exported(live_run)
    model = next((live_run / "models").glob("fcn_w0.0625-non_personalized.raylab"))
    command = [sys.executable, "-c", "from raylab.cli import main; main()", "live", str(model), "--source", "stdin"]
    lines = [
        json.dumps({"channel": chunk.channel, "time": chunk.time_s, "samples": chunk.samples[:, 0].tolist()})
        for chunk in _chunks()
    ]
    lines[100:100] = ["no json", json.dumps({"channel": "smell", "time": 0, "samples": [1]})]
    process = subprocess.Popen([*command, "--record", str(tmp_path / "r.jsonl")], stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.stdin is not None
    for line in lines:
        process.stdin.write(line + "\n")
        time.sleep(0.001)
    output, messages = process.communicate(timeout=60)
    written = [json.loads(line) for line in output.splitlines()]
    assert 0 == process.returncode and CONSENT in messages and "held out: P01" in messages
    decisions = [event for event in written if event["event"] == "decision"]
    assert 12 == decisions[0]["window"] and len(decisions) > 20
    notes = " ".join(event["text"] for event in written if event["event"] == "note")
    assert "line 101 is left out" in notes and "the model has no such channel" in notes
    assert "end" == written[-1]["event"]
    assert written == [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]


def test_nothing_is_stored_unless_asked(live_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay with a page leaves no file."""
    exported(live_run)
    model = next((live_run / "models").glob("fcn_w0.0625-non_personalized.raylab"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("raylab.live.cli.signal.signal", lambda number, handler: None)  # pytest's own stay
    lines: list[str] = []
    statistics = follow(
        LiveRequest(model, SourceOptions("folder:.", "P01", speed=0), StreamSettings(), page=0, quiet=True), lines.append
    )
    assert statistics.windows > 20 and any("page: http://127.0.0.1" in line for line in lines)
    assert [] == list(tmp_path.rglob("*"))


def test_what_cannot_be_written_or_played_is_refused_before_the_stream(live_run: Path, tmp_path: Path) -> None:
    """A record in a folder that is not there, or in place of a folder; a speed that is none; a camera that is no number."""
    exported(live_run)
    model = next((live_run / "models").glob("fcn_w0.0625-non_personalized.raylab"))
    for record in (tmp_path, tmp_path / "none" / "r.jsonl"):
        request = LiveRequest(model, SourceOptions("folder:.", "P01", speed=0), StreamSettings(), record=record, quiet=True)
        with pytest.raises(RaylabError, match=f"--record {record} cannot be written"):
            follow(request, lambda line: None)
    assert [] == list(tmp_path.iterdir())
    for speed in (float("nan"), float("inf"), -1.0):
        with pytest.raises(RaylabError, match="--speed"):
            SourceOptions("folder:.", "P01", speed=speed)


def test_nobody_is_captured_without_consent(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line it is refused; with a page the stream begins when consent is given there."""
    exported(live_run)
    model = next((live_run / "models").glob("fcn_w0.0625-non_personalized.raylab"))
    began: list[float] = []

    def items(stop: threading.Event) -> Iterator[Any]:
        began.append(time.monotonic())
        yield from _chunks()[:10]

    monkeypatch.setattr(
        "raylab.live.cli.open_source", lambda card, options: Source("somebody", items, recorded=False, captures=True)
    )
    monkeypatch.setattr("raylab.live.cli.signal.signal", lambda number, handler: None)
    request = LiveRequest(model, SourceOptions("folder:."), StreamSettings(), quiet=True)
    with pytest.raises(RaylabError, match="captures people: say with --consent"):
        follow(request, lambda line: None)
    lines: list[str] = []
    runner = threading.Thread(
        target=lambda: follow(LiveRequest(model, SourceOptions("x"), StreamSettings(), page=0, quiet=True), lines.append)
    )
    runner.start()
    until = time.monotonic() + 20
    while not any("waiting for consent" in line for line in lines) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    assert not began
    url = next(line for line in lines if line.startswith("page: ")).removeprefix("page: ")
    with connect(url.replace("http", "ws") + "live") as socket:
        socket.send("agree")
        runner.join(20)
    assert began and not runner.is_alive()


def _wait(page: Any, holds: str) -> None:
    """Wait until an expression is true; the page's policy forbids the browser's own waiting, which evaluates text inside it."""
    until = time.monotonic() + 60
    while not page.evaluate(holds):
        assert time.monotonic() < until, holds
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_browser_shows_a_replay(browser: Any, live_run: Path, width: int, scheme: str) -> None:
    """Consent first; lines, tables and notes fill; a mark is pressed and counted; no complaint, no request elsewhere, nothing serious by axe."""
    axe = pytest.importorskip(
        "axe_core_python.sync_playwright", reason="axe-core-python is not installed: pip install -e '.[browser]'"
    )
    items = [*_chunks()[:2500], Note("test", "<b>hostile</b>"), LabelMark("calm"), *_chunks()[2500:]]
    with _served(live_run, _slowly(items, 0.004), StreamSettings(calibrate=50)) as (url, stream, agreed):
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        requests, complaints = list[str](), list[str]()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog[open]")
        time.sleep(1.0)
        assert not page.is_visible("main") and not page.is_visible("header")  # behind the dialog is nothing
        assert "fcn" not in page.content() and "made for a test" not in page.content() and not page.inner_html("#marks")
        assert "must know it and agree" in page.inner_text("#consent-text") and "Nothing is recorded." in page.inner_text(
            "#consent-record"
        )
        assert not agreed.is_set()
        page.click("#agree")
        assert agreed.wait(5)
        page.wait_for_selector("#chart polyline", timeout=30_000)
        _wait(page, "document.querySelector('#chart polyline').getAttribute('points').split(' ').length > 8")
        strokes = page.evaluate(
            "[...document.querySelectorAll('#chart polyline')].map((line) => getComputedStyle(line).stroke)"
        )
        assert 2 == len(set(strokes)) and "none" not in strokes
        assert 4 == len(page.query_selector_all("#weights tbody tr")) and "in all" in page.inner_text("#latency")
        page.click("#marks button:has-text('stress')")
        page.wait_for_selector("#marks button[aria-pressed=true]:has-text('stress')")
        _wait(page, "document.querySelector('#notes').textContent.includes('<b>hostile</b>')")
        _wait(page, "/stress [1-9]/.test(document.querySelector('#marked').textContent)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        accessibility = axe.Axe().run(page)
        violations = [
            (rule["id"], rule["nodes"][0]["html"])
            for rule in accessibility["violations"]
            if rule["impact"] in ("serious", "critical")
        ]
        assert [] == violations and accessibility["passes"]
        stream.stop()
        _wait(page, "document.querySelector('#state').textContent.includes('has ended')")
        assert [] == complaints
        assert all(request.startswith(url) or request.startswith("data:") for request in requests)
        page.close()
