"""The live page in a browser, as a wearer goes through it: question, start, guesses, stop; on a phone and on a desk, light and dark."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from builders.live import chunks_of, exported

from raylab.live.calibrate import Calibrator
from raylab.live.core.event_bus import EventBus
from raylab.live.core.messages import Chunk, LabelMark, Note, Source
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.dashboard.server import Destinations, serve
from raylab.live.dashboard.session import PageSession
from raylab.recordings.simulated import SIMULATED

pytestmark = pytest.mark.slow

SECRETS = ("fcn", "made for a test", "calm", "stress", "P01", "simulated")
RATES = {"ecg": 128, "ppg": 64, "eda": 32, "rsp": 32}


def _items() -> list[Any]:
    """Four minutes at which a note is hostile, raylab dropped two seconds of ppg, and the device lost two of eda."""
    recording = SIMULATED.read(Path(), "P01", {"participants": 4, "minutes": 4, "seed": 5})
    items: list[Any] = []
    for chunk in chunks_of({c.name: (c.rate_hz, recording.segments[0].signals[c.name]) for c in recording.channels}):
        dropped = chunk.channel == "ppg" and 100 <= chunk.time_s < 102
        lost = chunk.channel == "eda" and 110 <= chunk.time_s < 112
        after = 2 * RATES["eda"] if chunk.channel == "eda" and chunk.time_s >= 112 else 0
        n_before = round(chunk.time_s * RATES[chunk.channel]) - after
        items += [] if dropped or lost else [Chunk(chunk.channel, chunk.time_s, chunk.samples, n_before=n_before)]
    return [*items[:2000], Note("test", "<b>hostile</b>"), LabelMark("calm"), *items[2000:]]


@contextmanager
def _command(live_run: Path) -> Iterator[tuple[str, PageSession, Stream]]:
    """A page whose stream runs once it is started there; its pace is 60 times real time."""

    def give(stop: threading.Event) -> Iterator[Any]:
        for item in _items():
            if stop.wait(0.001):
                return
            yield item
        stop.wait(60)

    source = Source("made for a test", give, recorded=True)
    stream = Stream(
        exported(live_run, "tuned"), source, EventBus(), StreamSettings(calibrate=50), waits=True, calibrator=Calibrator
    )
    session = PageSession(stream.withdraw)
    with serve(stream, 0, Destinations(record="decisions.jsonl"), session) as url:
        runner = threading.Thread(target=lambda: session.wait() and stream.run(), daemon=True)
        runner.start()
        try:
            yield url, session, stream
        finally:
            session.end()
            runner.join(20)


def _opened(browser: Any, url: str, width: int, scheme: str = "light") -> tuple[Any, list[str], list[str]]:
    """The page, the browser's complaints, and the addresses it asked for."""
    page = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
    complaints, requests = list[str](), list[str]()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    page.wait_for_selector("#consent:not([hidden])")
    return page, complaints, requests


def _wait(page: Any, holds: str) -> None:
    """Wait until an expression is true; the page's policy forbids the browser's own waiting, which evaluates text inside it."""
    until = time.monotonic() + 60
    while not page.evaluate(holds):
        assert time.monotonic() < until, holds
        time.sleep(0.05)


def _check(page: Any, width: int) -> None:
    """Nothing is wider than the screen, and axe finds nothing."""
    axe = pytest.importorskip(
        "axe_core_python.sync_playwright", reason="axe-core-python is not installed: pip install -e '.[browser]'"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    result = axe.Axe().run(page)
    assert [] == [(rule["id"], rule["nodes"][0]["html"]) for rule in result["violations"]] and result["passes"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_wearer_goes_through_a_session(browser: Any, live_run: Path, width: int, scheme: str) -> None:
    """Question, what will be measured, start, guesses in words, a mark, losses by who lost them, stop: each stage whole, and without complaint."""
    with _command(live_run) as (url, session, _):
        page, complaints, requests = _opened(browser, url, width, scheme)
        assert [] == [word for word in SECRETS if word in page.content()]
        assert "Nothing new: a recording is replayed." in page.inner_text("#consent")
        assert "skin conductance (in microsiemens)" in page.inner_text("#measured")
        assert "added to the file decisions.jsonl" in page.inner_text("#stored")
        assert not page.is_visible("#stop") and not page.is_visible("#running") and not session.started
        _check(page, width)

        page.click("#agree")
        page.wait_for_selector("#ready:not([hidden])")
        assert "calm or stress" in page.inner_text("#classes") and "pairs" in page.inner_text("#quality")
        assert "A guess every 5 s, each from the last 10 s of signals." == page.inner_text("#rhythm")
        assert not session.started and page.is_visible("#stop")
        _check(page, width)

        page.click("#start")
        page.wait_for_selector("#running:not([hidden])")
        page.wait_for_selector("#chart polyline", timeout=60_000)
        page.click("#marks button:has-text('stress')")
        page.wait_for_selector("#marks button[aria-pressed=true]:has-text('stress')")
        _wait(
            page, "/^pulse: 2 s dropped: this machine was too slow$/.test(document.querySelector('#lost-raylab').textContent)"
        )
        _wait(page, "/conductance: 2 s never came/.test(document.querySelector('#lost-device').textContent)")
        _wait(page, "document.querySelector('#minute').textContent.match(/\\d+ of 12 windows/g)?.length === 2")
        _wait(page, "/stress [1-9]/.test(document.querySelector('#marked').textContent)")
        assert "pulse" not in page.inner_text("#lost-device") and "conductance" not in page.inner_text("#lost-raylab")
        assert page.inner_text("#label") in ("calm", "stress")
        assert f"to {page.inner_text('#label')}; all states together have 100%." in page.inner_text("#share")
        _wait(
            page, "/skin conductance: comes through/.test(document.querySelector('#signals').textContent)"
        )  # it is flat for some seconds
        assert not page.is_visible("#notes") and not page.is_visible("#latency")  # folded
        lines = "[...document.querySelectorAll('#chart polyline')].map((l) => [getComputedStyle(l).stroke, getComputedStyle(l).strokeDasharray])"
        assert 2 == len({stroke for stroke, _ in page.evaluate(lines)}) == len({dash for _, dash in page.evaluate(lines)})
        _check(page, width)
        page.click("summary")
        assert "<b>hostile</b>" in page.inner_text("#notes") and "in all" in page.inner_text("#latency")
        _check(page, width)

        page.click("#stop")
        page.wait_for_selector("#over:not([hidden])")
        assert "Guesses that are in decisions.jsonl stay there" in page.inner_text("#over")
        assert [] == [word for word in SECRETS if word in page.content()]
        _check(page, width)
        assert "withdrawn" == session.outcome and [] == complaints
        assert all(request.startswith(url) or request.startswith("data:") for request in requests)


def test_a_session_is_led_by_the_keyboard(browser: Any, live_run: Path) -> None:
    """Each stage begins at its heading; Tab and Enter agree, start and stop; what changes is announced."""
    with _command(live_run) as (url, session, _):
        page, complaints, _ = _opened(browser, url, 390)
        focused = "document.activeElement.id"
        assert "consent-title" == page.evaluate(focused)
        page.keyboard.press("Tab")
        assert "agree" == page.evaluate(focused)
        page.keyboard.press("Enter")
        _wait(page, f"{focused} === 'ready-title'")
        page.keyboard.press("Tab")
        assert "start" == page.evaluate(focused)
        page.keyboard.press("Enter")
        _wait(page, f"{focused} === 'now-title'")
        _wait(page, "/^Now (calm|stress)$/.test(document.querySelector('#spoken[aria-live]').textContent)")
        page.keyboard.press("Shift+Tab")
        assert "stop" == page.evaluate(focused)
        page.keyboard.press("Enter")
        _wait(page, f"{focused} === 'over-title'")
        assert "Stopped." == page.inner_text("#state[role=status]") and [] == complaints
        assert session.outcome == "withdrawn"


def test_a_refusal_is_the_end(browser: Any, live_run: Path) -> None:
    """The page says that nothing was measured, and has no way back."""
    with _command(live_run) as (url, session, stream):
        page, complaints, _ = _opened(browser, url, 390, "dark")
        page.click("#refuse")
        page.wait_for_selector("#over:not([hidden])")
        assert "Nothing was measured, shown or stored." in page.inner_text("#over")
        assert 0 == page.locator("button:visible").count()
        _check(page, 390)
        assert ("refused", 0) == (session.outcome, stream.statistics.windows) and [] == complaints
        assert not stream.bus._history


def test_a_session_that_ends_by_itself_stays_readable(browser: Any, live_run: Path) -> None:
    """The source ends: the page says after how many windows, keeps what it shows, and offers no stop."""
    with _command(live_run) as (url, _, stream):
        page, _, _ = _opened(browser, url, 1280)
        page.click("#agree")
        page.click("#start")
        page.wait_for_selector("#chart polyline", timeout=60_000)
        stream.stop()
        _wait(page, "/has ended after \\d+ windows/.test(document.querySelector('#state').textContent)")
        assert page.inner_text("#label") in ("calm", "stress") and not page.is_visible("#stop")
