"""Windows: each preprocessing step, cutting, labelling, and what stands on disk."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mstats
from test_recordings import wesad_content, write_wesad

from raylab.errors import RaylabError, RecordingError
from raylab.files import Folder, within
from raylab.recordings import Channel, Label, LabelTrack, Recording, Segment
from raylab.recordings.simulated import SIMULATED
from raylab.runs.prepare import Order, prepare
from raylab.windows.cut import NO_LABEL, Cut, cut, decide, starts, summary
from raylab.windows.dataset import PER_PARTICIPANT, fingerprint_of, read_card, read_index, read_windows, to_table
from raylab.windows.preprocess import Preprocessing, clean, downsample, limits, lowpass, min_max, winsorize

PAPER = Preprocessing()
PAST = Preprocessing(normalization="past")
FAST = Channel("bvp", "bvp", 64.0, 64.0, "a.u.", "P1.csv")  # low-passed: 64 / 2 > 10
AXIS = Channel("acc", "acc", 32.0, 8.0, "g", "P1.csv")  # low-passed and downsampled
SLOW = Channel("eda", "eda", 4.0, 4.0, "uS", "P1.csv")  # neither
CODES = Label("stress", "task", "mode", ("calm", "stress"), {3: 0, 2: 1})
MAJORITY = Label("stress", "task", "majority", ("calm", "stress"), {0: 0, 1: 1})
ANY = replace(MAJORITY, name="any", decide="mode")  # ties go to 0, so that every covered window has a class
OWN_MEAN = Label("arousal", "rating", "above_own_mean", ("low", "high"))

Values = npt.NDArray[np.float64]


def segment(seconds: float, start_s: float = 0.0, seed: int = 0, channels: tuple[Channel, ...] = (FAST, AXIS, SLOW)) -> Segment:
    """Noise, and a 1 Hz task track: calm (0) in the first half, stress (1) in the second."""
    rng = np.random.default_rng([seed, round(start_s)])
    signals = {channel.name: rng.normal(0, 1, (round(seconds * channel.rate_hz), 1)) for channel in channels}
    times = np.arange(np.ceil(seconds))
    return Segment(f"from {start_s:g} s", start_s, signals, {"task": LabelTrack(times, (times >= seconds / 2).astype(float))})


def recording(*segments: Segment, channels: tuple[Channel, ...] = (FAST, AXIS, SLOW)) -> Recording:
    return Recording("P1", channels, segments, {"age": 30.0})


def track(times: Any, values: Any) -> LabelTrack:
    return LabelTrack(np.asarray(times, dtype=float), np.asarray(values, dtype=float))


def quiet(line: str) -> None:
    """Takes what prepare says."""


# --- steps 1 to 4 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [20, 33, 250, 1000])
def test_winsorize_is_by_rank(n: int) -> None:
    """The lowest and highest int(3%) of ranks take the next value, as scipy's mstats does; columns are apart."""
    samples = np.random.default_rng(n).normal(0, 1, (n, 2))
    found = winsorize(samples, 0.03)
    cut_off = int(0.03 * n)
    for column in range(2):
        ranked = np.sort(samples[:, column])
        expected = np.clip(samples[:, column], ranked[cut_off], ranked[n - cut_off - 1])
        np.testing.assert_array_equal(found[:, column], expected)
        np.testing.assert_array_equal(found[:, column], np.asarray(mstats.winsorize(samples[:, column], limits=(0.03, 0.03))))


def test_winsorize_is_no_percentile_clip() -> None:
    """A clip at the 3rd and 97th percentile interpolates between ranks, and gives other numbers."""
    samples = np.random.default_rng(0).normal(0, 1, (250, 1))
    clipped = np.clip(samples, *np.percentile(samples, [3, 97]))
    assert np.abs(winsorize(samples, 0.03) - clipped).max() > 1e-4


def test_winsorize_leaves_the_recording_alone() -> None:
    """The samples that were read are not changed in place."""
    samples = np.random.default_rng(0).normal(0, 1, (100, 1))
    before = samples.copy()
    winsorize(samples, 0.03)
    np.testing.assert_array_equal(samples, before)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), at=st.integers(1, 299))
def test_lowpass_is_causal(seed: int, at: int) -> None:
    """Whatever comes at and after a sample, the output before it stays the same to the bit."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 1, (300, 2))
    other = samples.copy()
    other[at:] = rng.normal(5, 10, (300 - at, 2))
    first, second = lowpass(samples, 64, PAPER), lowpass(other, 64, PAPER)
    np.testing.assert_array_equal(first[:at], second[:at])
    assert not np.array_equal(first[at:], second[at:])


@pytest.mark.parametrize(("rate_hz", "filtered"), [(4, False), (20, False), (20.5, True), (32, True), (700, True)])
def test_lowpass_only_above_twice_the_cut_off(rate_hz: float, filtered: bool) -> None:
    """A channel whose rate/2 is not above 10 Hz passes unchanged; others do not."""
    samples = np.random.default_rng(0).normal(0, 1, (200, 1))
    assert np.array_equal(lowpass(samples, rate_hz, PAPER), samples) is not filtered


@pytest.mark.parametrize(("hz", "kept"), [(1.0, 1.0), (10.0, 2**-0.5), (40.0, 0.0)])
def test_lowpass_keeps_what_is_slow(hz: float, kept: float) -> None:
    """A slow sine passes, one at 10 Hz loses 3 dB, a fast one vanishes."""
    sine = np.sin(2 * np.pi * hz * np.arange(7000) / 700)[:, None]
    assert lowpass(sine, 700, PAPER)[3500:].max() == pytest.approx(kept, abs=0.02)


@pytest.mark.parametrize(("rate_hz", "target_hz", "every"), [(32, 8, 4), (700, 70, 10), (700, 7, 100), (4, 4, 1)])
def test_downsample_keeps_every_kth_sample(rate_hz: float, target_hz: float, every: int) -> None:
    """Samples 0, k, 2k, ... are kept as they are, nothing is averaged."""
    samples = np.arange(1003.0)[:, None]
    found = downsample(samples, Channel("a", "acc", rate_hz, target_hz, "g"))
    np.testing.assert_array_equal(found[:, 0], np.arange(0, 1003, every))


def test_a_causal_filter_begins_at_rest() -> None:
    """Under ``past`` what it passes lies within what was recorded, from the first sample on; the paper's climbs from zero."""
    samples = 45 + np.random.default_rng(0).normal(0, 1, (320, 3))
    for settings_, least in ((PAST, 41.0), (PAPER, 0.0)):
        made = lowpass(samples, 32, settings_)
        assert (made[0] > least).all() and (made.min(axis=0) > least).all()
    assert (lowpass(samples, 32, PAPER)[0] < 20).all()
    np.testing.assert_allclose(lowpass(np.full((50, 2), 7.0), 32, PAST), 7.0, rtol=1e-12)


def test_filter_does_not_ring_across_a_gap() -> None:
    """A segment's low-passed signal is that of the segment alone, whatever the segment before held."""
    first, second = segment(30), segment(30, 100)
    loud = replace(first, signals={name: 50 + 9 * signal for name, signal in first.signals.items()})
    for settings_ in (PAST, replace(PAPER, winsor_share=0.0)):
        expected = downsample(lowpass(second.signals["acc"], 32, settings_), AXIS)
        for before in (first, loud):
            np.testing.assert_array_equal(clean(recording(before, second), AXIS, settings_)[1], expected)


def test_winsorizing_looks_at_all_segments_together() -> None:
    """Extremes are those of the participant's whole recording, not of each segment."""
    made = recording(segment(30), segment(30, 100))
    joined = np.concatenate([part.signals["eda"] for part in made.segments])
    np.testing.assert_array_equal(np.concatenate(clean(made, SLOW, PAPER)), winsorize(joined, 0.03))


def test_recording_normalization_spans_0_to_1() -> None:
    """Over the whole recording every channel has minimum 0 and maximum 1, and the windows are cuts of it."""
    whole = recording(segment(61), segment(47, 100))
    made = cut(whole, [MAJORITY], PAPER)
    assert {name: signal.dtype for name, signal in made.signals.items()} == dict.fromkeys(made.signals, np.dtype(np.float32))
    for channel in whole.channels:
        parts = clean(whole, channel, PAPER)
        low, high = limits(parts, PAPER)
        scaled = min_max(np.concatenate(parts), low, high)
        assert (scaled.min(), scaled.max()) == (0.0, 1.0)
        rate, border = round(channel.target_rate_hz), len(parts[0])
        for start, part, window in zip(made.start_s, made.segment, made.signals[channel.name], strict=True):
            first = round(start * rate) if part == 0 else border + round((start - 100) * rate)
            np.testing.assert_allclose(window, scaled[first : first + 10 * rate], rtol=0, atol=1e-6)


# --- normalization: past -----------------------------------------------------------------------------------------


def _future_changed(whole: Recording, end_s: float, seed: int) -> Recording:
    """The same until ``end_s``, other and much larger samples after it."""
    rng = np.random.default_rng(seed)
    part = whole.segments[0]
    signals = {}
    for channel in whole.channels:
        samples, at = part.signals[channel.name].copy(), round(end_s * channel.rate_hz)
        samples[at:] = rng.normal(-3, 40, samples[at:].shape)
        signals[channel.name] = samples
    return replace(whole, segments=(replace(part, signals=signals),))


@settings(derandomize=True, deadline=None, max_examples=20)
@given(window=st.integers(0, 6), seed=st.integers(0, 1000))
def test_past_sees_nothing_after_the_window(window: int, seed: int) -> None:
    """Under ``past``, changing everything after a window's end changes neither it nor any window before it."""
    whole = recording(segment(110, seed=seed))
    made = cut(whole, [MAJORITY], PAST)
    other = cut(_future_changed(whole, made.start_s[window] + 10, seed), [MAJORITY], PAST)
    np.testing.assert_array_equal(made.start_s, other.start_s)
    for name, signal in made.signals.items():
        np.testing.assert_array_equal(signal[: window + 1], other.signals[name][: window + 1])
        assert not np.array_equal(signal[window + 1 :], other.signals[name][window + 1 :])


def test_recording_normalization_does_see_the_future() -> None:
    """The paper's way looks ahead: the same change moves the windows before it (so the test above can fail)."""
    whole = recording(segment(110))
    made, other = (cut(one, [MAJORITY], PAPER) for one in (whole, _future_changed(whole, 70, 0)))
    assert not np.array_equal(made.signals["eda"][:12], other.signals["eda"][:12])


def test_past_scales_by_the_extremes_so_far() -> None:
    """A window's minimum and maximum are those from the recording's start to the window's end, gaps included."""
    whole = recording(segment(80), segment(40, 100))
    made = cut(whole, [MAJORITY], PAST)
    joined = np.concatenate([part.signals["eda"] for part in whole.segments])
    for start, part, window in zip(made.start_s, made.segment, made.signals["eda"], strict=True):
        first = round(start * 4) if part == 0 else 320 + round((start - 100) * 4)
        seen = joined[: first + 40]
        expected = (joined[first : first + 40] - seen.min()) / (seen.max() - seen.min())
        np.testing.assert_allclose(window, expected, rtol=0, atol=1e-6)
        assert window.min() >= 0 and window.max() <= 1


def test_past_gives_no_windows_in_the_first_minute() -> None:
    """The first window under ``past`` starts at 60 s of the recording, also where a segment starts in between."""
    assert cut(recording(segment(110)), [MAJORITY], PAST).start_s.tolist() == list(range(60, 100, 5))
    gap = recording(segment(30), segment(60, 47))
    assert cut(gap, [ANY], PAST).start_s.tolist() == [62.0, 67.0, 72.0, 77.0, 82.0, 87.0, 92.0]


# --- step 5: cutting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (0, []),
        (9.99, []),
        (10, []),
        (10.25, [0]),
        (15, [0]),
        (15.25, [0, 5]),
        (20, [0, 5]),
        (20.25, [0, 5, 10]),
        (25, [0, 5, 10]),
    ],
)
def test_last_start_is_strictly_before_the_end(duration_s: float, expected: list[float]) -> None:
    """Windows start every 5 s, and the last start is strictly before duration - 10 s."""
    assert starts(duration_s, PAPER).tolist() == expected


@settings(derandomize=True, max_examples=200)
@given(quarters=st.integers(0, 40_000))
def test_starts_follow_the_protocol_for_every_length(quarters: int) -> None:
    """For every length in quarter seconds: all multiples of 5 s below length - 10 s, and no other."""
    duration_s = quarters / 4
    expected = [float(start) for start in range(0, 10_000, 5) if start < duration_s - 10]
    assert starts(duration_s, PAPER).tolist() == expected


def test_windows_never_cross_a_segment_border() -> None:
    """Segments of low and of high values give windows that hold one or the other, named after their segment."""
    low, high = segment(22), segment(22, 100)
    high = replace(high, signals={name: 1000 + signal for name, signal in high.signals.items()})
    channels = (SLOW,)
    made = cut(recording(low, high, channels=channels), [ANY], PAPER)
    assert made.start_s.tolist() == [0, 5, 10, 100, 105, 110]
    assert made.segment.tolist() == [0, 0, 0, 1, 1, 1]
    assert made.sessions == ["from 0 s"] * 3 + ["from 100 s"] * 3
    assert made.signals["eda"][:3].max() < 0.1
    assert made.signals["eda"][3:].min() > 0.9


def test_shortest_channel_decides_how_many_windows() -> None:
    """A window needs samples of every channel, so the channel that ends first ends the windows."""
    part = segment(60)
    part = replace(part, signals={**part.signals, "eda": part.signals["eda"][: 41 * 4]})
    made = cut(recording(part), [ANY], PAPER)
    assert made.start_s.tolist() == [0, 5, 10, 15, 20, 25, 30]
    assert made.duration_s == 41.0
    assert {name: signal.shape for name, signal in made.signals.items()} == {
        "bvp": (7, 640, 1),
        "acc": (7, 80, 1),
        "eda": (7, 40, 1),
    }


def test_windows_without_a_label_are_dropped() -> None:
    """Windows whose code is none of the label's are not stored; with two labels, those with either are, marked -1."""
    values = np.repeat([0.0, 2.0, 3.0, 1.0], 30)
    part = replace(segment(120), tracks={"task": track(np.arange(120), values)})
    baseline = Label("stress_baseline", "task", "mode", ("baseline", "stress"), {1: 0, 2: 1})
    alone = cut(recording(part), [CODES], PAPER)
    # 25 s and 85 s are ties that go to the smaller code, 0 and 1, which have no class; 55 s goes to 2.
    assert alone.start_s.tolist() == list(range(30, 85, 5))
    assert alone.labels["stress"].tolist() == [1] * 6 + [0] * 5
    both = cut(recording(part), [CODES, baseline], PAPER)
    for name in ("stress", "stress_baseline"):
        assert set(both.labels[name].tolist()) == {NO_LABEL, 0, 1}
    assert not ((both.labels["stress"] == NO_LABEL) & (both.labels["stress_baseline"] == NO_LABEL)).any()


# --- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2] * 6 + [3] * 4, 1),
        ([3] * 6 + [2] * 4, 0),
        ([3] * 5 + [2] * 5, 1),
        ([0] * 5 + [3] * 5, NO_LABEL),
        ([7] * 6 + [2] * 4, NO_LABEL),
        ([4, 4, 4, 3, 3, 3, 2, 2, 2, 1], 1),
    ],
)
def test_mode_takes_the_smallest_tied_code(values: list[int], expected: int) -> None:
    """The window's most frequent code decides, the smallest of tied ones, and codes without a class give no label."""
    assert decide(track(range(10), values), 0, 10, CODES, 0.0) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0] * 6 + [1] * 4, 0), ([0] * 4 + [1] * 6, 1), ([0] * 5 + [1] * 5, NO_LABEL), ([0, 1] * 5, NO_LABEL)],
)
def test_majority_drops_a_tie(values: list[int], expected: int) -> None:
    """More than half of the seconds decide; five against five give no label."""
    assert decide(track(range(10), values), 0, 10, MAJORITY, 0.0) == expected


@pytest.mark.parametrize(("own_mean", "expected"), [(4.9, 1), (5.0, 0), (5.1, 0)])
def test_above_own_mean_is_strict(own_mean: float, expected: int) -> None:
    """Class 1 where the window's mean exceeds the participant's own mean; equal is class 0."""
    assert decide(track(range(10), [4, 6] * 5), 0, 10, OWN_MEAN, own_mean) == expected


def test_own_mean_is_each_participants() -> None:
    """Two people who rate on different levels are each split at their own mean, over all their segments."""
    found = {}
    for name, level in (("P1", 1.0), ("P2", 6.0)):
        parts = []
        for number, start in enumerate((0.0, 100.0)):
            ratings = {"rating": track(np.arange(0, 40, 0.5), np.full(80, level + number))}
            parts.append(replace(segment(40, start), tracks=ratings))
        found[name] = cut(replace(recording(*parts), participant=name), [OWN_MEAN], PAPER).labels["arousal"].tolist()
    assert found == {"P1": [0] * 6 + [1] * 6, "P2": [0] * 6 + [1] * 6}


@pytest.mark.parametrize(
    ("begin", "expected"), [(0, NO_LABEL), (2, NO_LABEL), (3, 0), (5, 0), (10, 0), (11, NO_LABEL), (15, NO_LABEL)]
)
@pytest.mark.parametrize("label", [CODES, OWN_MEAN])
def test_partly_covered_windows_carry_no_label(label: Label, begin: float, expected: int) -> None:
    """A track from 3 s to 20 s labels the windows inside it and none that reach out of it."""
    assert decide(track(range(3, 20), [3] * 17), begin, begin + 10, label, 3.0) == expected


def test_labels_are_found_by_time() -> None:
    """A track that starts late is read at its seconds; reading it by row would be off by its start."""
    late = track(np.arange(20, 60), [0] * 20 + [1] * 20)
    found = [decide(late, begin, begin + 10, MAJORITY, 0.0) for begin in (15, 20, 30, 35, 40, 50, 51)]
    assert found == [NO_LABEL, 0, 0, NO_LABEL, 1, 1, NO_LABEL]


def test_offset_labels_are_found_by_time() -> None:
    """Labels at 0.4, 1.4, ... s belong to the window that their time falls into."""
    offset = track(np.arange(40) + 0.4, [0] * 20 + [1] * 20)
    assert [decide(offset, begin, begin + 10, MAJORITY, 0.0) for begin in (1, 10, 14, 16, 20)] == [0, 0, 0, 1, 1]


def test_irregular_labels_are_found_by_time() -> None:
    """Where labels come at uneven times, their seconds decide which window they count in, not their position."""
    times = np.concatenate([np.arange(0, 10, 0.1), np.arange(10, 40, 1.0)])
    uneven = track(times, (times >= 10).astype(float))
    assert [decide(uneven, begin, begin + 10, MAJORITY, 0.0) for begin in (0, 10, 20, 29)] == [0, 1, 1, 1]


def test_a_label_holds_until_the_next() -> None:
    """A value holds from its time to the next one's (LabelTrack), also through a window with no new value."""
    sparse = track([0, 3, 30, 33, 36, 39, 42], [0, 1, 0, 0, 0, 0, 0])
    assert decide(sparse, 5, 15, MAJORITY, 0.0) == 1


@pytest.mark.parametrize("label", [CODES, MAJORITY, OWN_MEAN])
def test_missing_and_empty_labels_give_none(label: Label) -> None:
    """A NaN inside the window, or a track without values, gives no label."""
    assert decide(track(range(10), [2.0] * 9 + [np.nan]), 0, 10, label, 0.0) == NO_LABEL
    assert decide(track([], []), 0, 10, label, 0.0) == NO_LABEL


def test_summary_counts_windows_per_class() -> None:
    """The card's counts per label are those of the cut's classes."""
    made = cut(recording(segment(110)), [MAJORITY], PAPER)
    found = summary(replace(recording(segment(110)), traits={"age": 30.0}), made, [MAJORITY])
    calm, stress = (int((made.labels["stress"] == index).sum()) for index in (0, 1))
    assert found == {
        "name": "P1",
        "windows": calm + stress,
        "duration_s": 110.0,
        "counts": {"stress": {"calm": calm, "stress": stress}},
        "traits": {"age": 30.0},
        "notes": [],
    }


# --- refusals ----------------------------------------------------------------------------------------------------


def _with(samples: Values, channel: Channel = SLOW) -> Recording:
    part = segment(60)
    return recording(replace(part, signals={**part.signals, channel.name: samples}))


def _spoilt(value: float) -> Values:
    samples = np.random.default_rng(0).normal(0, 1, (240, 1))
    samples[100:103] = value
    return samples


@pytest.mark.parametrize("settings_", [PAPER, PAST], ids=["recording", "past"])
@pytest.mark.parametrize(
    ("samples", "what"),
    [
        (_spoilt(np.nan), r"has 3 of 240 samples that are NaN or infinite, the first at 25\.00 s"),
        (_spoilt(-np.inf), r"has 3 of 240 samples that are NaN or infinite, the first at 25\.00 s"),
        (np.full((240, 1), 0.5), r"never moves: every sample is 0\.5"),
    ],
)
def test_useless_channel_is_refused(samples: Values, what: str, settings_: Preprocessing) -> None:
    """NaN, infinity and a constant channel are refused with participant, channel, file, finding and remedy."""
    with pytest.raises(RecordingError, match=rf"participant P1, channel eda, file P1\.csv: {what}.*What to do: .*--without"):
        cut(_with(samples), [MAJORITY], settings_)


@pytest.mark.parametrize(("rate_hz", "target_hz"), [(32, 5), (32, 64), (4, 3)])
def test_impossible_rate_is_refused(rate_hz: float, target_hz: float) -> None:
    """A target rate that no k reaches, or above the recorded one, is refused with both rates."""
    channel = Channel("acc", "acc", rate_hz, target_hz, "g")
    whole = recording(segment(60, channels=(channel,)), channels=(channel,))
    with pytest.raises(
        RecordingError, match=f"participant P1, channel acc: cannot go from {rate_hz} Hz to {target_hz} Hz.*What to do"
    ):
        cut(whole, [MAJORITY], PAPER)


@pytest.mark.parametrize("seconds", [3, 10])
def test_too_short_recording_is_refused(seconds: float) -> None:
    """A recording without room for one window says how long it is, and what to do."""
    with pytest.raises(RecordingError, match=rf"participant P1: {seconds}\.0 s give 0 windows of 10 s.*stress.*--without"):
        cut(recording(segment(seconds)), [MAJORITY], PAPER)


def test_recording_without_a_labelled_window_is_refused() -> None:
    """Windows that all lack a label are a problem of the participant, and the label is named."""
    with pytest.raises(RecordingError, match=r"participant P1: 60\.0 s give 10 windows of 10 s, none with a label \(stress\)"):
        cut(recording(segment(60)), [replace(MAJORITY, codes={7: 0})], PAPER)


# --- on disk -----------------------------------------------------------------------------------------------------

SMALL = {"participants": 5, "minutes": 3, "seed": 3}  # the options of the cohort fixture


def _cut_person(name: str) -> Cut:
    person = SIMULATED.read(Path(), name, {**SIMULATED.options, **SMALL})
    return cut(person, [SIMULATED.label("stress")], PAPER)


def test_prepared_windows_are_the_cut_ones(cohort: Path) -> None:
    """What prepare stored through Ray equals, to the bit, what cutting each person here gives."""
    windows = read_windows(Folder(cohort / "simulated"))
    assert windows.index.participants == ("P01", "P02", "P03", "P04", "P05")
    for number in (0, 3):
        made, rows = _cut_person(windows.index.participants[number]), windows.index.person == number
        np.testing.assert_array_equal(windows.index.start_s[rows], made.start_s, strict=True)
        np.testing.assert_array_equal(windows.index.segment[rows], made.segment, strict=True)
        np.testing.assert_array_equal(windows.index.labels["stress"][rows], made.labels["stress"], strict=True)
        assert list(windows.signals) == list(made.signals)
        for name, signal in made.signals.items():
            np.testing.assert_array_equal(windows.signals[name][rows], signal, strict=True)


def test_index_alone_equals_the_windows_index(cohort: Path) -> None:
    """Planning reads the same index as training does."""
    alone, whole = read_index(Folder(cohort / "simulated")), read_windows(Folder(cohort / "simulated")).index
    assert (alone.card, alone.participants) == (whole.card, whole.participants)
    for name in ("window", "person", "segment", "start_s"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name), strict=True)
    np.testing.assert_array_equal(alone.labels["stress"], whole.labels["stress"], strict=True)


def test_window_ids_name_person_and_position(cohort: Path) -> None:
    """A window's id is its participant's position times a million plus its position in time."""
    index = read_index(Folder(cohort / "simulated"))
    expected = [person * PER_PARTICIPANT + i for person, n in enumerate(np.bincount(index.person)) for i in range(n)]
    assert index.window.tolist() == expected
    assert all((np.diff(index.start_s[index.person == person]) > 0).all() for person in range(5))


def test_card_describes_what_is_stored(cohort: Path) -> None:
    """The card names dataset, preprocessing, classes and traits, and counts the windows that are there."""
    index = read_index(Folder(cohort / "simulated"))
    assert (index.name, index.window_s, index.classes("stress")) == ("simulated", 10.0, ("calm", "stress"))
    assert index.card["preprocessing"] == PAPER.as_dict()
    assert set(index.traits("P02")) == set(SIMULATED.traits)
    assert [entry["windows"] for entry in index.card["participants"]] == np.bincount(index.person).tolist()
    counts = [entry["counts"]["stress"] for entry in index.card["participants"]]
    stress = [int(index.labels["stress"][index.person == person].sum()) for person in range(5)]
    assert [count["stress"] for count in counts] == stress
    lengths = {channel["name"]: (channel["length"], channel["rate_hz"]) for channel in index.card["channels"]}
    assert lengths == {"ecg": (640, 64.0), "ppg": (640, 64.0), "eda": (40, 4.0), "rsp": (80, 8.0)}


def test_fingerprint_follows_every_column() -> None:
    """The digest repeats, and any changed signal, label, time or session changes it."""
    made = cut(recording(segment(60)), [MAJORITY], PAPER)
    columns = ["window", "session", "segment", "start_s", "y_stress", "bvp", "acc", "eda"]

    def digest(one: Cut, number: int = 0) -> str:
        return fingerprint_of(to_table(one, "P1", number, ["stress"]), columns)

    moved = made.signals["eda"].copy()
    moved[0, 0, 0] += np.float32(1e-6)
    changed = [
        replace(made, signals={**made.signals, "eda": moved}),
        replace(made, labels={"stress": 1 - made.labels["stress"]}),
        replace(made, start_s=made.start_s + 1),
        replace(made, sessions=["other", *made.sessions[1:]]),
    ]
    found = [digest(made), digest(made, number=1), *(digest(one) for one in changed)]
    assert digest(made) == found[0]
    assert len(set(found)) == len(found)


@pytest.fixture
def copied(cohort: Path, tmp_path: Path) -> Path:
    """A copy of the cohort's windows to spoil."""
    return Path(shutil.copytree(cohort / "simulated", tmp_path / "simulated"))


def _files(folder: Path, participant: str) -> list[Path]:
    return sorted((folder / f"participant={participant}").glob("*.parquet"))


def _replaced(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


@pytest.mark.parametrize("how", ["value", "label", "row lost", "row added", "file lost", "damaged"])
def test_changed_windows_are_refused_by_name(copied: Path, how: str) -> None:
    """A changed, added, lost or damaged row or file is noticed, and the participant is named."""
    file = _files(copied, "P03")[0]
    table = pq.ParquetFile(file).read()
    if how == "value":
        values = table["eda"].to_pylist()
        values[2][5] += 1e-3
        table = _replaced(table, "eda", values)
    elif how == "label":
        table = _replaced(table, "y_stress", [1 - value for value in table["y_stress"].to_pylist()])
    if how == "file lost":
        file.unlink()
    elif how == "damaged":
        file.write_bytes(file.read_bytes()[:200])
    elif how == "row added":
        pq.write_table(table.slice(0, 1), file.with_name("more.parquet"))
    else:
        pq.write_table(table.slice(1) if how == "row lost" else table, file)
    with pytest.raises(RaylabError, match=r"participant P03.*prepare the dataset again"):
        read_windows(Folder(copied))


def test_missing_participant_is_named(copied: Path) -> None:
    """A participant's folder that is gone is named, by the index as by the windows."""
    shutil.rmtree(copied / "participant=P04")
    for read in (read_index, read_windows):
        with pytest.raises(RaylabError, match="windows of participant P04 are missing; prepare the dataset again"):
            read(Folder(copied))


def test_missing_card_says_how_to_prepare(copied: Path) -> None:
    """A folder without a card was not prepared, or half; the message is the command to run."""
    (copied / "card.json").unlink()
    with pytest.raises(RaylabError, match=r"holds no prepared windows \(no card\.json\); run: raylab prepare"):
        read_card(Folder(copied))


def test_other_format_is_refused(copied: Path) -> None:
    """A card of another format is refused with the format that this raylab reads."""
    card = json.loads((copied / "card.json").read_text())
    (copied / "card.json").write_text(json.dumps({**card, "format": 2}))
    with pytest.raises(RaylabError, match="has format 2, this raylab reads 1"):
        read_card(Folder(copied))


# --- preparing ---------------------------------------------------------------------------------------------------


def simulated(out: Path, **more: Any) -> Order:
    return Order("simulated", ".", str(out), **{"options": SMALL, **more})


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    """Preparing into a folder that holds something else is refused and removes nothing, even with overwrite."""
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RaylabError, match="is not empty and holds no windows; give another --out"):
            prepare(simulated(tmp_path), overwrite=overwrite, say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_prepared_once(copied: Path) -> None:
    """Preparing again into finished windows is refused, and leaves them readable."""
    with pytest.raises(RaylabError, match=r"holds prepared windows already.*--overwrite"):
        prepare(simulated(copied), say=quiet)
    assert len(read_windows(Folder(copied)).index.participants) == 5


def test_overwriting_replaces_everything(cluster: None, copied: Path) -> None:
    """With overwrite, other options replace all windows; nobody of the old cohort stays and no notes are left."""
    said: list[str] = []
    order = simulated(copied, options={**SMALL, "participants": 4, "minutes": 2}, without=("P02",))
    card = prepare(order, overwrite=True, say=said.append)
    assert read_windows(Folder(copied)).index.participants == ("P01", "P03", "P04")
    assert sorted(path.name for path in copied.iterdir()) == [
        "card.json",
        "participant=P01",
        "participant=P03",
        "participant=P04",
    ]
    assert card["fingerprint"] in said[-1] and "over 3 people" in said[-1]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"without": ("P09", "P01")}, "--without names P09; simulated has P01, P02, P03, P04, P05"),
        ({"options": {"people": 3}}, r"simulated has no option people \(it has participants, minutes"),
        ({"labels": ("joy",)}, "simulated has no label 'joy'; it offers stress"),
        ({"without": tuple(f"P0{i}" for i in range(1, 6))}, "without"),
    ],
)
def test_impossible_orders_are_refused(tmp_path: Path, more: dict[str, Any], what: str) -> None:
    """An unknown participant, option or label, or nobody left, is refused with what there is; nothing is written."""
    with pytest.raises((RaylabError, ValueError), match=what):
        prepare(simulated(tmp_path / "out", **more), say=quiet)
    assert not (tmp_path / "out").exists()


def test_missing_root_is_refused(tmp_path: Path) -> None:
    """A dataset that needs files says so when its folder is missing."""
    with pytest.raises(RecordingError, match=r"absent: is no folder.*--root"):
        prepare(Order("wesad", str(tmp_path / "absent"), str(tmp_path / "out")), say=quiet)


def test_every_problem_is_named_at_once(cluster: None, tmp_path: Path) -> None:
    """Two broken participants of three are both named, no card is written, and after repair the same command works."""
    root, out = tmp_path / "wesad", tmp_path / "out"
    for number, name in enumerate(("S2", "S3", "S4")):
        write_wesad(root, wesad_content(name, seed=number), name)
    whole = (root / "S3/S3.pkl").read_bytes()
    (root / "S3/S3.pkl").write_bytes(whole[:5000])
    spoilt = wesad_content("S4", seed=2)
    spoilt["signal"]["wrist"]["EDA"][7] = np.nan
    write_wesad(root, spoilt, "S4")
    order = Order("wesad", str(root), str(out))
    with pytest.raises(RaylabError) as refusal:
        prepare(order, say=quiet)
    message = str(refusal.value)
    assert message.startswith("nothing was prepared:")
    assert "participant S3, file" in message and "cannot be unpickled" in message
    assert "participant S4, channel wrist_eda" in message and "the first at 1.75 s" in message
    assert "participant S2" not in message
    with pytest.raises(RaylabError, match="holds no prepared windows"):
        read_card(Folder(out))
    (root / "S3/S3.pkl").write_bytes(whole)
    write_wesad(root, wesad_content("S4", seed=2), "S4")
    prepare(order, say=quiet)
    index = read_index(Folder(out))
    assert np.bincount(index.person).tolist() == [6, 6, 6]
    assert index.labels["stress"].tolist() == [0, 0, 0, 1, 1, 1] * 3, "the tied window takes code 2"


def test_participants_with_other_channels_are_named(cluster: None, tmp_path: Path) -> None:
    """A cohort where one person has other devices is refused with that person and the option that helps."""
    for name, devices in (("S2", ("wrist",)), ("S3", ("chest", "wrist"))):
        write_wesad(tmp_path / "wesad", wesad_content(name, devices=devices), name)
    order = Order("wesad", str(tmp_path / "wesad"), str(tmp_path / "out"))
    with pytest.raises(RaylabError, match=r"participant\(s\) S3 have other channels.*than S2.*--option"):
        prepare(order, say=quiet)


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "s3://bucket/x", "link", "link/x", "deep/link"]
)
def test_within_refuses_what_leaves_the_root(tmp_path: Path, name: str) -> None:
    """Absolute paths, URIs, ``..`` and links out of the root are refused by name."""
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    (root / "deep" / "link").symlink_to("/etc")
    with pytest.raises(ValueError, match=name):
        within(root, name)


def test_within_gives_paths_inside(tmp_path: Path) -> None:
    """A name inside is joined to the root, on disk as in an object store, and names that only look like ``..`` pass."""
    assert within(tmp_path, "a/b.txt") == f"{tmp_path.resolve()}/a/b.txt"
    assert within(tmp_path, "a..b/c") == f"{tmp_path.resolve()}/a..b/c"
    assert within("s3://bucket/data/", "a/b.txt") == "s3://bucket/data/a/b.txt"
    with pytest.raises(ValueError, match="leaves its folder"):
        within("s3://bucket/data", "../other")


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A write that fails half way leaves what was there, and no partial file."""
    folder = Folder(tmp_path)
    folder.write("notes/a.json", b"old")
    not_bytes: Any = object()
    for spoilt in (lambda: folder.write("notes/a.json", not_bytes), lambda: folder.write_table("notes/a.json", not_bytes)):
        with pytest.raises((TypeError, AttributeError)):
            spoilt()
    assert {path.name: path.read_bytes() for path in (tmp_path / "notes").iterdir()} == {"a.json": b"old"}


def test_json_without_nan(tmp_path: Path) -> None:
    """JSON comes back as written, and NaN, which no other reader knows, is refused before anything is written."""
    folder = Folder(tmp_path)
    folder.write_json("a.json", {"b": [1, 2.5, None], "a": "ü"})
    assert folder.read_json("a.json") == {"b": [1, 2.5, None], "a": "ü"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("b.json", float("nan"))
    assert folder.names("") == ["a.json"]


def test_folder_lists_and_removes(tmp_path: Path) -> None:
    """Files and sub-folders are listed apart and sorted, by suffix; removing what is absent does nothing."""
    folder = Folder(f"file://{tmp_path}")
    for name in ("b.json", "a.json", "c.txt", "sub/d.json"):
        folder.write(name, b"x")
    assert folder.names("", ".json") == ["a.json", "b.json"]
    assert (folder.folders(""), folder.names("absent"), folder.folders("absent")) == (["sub"], [], [])
    assert folder.sub("sub").read("d.json") == b"x"
    for name in ("sub", "a.json", "absent"):
        folder.remove(name)
    assert (folder.names(""), folder.exists("sub")) == (["b.json", "c.txt"], False)


# --- golden: the real WESAD --------------------------------------------------------------------------------------


@pytest.mark.real
def test_wesad_windows_are_the_golden_ones(cluster: None, real_data: Path, tmp_path: Path) -> None:
    """3,108 windows over 15 people (S2 196, S17 219), and S2's equal the golden ones to 1e-5, channel by channel."""
    prepare(Order("wesad", str(real_data / "wesad"), str(tmp_path / "wesad")), say=quiet)
    windows = read_windows(Folder(tmp_path / "wesad"))
    counts = dict(zip(windows.index.participants, np.bincount(windows.index.person).tolist(), strict=True))
    assert (sum(counts.values()), len(counts), counts["S2"], counts["S17"]) == (3108, 15, 196, 219)
    rows = windows.index.person == windows.index.participants.index("S2")
    with np.load(real_data / "golden" / "wesad_wrist_S2.npz") as golden:
        np.testing.assert_array_equal(windows.index.labels["stress"][rows], golden["y"])
        names = [channel["name"] for channel in windows.index.card["channels"]]
        assert names == ["wrist_acc_x", "wrist_acc_y", "wrist_acc_z", "wrist_bvp", "wrist_eda", "wrist_temp"]
        for number, name in enumerate(names):
            np.testing.assert_allclose(windows.signals[name][rows][:, :, 0], golden[f"x_{number}"], rtol=0, atol=1e-5)
