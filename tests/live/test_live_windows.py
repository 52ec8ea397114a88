"""Windows of running signals: equal to prepared ones, and right if the stream has faults."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders.live import CollectedNotes, chunks_of, signal
from hypothesis import given, settings
from hypothesis import strategies as st

from raylab.live.core.messages import Chunk, SegmentStart, Window
from raylab.live.core.model_card import ModelCard, ModelChannel
from raylab.live.core.timestamp_alignment import Timeline, TimestampAligner
from raylab.live.core.windows import WindowAssembler
from raylab.recordings.recording import Channel, Label, LabelTrack, Recording, Segment
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import cut

RATES = {"fast": (32.0, 8.0), "slow": (4.0, 4.0)}  # recorded, target
SETTINGS = Preprocessing(normalization="past", skip_s=0.0)


def card(**changes: Any) -> ModelCard:
    """The card of a model of two channels."""
    channels = [
        {
            "name": name, "modality": name, "recorded_hz": recorded, "rate_hz": target, "unit": "V",
            "length": round(10 * target), "n_features": 1,
        }
        for name, (recorded, target) in RATES.items()
    ]  # fmt: skip
    model_channels = tuple(ModelChannel(**channel) for channel in channels)
    return ModelCard.model_construct(channels=model_channels, preprocessing={**SETTINGS.as_dict(), **changes})


def signals(seconds: float = 60.0) -> dict[str, tuple[float, Any]]:
    return {name: (recorded, signal(recorded, seconds, seed)) for seed, (name, (recorded, _)) in enumerate(RATES.items())}


def assemble(chunks: Any, notes: CollectedNotes | None = None, **changes: Any) -> list[Window]:
    """The windows of these chunks."""
    assembler = WindowAssembler(card(**changes), CollectedNotes() if notes is None else notes)
    return [window for chunk in chunks for window in assembler.feed(chunk)]


def prepared(recorded: dict[str, tuple[float, Any]], settings_: Preprocessing = SETTINGS) -> Any:
    """The windows that ``raylab prepare`` makes of it, all with a label."""
    channels = tuple(Channel(name, name, recorded, target, "V") for name, (recorded, target) in RATES.items())
    seconds = len(recorded["slow"][1]) / 4
    track = LabelTrack(np.arange(0, seconds, 1.0), np.arange(int(seconds)) // 15 % 2.0)
    segment = Segment("s", 0.0, {name: samples for name, (_, samples) in recorded.items()}, {"t": track})
    recording = Recording("P", channels, (segment,), {})
    return cut(recording, [Label("t", "t", "mode", ("a", "b"), {0: 0, 1: 1})], settings_)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=12), st.integers(0, 1000), st.sampled_from(["none", "high_pass"]))
def test_windows_are_the_prepared_ones_however_the_stream_is_cut(sizes: list[int], seed: int, detrend: Any) -> None:
    """Chunks of any sizes: every prepared window comes, in order, to the bit; detrended ones too."""
    recorded = signals(45.0)
    way = replace(SETTINGS, detrend=detrend, detrend_s=300.0 if detrend == "none" else 20.0)
    offline = prepared(recorded, way)
    pieces = []
    for name, (rate, samples) in recorded.items():
        first = number = 0
        while first < len(samples):
            size = max(1, round(sizes[number % len(sizes)] * rate / 32))
            pieces.append(((first + size) / rate, Chunk(name, first / rate, samples[first : first + size])))
            first, number = first + size, number + 1
    pieces.sort(key=lambda pair: pair[0])
    windows = {window.start_s: window for window in assemble((chunk for _, chunk in pieces), **way.as_dict())}
    for row, start in enumerate(offline.start_s):
        for name in RATES:
            np.testing.assert_array_equal(offline.signals[name][row], windows[start].values[name])
    assert len(offline.start_s) <= len(windows) <= len(offline.start_s) + 1  # the last one, which prepared windows leave out


def test_the_first_minute_gives_no_window() -> None:
    """As in prepared windows: the running minimum and maximum are not settled yet."""
    assert 20.0 == assemble(chunks_of(signals()), skip_s=20.0)[0].start_s


def test_a_window_comes_with_its_last_sample() -> None:
    """Not before, and not later."""
    recorded, assembler = signals(12.0), WindowAssembler(card(), CollectedNotes())
    when = {
        chunk.time_s: len(assembler.feed(chunk))
        for chunk in chunks_of(recorded, 0.25)
        if chunk.channel == "slow" or assembler.feed(chunk) == []
    }
    assert 1 == sum(when.values()) == when[9.75]


def test_a_gap_masks_the_channel_and_is_noted() -> None:
    """1.5 s of one channel are missing: the windows over the gap lack the channel, the others are whole."""
    notes = CollectedNotes()
    rest = (c for c in chunks_of(signals()) if not (c.channel == "fast" and 21 <= c.time_s < 22.5))
    windows = assemble(rest, notes)
    masked = [window.start_s for window in windows if window.missing]
    assert [15.0, 20.0] == masked
    assert all(window.lengths == {"fast": 0} and not window.values["fast"].any() for window in windows if window.missing)
    assert ["fast: 1.50 s are missing"] == notes.texts


def test_after_a_gap_the_filter_is_at_rest() -> None:
    """The window that begins after it has the whole stream's values from its first sample on: a filter from 0 would climb to them."""
    recorded = signals()
    recorded["fast"] = 32.0, recorded["fast"][1] + 45
    complete = {window.start_s: window.values["fast"] for window in assemble(chunks_of(recorded))}
    with_gap = {
        w.start_s: w for w in assemble(c for c in chunks_of(recorded) if not (c.channel == "fast" and 21 <= c.time_s < 25))
    }
    assert not with_gap[25.0].missing
    np.testing.assert_allclose(
        complete[25.0], with_gap[25.0].values["fast"], atol=0.1
    )  # the range is the signal's own, 0 not in it


def test_a_lost_channel_is_left_out_until_it_is_back() -> None:
    """Windows go on without it, soon after it was missed, and have it again."""
    notes = CollectedNotes()
    rest = [c for c in chunks_of(signals(90.0)) if not (c.channel == "slow" and 20 <= c.time_s < 60)]
    assembler, when = WindowAssembler(card(), notes), {}
    for chunk in rest:
        for window in assembler.feed(chunk):
            when[window.start_s] = chunk.time_s, window.missing
    assert {15.0, 20, 25, 30, 35, 40, 45, 50, 55} == {start for start, (_, missing) in when.items() if missing}
    assert {"slow": "lost"} == when[40.0][1]
    assert all(came_s - start < 12.5 for start, (came_s, _) in when.items())
    assert ["nothing for 2 s while other channels go on: it is left out until it is back", "is back"] == [
        note.text for note in notes if "missing" not in note.text and "jump" not in note.text
    ]


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 86400.0 * 365])
def test_a_clock_that_jumps_costs_the_windows_over_it(jump_s: float) -> None:
    """Forward or backward, all channels together: the stream goes on, aligned, and no window spans the jump."""
    notes, recorded = CollectedNotes(), signals(80.0)
    moved = (Chunk(c.channel, c.time_s + (jump_s if c.time_s >= 41 else 0), c.samples) for c in chunks_of(recorded))
    windows = assemble(moved, notes)
    assert 2 == sum("time stamps jump" in text for text in notes.texts) == len(notes)
    complete = [window for window in windows if not window.missing]
    assert all(not window.missing for window in windows)
    before = [w for w in complete if 5 * w.number + 10 <= 41]
    after = [w for w in complete if w not in before]
    assert 7 == len(before) and len(after) >= 5
    assert all(w.start_s >= 41 + jump_s - 0.5 and w.end_s <= 80 + jump_s + 0.5 for w in after)
    for window in after:  # both channels are of the same moment
        start = window.start_s - jump_s
        fast = recorded["fast"][1][round(start * 32) : round((start + 10) * 32)]
        slow = recorded["slow"][1][round(start * 4) : round((start + 10) * 4)]
        assert np.corrcoef(window.values["slow"][:-1, 0], slow[:39, 0])[0, 1] > 0.9
        assert len(fast) >= 316


def test_numbers_that_are_none_mask_the_window() -> None:
    """A NaN reaches neither the filter nor the minimum: later windows are finite and whole."""
    recorded, notes = signals(), CollectedNotes()
    recorded["fast"][1][32 * 22 + 1] = np.nan  # between two samples that are kept
    recorded["slow"][1][4 * 40] = np.inf
    windows = assemble(chunks_of(recorded), notes)
    assert {15.0: "fast", 20.0: "fast", 35.0: "slow", 40.0: "slow"} == {w.start_s: name for w in windows for name in w.missing}
    assert all(np.isfinite(values).all() for window in windows for values in window.values.values())
    assert 2 == sum("are no numbers" in text for text in notes.texts) == sum("(1 were none)" in text for text in notes.texts)


def test_a_doubled_rate_is_left_out_until_it_is_right_again() -> None:
    """Twice the samples between the same stamps: noted, masked, and taken back."""
    notes, recorded = CollectedNotes(), signals(120.0)

    def doubled() -> Any:
        for chunk in chunks_of(recorded):
            twice = chunk.channel == "fast" and 30 <= chunk.time_s < 60
            yield Chunk(chunk.channel, chunk.time_s, np.repeat(chunk.samples, 2, axis=0)) if twice else chunk

    windows = assemble(doubled(), notes)
    masked = [window.start_s for window in windows if window.missing]
    assert set(range(25, 60, 5)) <= set(masked) <= set(range(20, 70, 5))
    assert "fast: brings 64 samples a second, the model needs 32: it is left out until it does" in notes.texts
    assert "fast: has its rate of 32 Hz again" in notes.texts
    assert len(notes) <= 6


@pytest.mark.parametrize("step_s", [5.0, -5.0])
def test_one_clock_that_is_set_stays_with_the_others(step_s: float) -> None:
    """Less than a window, one channel only: after a break of some seconds its windows are whole again, and of the right moment."""
    notes, recorded = CollectedNotes(), signals(120.0)
    offline = prepared(recorded)
    moved = (
        Chunk(c.channel, c.time_s + step_s * (c.channel == "fast" and c.time_s >= 60), c.samples) for c in chunks_of(recorded)
    )
    windows = assemble(moved, notes)
    assert 1 == sum("fast: time stamps jump" in text for text in notes.texts)
    late = [window for window in windows if window.number >= 15]
    assert len(late) >= 7 and not any(window.missing for window in late)
    for window in late[:5]:
        live, prepared_ = window.values["fast"][:, 0], offline.signals["fast"][window.number][:, 0]
        lags = {lag: np.corrcoef(live[24:-24], np.roll(prepared_, lag)[24:-24])[0, 1] for lag in range(-24, 25)}
        assert abs(max(lags, key=lags.__getitem__)) <= 20  # 2.5 s: what came late is dropped before the clock is believed


def test_a_channel_with_a_clock_of_its_own_is_aligned_by_arrival() -> None:
    """Unix time on one channel, a device's seconds on the other: noted, and every window has both, of the right moment."""
    notes, recorded = CollectedNotes(), signals()
    windows = assemble(
        (Chunk(c.channel, c.time_s + 1.7e9 * (c.channel == "slow"), c.samples) for c in chunks_of(recorded)), notes
    )
    assert ["slow: has a clock of its own: it is taken to begin with what has just come of the others"] == notes.texts
    offline = prepared(recorded)
    for window in windows[1:10]:
        assert not window.missing
        assert np.abs(window.values["slow"][1:, 0] - offline.signals["slow"][window.number][:-1, 0]).max() < 0.2 or (
            np.corrcoef(window.values["slow"][:-1, 0], offline.signals["slow"][window.number][1:, 0])[0, 1] > 0.9
        )


def test_a_clock_that_stands_still_is_noted() -> None:
    """Stamps that never move are a coarse clock as long as the samples differ; the rate is then what fails."""
    notes = CollectedNotes()
    aligner = TimestampAligner("fast", 32.0, Timeline(30.0), notes)
    same = np.ones((8, 1))
    for _ in range(100):
        aligner.align(Chunk("fast", 3.0, same))
    assert aligner.counts["late"] > 500 and "samples came late or twice: raylab drops them" in notes.texts[0]
    assert any("time stamps jump" in text for text in notes.texts)


def test_coarse_stamps_lose_nothing() -> None:
    """Whole seconds on packets of an eighth: every sample has its place."""
    aligner = TimestampAligner("fast", 32.0, Timeline(30.0), CollectedNotes())
    draws, count = np.random.default_rng(0), 0
    for number in range(400):
        aligned = aligner.align(Chunk("fast", float(number // 8), draws.normal(size=(4, 1))))
        assert aligned is not None
        count += len(aligned.samples)
    assert 1600 == count == aligner.next_index


def test_one_lost_sample_of_a_slow_channel_is_a_gap() -> None:
    """At 4 Hz a sample is a quarter of a second: windows without it are masked."""
    recorded, notes = signals(), CollectedNotes()
    windows = assemble((c for c in chunks_of(recorded) if not (c.channel == "slow" and c.time_s == 33.0)), notes)
    assert [25.0, 30.0] == [window.start_s for window in windows if window.missing]
    assert ["slow: 0.25 s are missing"] == notes.texts


@pytest.mark.parametrize("lost", [(21.0, 21.25), (21.03, 21.2)])
def test_what_is_lost_between_two_samples_that_are_kept_is_seen(lost: tuple[float, float]) -> None:
    """One of four samples is kept: five that are lost in a row, wherever they lie, mask the windows over them."""
    recorded = signals()
    first, last = round(lost[0] * 32), round(lost[1] * 32)
    rate, samples = recorded["fast"]
    chunks = sorted(
        [
            *chunks_of({"slow": recorded["slow"]}),
            Chunk("fast", 0.0, samples[:first]),
            Chunk("fast", last / rate, samples[last:]),
        ],
        key=lambda c: c.time_s,
    )
    assert [15.0, 20.0] == [window.start_s for window in assemble(chunks) if window.missing == {"fast": "samples are missing"}]


def test_a_chunk_longer_than_windows_loses_none() -> None:
    """A minute at once, of each channel."""
    recorded = signals(60.0)
    offline = prepared(recorded)
    windows = {w.start_s: w for w in assemble([Chunk(name, 0.0, samples) for name, (_, samples) in recorded.items()])}
    assert [] == [start for start in offline.start_s if start not in windows or windows[start].missing]


def test_of_one_channel_a_chunk_may_be_of_any_length() -> None:
    """Longer than the samples that are kept: windows are made in between."""
    recorded = {"fast": (32.0, signal(32.0, 300.0))}
    one_channel = card().model_copy(update={"channels": card().channels[:1]})
    at_once = WindowAssembler(one_channel, CollectedNotes()).feed(Chunk("fast", 0.0, recorded["fast"][1]))
    assembler = WindowAssembler(one_channel, CollectedNotes())
    pieces = [window for chunk in chunks_of(recorded) for window in assembler.feed(chunk)]
    assert 59 == len(pieces) == len(at_once)
    assert all(np.array_equal(a.values["fast"], b.values["fast"]) for a, b in zip(pieces, at_once, strict=True))


def test_absurd_numbers_are_no_measurements() -> None:
    """A value that no 32-bit number can square reaches neither filter nor range."""
    recorded, notes = signals(), CollectedNotes()
    recorded["fast"][1][32 * 22] = 1e308
    windows = assemble(chunks_of(recorded), notes)
    assert [15.0, 20.0] == [window.start_s for window in windows if window.missing]
    assert all(window.values["fast"].std() > 0.05 for window in windows if not window.missing)
    assert [
        "fast: samples are no numbers: windows with them do without the channel",
        "fast: has numbers again (1 were none)",
    ] == notes.texts


def test_segments_are_as_prepared() -> None:
    """A border of the recording: windows and filter begin anew, the range stays, as prepared windows have it."""
    first, second = signals(42.0), {name: (rate, samples + 2) for name, (rate, samples) in signals(38.0).items()}
    channels = tuple(Channel(name, name, recorded, target, "V") for name, (recorded, target) in RATES.items())
    segments = []
    for start, recorded in ((0.0, first), (50.0, second)):
        seconds = len(recorded["slow"][1]) / 4
        track = LabelTrack(np.arange(0, seconds, 1.0), np.arange(int(seconds)) // 15 % 2.0)
        segments.append(Segment("s", start, {name: samples for name, (_, samples) in recorded.items()}, {"t": track}))
    label = Label("t", "t", "mode", ("a", "b"), {0: 0, 1: 1})
    past = Preprocessing(normalization="past", skip_s=20.0)
    offline = cut(Recording("P", channels, tuple(segments), {}), [label], past)
    assembler = WindowAssembler(card(skip_s=20.0), CollectedNotes())
    windows = [w for chunk in chunks_of(first) for w in assembler.feed(chunk)]
    assembler.start_segment(SegmentStart(50.0))
    windows += [w for chunk in chunks_of(second, begin_s=50.0) for w in assembler.feed(chunk)]
    live = {w.start_s: w for w in windows}
    assert {20.0, 25, 30} < set(offline.start_s) and 50.0 in offline.start_s
    for row, start in enumerate(offline.start_s):
        for name in RATES:
            np.testing.assert_array_equal(offline.signals[name][row], live[start].values[name])


def test_a_window_is_complete_when_its_own_last_sample_came() -> None:
    """Not when another chunk showed that a lost channel need not be waited for."""
    recorded, assembler, arrived = signals(40.0), WindowAssembler(card(), CollectedNotes()), {}
    windows = []
    for number, chunk in enumerate(c for c in chunks_of(recorded) if c.channel == "fast" or c.time_s < 14):
        arrived[chunk.channel, chunk.time_s] = float(number)
        windows += assembler.feed(Chunk(chunk.channel, chunk.time_s, chunk.samples, arrived=float(number)))
    (lost,) = [window for window in windows if window.start_s == 5.0]
    assert {"slow": "lost"} == lost.missing and arrived["fast", 14.75] == lost.complete


def test_what_comes_twice_is_dropped_and_counted() -> None:
    """A packet that is sent again changes nothing."""
    once = assemble(chunks_of(signals()))
    again = WindowAssembler(card(), CollectedNotes())
    windows = []
    for number, chunk in enumerate(chunks_of(signals())):
        windows += again.feed(chunk)
        if number in (150, 151):
            windows += again.feed(chunk)
    assert len(once) == len(windows)
    for expected, actual in zip(once, windows, strict=True):
        assert all(np.array_equal(expected.values[name], actual.values[name]) for name in RATES)
    assert 9 == sum(count["late"] for count in again.counts().values())


def test_a_channel_that_starts_late_keeps_its_place() -> None:
    """Its first window is the first one that it covers, at the right moment."""
    recorded = signals()
    windows = assemble(c for c in chunks_of(recorded) if c.channel == "fast" or c.time_s >= 3)
    offline = prepared(recorded)
    assert [0.0] == [window.start_s for window in windows if window.missing]
    assert np.corrcoef(windows[3].values["slow"][:, 0], offline.signals["slow"][3][:, 0])[0, 1] > 0.999


def test_what_the_model_does_not_have_is_noted_once() -> None:
    """A channel it does not know, and one of another width."""
    notes, assembler = CollectedNotes(), WindowAssembler(card(), None or CollectedNotes())
    assembler = WindowAssembler(card(), notes)
    for _ in range(3):
        assembler.feed(Chunk("smell", 0.0, np.zeros((2, 1))))
    assembler.feed(Chunk("slow", 0.0, np.zeros((2, 3))))
    assert ["smell: the model has no such channel (it has fast, slow); it is left out"] == notes.texts[:1]
    assert "slow: a chunk of 2 x 3 was dropped: the model needs (samples, 1)" == notes.texts[1]


def test_clocks_that_drift_are_followed() -> None:
    """A sensor that is 0.1% slow, over 20 minutes: places stay within two samples of the stamps, without a gap."""
    notes = CollectedNotes()
    aligner = TimestampAligner("fast", 32.0, Timeline(10.0), notes)
    true_hz = 32.0 * 0.999
    worst = 0.0
    for number in range(4800):
        stamp = number * 8 / true_hz
        aligned = aligner.align(Chunk("fast", stamp, np.zeros((8, 1))))
        assert aligned is not None and aligned.after_gap == (number == 0)
        worst = max(worst, abs(aligned.index - stamp * 32))
    assert worst < 2.5 and aligner.counts["slips"] > 30 and not notes


def test_jitter_moves_nothing() -> None:
    """Stamps that tremble by 20 ms: every sample keeps its place."""
    aligner, draws = TimestampAligner("fast", 32.0, Timeline(10.0), CollectedNotes()), np.random.default_rng(1)
    for number in range(2000):
        aligned = aligner.align(Chunk("fast", number * 0.25 + draws.uniform(-0.02, 0.02) * (number > 0), np.zeros((8, 1))))
        assert aligned is not None and number * 8 == aligned.index and 8 == len(aligned.samples)
