"""Windows: normalization that sees no future, cutting, labelling, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from builders.recordings import ANY, AXIS, CODES, FAST, MAJORITY, OWN_MEAN, PAPER, PAST, SLOW, Values, recording, segment, track
from hypothesis import given, settings
from hypothesis import strategies as st

from raylab.errors import RecordingError
from raylab.recordings import Channel, Label, Recording
from raylab.recordings.recording import OwnMean
from raylab.windows.card import ParticipantSummary, participant_summary
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import NO_LABEL, cut, decide, own_mean_of, starts

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


def _rated(*clips: tuple[str, float, float]) -> Recording:
    """Clips of (session, seconds, rating), one after the other."""
    parts, start = [], 0.0
    for session, seconds, rating in clips:
        part = replace(segment(seconds, start), session=session, tracks={"rating": track([0.0, seconds], [rating, rating])})
        parts.append(part)
        start += seconds
    return recording(*parts)


@pytest.mark.parametrize(("own_mean", "expected"), [("time", 3.125), ("clip", 5.0)])
def test_own_mean_by_time_or_by_clip(own_mean: OwnMean, expected: float) -> None:
    """A clip of 150 s rated 2 and two of 25 s rated 4 and 9: by time the long one weighs as it lasts, by clip as the others."""
    made = _rated(("a", 150, 2.0), ("b", 25, 4.0), ("c", 25, 9.0))
    label = replace(OWN_MEAN, own_mean=own_mean)
    assert own_mean_of(made.segments, label) == pytest.approx(expected)
    classes = cut(made, [label], PAPER).labels["arousal"]
    by_session = {name: set(classes[[session == name for session in cut(made, [label], PAPER).sessions]]) for name in "abc"}
    assert by_session == {"a": {0}, "b": {int(expected < 4)}, "c": {1}}


def test_stretches_of_one_session_are_one_clip() -> None:
    """A gap cuts a session into segments, which count once together; a clip without a rating does not count."""
    made = _rated(("a", 40, 1.0), ("a", 40, 1.0), ("b", 40, 4.0), ("c", 40, float("nan")))
    assert own_mean_of(made.segments, replace(OWN_MEAN, own_mean="clip")) == 2.5
    assert np.isnan(own_mean_of(_rated(("c", 40, float("nan"))).segments, replace(OWN_MEAN, own_mean="clip")))


@pytest.mark.parametrize("own_mean", ["time", "clip"])
@pytest.mark.parametrize("rating", [0.1, 0.7, 5.0, 6.33, 1 / 3])
def test_equal_ratings_are_all_low(own_mean: OwnMean, rating: float) -> None:
    """No window exceeds the own mean if all clips are rated alike, whatever the sums of floating-point numbers come to."""
    made = _rated(*((f"clip {i}", seconds, rating) for i, seconds in enumerate((37, 53, 41.5, 60))))
    assert set(cut(made, [replace(OWN_MEAN, own_mean=own_mean)], PAPER).labels["arousal"]) == {0}


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
    found = participant_summary(replace(recording(segment(110)), traits={"age": 30.0}), made, [MAJORITY])
    calm, stress = (int((made.labels["stress"] == index).sum()) for index in (0, 1))
    assert found == ParticipantSummary(
        name="P1",
        windows=calm + stress,
        duration_s=110.0,
        counts={"stress": {"calm": calm, "stress": stress}},
        traits={"age": 30.0},
        notes=(),
    )


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
    with pytest.raises(RecordingError, match=rf"participant P1, channel eda, file P1\.csv: {what}.*What to do: .*--exclude"):
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
    with pytest.raises(
        RecordingError, match=rf"participant P1, file P1.csv: {seconds}\.0 s give 0 windows of 10 s.*stress.*--exclude"
    ):
        cut(recording(segment(seconds)), [MAJORITY], PAPER)


def test_recording_without_a_labelled_window_is_refused() -> None:
    """Windows that all lack a label are a problem of the participant, and the label is named."""
    with pytest.raises(RecordingError, match=r"P1, file P1.csv: 60\.0 s give 10 windows of 10 s, none with a label \(stress\)"):
        cut(recording(segment(60)), [replace(MAJORITY, codes={7: 0})], PAPER)


PLACES = {
    "the file of all channels": (["in/P1.csv"] * 3, ["", ""], "in/P1.csv"),
    "the folder of their files": (["in/P1/bvp.csv", "in/P1/acc.csv", "in/P1/eda.csv"], ["", ""], "in/P1"),
    "the folder of the sessions": (["in/P1/1/bvp.csv"] * 3, ["in/P1/1", "in/P1/2"], "in/P1"),
    "a session of its own": (["in/P1/bvp.csv"] * 3, ["in/P1/1", ""], "in/P1"),
    "no file": ([""] * 3, ["", ""], ""),
    "a root and none": (["/in/bvp.csv", "in/acc.csv", "in/eda.csv"], ["", ""], "/in/bvp.csv"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_recording_without_a_labelled_window_is_found_again(kind: str) -> None:
    """Where nothing else is known, the sentence names what the recording was read from."""
    files, sources, place = PLACES[kind]
    channels = tuple(replace(channel, file=file) for channel, file in zip((FAST, AXIS, SLOW), files, strict=True))
    parts = [replace(segment(30, start), source=source) for start, source in zip((0.0, 30.0), sources, strict=True)]
    with pytest.raises(RecordingError) as caught:
        cut(recording(*parts, channels=channels), [replace(MAJORITY, codes={7: 0})], PAPER)
    assert str(caught.value).startswith(f"participant P1, file {place}: 60.0 s" if place else "participant P1: 60.0 s")
