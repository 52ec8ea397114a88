"""The command and its page: lines in, decisions out; served to this machine only."""

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
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.dashboard.server import Destinations, serve
from raylab.live.dashboard.session import PageSession
from raylab.live.sources.source import SourceOptions
from raylab.recordings.simulated import SIMULATED


def _chunks(seed: int = 5) -> list[Any]:
    recording = SIMULATED.read(Path(), "P01", {"participants": 4, "minutes": 4, "seed": seed})
    (segment,) = recording.segments
    return list(chunks_of({c.name: (c.rate_hz, segment.signals[c.name]) for c in recording.channels}))


@contextmanager
def _served(live_run: Path, items: Any, settings: StreamSettings) -> Iterator[tuple[str, Stream]]:
    """A stream with its page; it runs in a thread, as with --consent."""
    stream = Stream(exported(live_run, "tuned"), source_of(items), EventBus(), settings, waits=True, calibrator=Calibrator)
    session = PageSession(stream.withdraw)
    session.start()
    with serve(stream, 0, Destinations(), session) as url:
        runner = threading.Thread(target=stream.run, daemon=True)
        runner.start()
        try:
            yield url, stream
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
    """Greeting, decisions and marks over the websocket."""
    with _served(live_run, _slowly(_chunks()), StreamSettings(calibrate=50)) as (url, stream):
        with connect(url.replace("http", "ws") + "live") as socket:
            hello = _agree(socket)
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
    with _served(live_run, _chunks(), StreamSettings()) as (url, stream):
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
    with _served(live_run, _slowly(_chunks()), StreamSettings()) as (url, _):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers))
        caught.value.close()
        assert 403 == caught.value.code
        with pytest.raises(InvalidStatus), connect(url.replace("http", "ws") + "live", additional_headers=headers, origin=None):
            pass


def test_the_page_is_this_machine_s_and_has_a_key(live_run: Path) -> None:
    """On loopback; not without the key in its address; with a policy that allows nothing from elsewhere."""
    with _served(live_run, _slowly(_chunks()), StreamSettings()) as (url, _):
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
            serve(Stream(other, source_of([]), bus, StreamSettings()), port, Destinations(), PageSession(lambda: None)),
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
        LiveRequest(model, SourceOptions("folder:.", "P01", speed=0), StreamSettings(), page=0, consent=True, quiet=True),
        lines.append,
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
