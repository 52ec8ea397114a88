"""Normalization: which samples decide the scale, and what windows become; nothing else of the person is looked at."""

from dataclasses import replace

import numpy as np
import pytest
from builders.recordings import ANY, AXIS, MAJORITY, PAPER, SLOW, Values, recording, segment, track
from hypothesis import given, settings
from hypothesis import strategies as st

from raylab.errors import InvalidValueError, RecordingError
from raylab.recordings import Recording
from raylab.recordings.recording import Baseline
from raylab.windows.normalization import baseline_runs, deciding_samples, moments
from raylab.windows.preprocess import Preprocessing, clean
from raylab.windows.segmentation import ParticipantWindows, cut, grid_of

Z = Preprocessing(scale="zscore")
PAST_Z = Preprocessing(normalization="past", scale="zscore", skip_s=20.0)
FIRST = Preprocessing(normalization="first_minutes", first_s=30.0)
REST = Baseline("task", 0)
BASELINE = Preprocessing(normalization="baseline_condition", baseline=REST)
NONE = Preprocessing(normalization="none")
ALL = [
    PAPER,
    Z,
    Preprocessing(normalization="past", skip_s=20.0),
    PAST_Z,
    FIRST,
    replace(FIRST, scale="zscore"),
    BASELINE,
    NONE,
]
NAMES = [f"{way.normalization} {way.scale}" for way in ALL]


def _of(samples: Values, codes: Values | None = None) -> Recording:
    """One channel at 4 Hz, neither filtered nor downsampled, and a task track at 1 Hz (0 then 1, unless given)."""
    seconds = len(samples) // 4
    values = codes if codes is not None else (np.arange(seconds) >= seconds / 2).astype(float)
    part = replace(segment(seconds), signals={"eda": samples[:, None]}, tracks={"task": track(np.arange(seconds), values)})
    return recording(part, channels=(SLOW,))


def _expected(samples: Values, made: ParticipantWindows, low: float, span: float) -> Values:
    first = [round(start * 4) for start in made.start_s]
    return np.array([(samples[begin : begin + 40] - low) / span for begin in first])[:, :, None]


RAMP = np.arange(400.0)  # 100 s; the first half is the task 0


@pytest.mark.parametrize(
    ("way", "starts", "low", "span"),
    [
        # 3% of 400 ranks are cut: 12..387
        (PAPER, range(0, 90, 5), 12.0, 375.0),
        # 30 s are the samples 0..119
        (FIRST, range(30, 90, 5), 0.0, 119.0),
        (replace(FIRST, scale="zscore"), range(30, 90, 5), 59.5, np.sqrt((120**2 - 1) / 12)),
        # the baseline are the samples 0..199; the window from 45 s on shares samples with it
        (BASELINE, range(50, 90, 5), 0.0, 199.0),
        (replace(BASELINE, scale="zscore"), range(50, 90, 5), 99.5, np.sqrt((200**2 - 1) / 12)),
        (NONE, range(0, 90, 5), 0.0, 1.0),
    ],
)
def test_windows_are_scaled_by_the_samples_that_decide(way: Preprocessing, starts: range, low: float, span: float) -> None:
    """Of a ramp of one a sample, every normalized window is known."""
    made = cut(_of(RAMP), [ANY], way)
    assert made.start_s.tolist() == list(starts)
    samples = np.clip(RAMP, 12, 387) if way is PAPER else RAMP
    np.testing.assert_allclose(made.signals["eda"], _expected(samples, made, low, span), rtol=1e-6, atol=1e-6)


def test_a_z_score_over_the_recording_has_mean_0_and_sd_1() -> None:
    """Of the winsorized, filtered signal, the deciding samples being all."""
    whole = recording(segment(61), segment(47, 100))
    made = cut(whole, [ANY], Z)
    for channel in whole.channels:
        joined = np.concatenate(clean(whole, channel, Z))
        expected = ((joined - joined.mean()) / joined.std())[: round(10 * channel.target_rate_hz)]
        np.testing.assert_allclose(made.signals[channel.name][0], expected, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 1e7])
def test_a_running_z_score_is_that_of_the_samples_so_far(level: float) -> None:
    """Mean and SD from the recording's start to the window's end, also of a signal that lies far from 0."""
    samples = level + np.random.default_rng(0).normal(0, 1, 400).cumsum()
    made = cut(_of(samples), [ANY], PAST_Z)
    assert made.start_s.tolist() == list(range(20, 90, 5))
    for start, window in zip(made.start_s, made.signals["eda"], strict=True):
        seen = samples[: round(start * 4) + 40]
        np.testing.assert_allclose(window[:, 0], (seen[-40:] - seen.mean()) / seen.std(), atol=1e-5)


def test_running_moments_are_zero_until_something_moves() -> None:
    """A signal that has stood still has spread 0, whatever its level, and is divided by 1."""
    samples = np.full(400, 1e5)
    samples[200:] += np.arange(200)
    mean, sd = moments([samples[:, None]], PAST_Z, np.ones(400, dtype=bool))
    assert (sd[:200] == 0).all() and (mean[:200] == 1e5).all()
    assert cut(_of(samples), [ANY], PAST_Z).signals["eda"][0].tolist() == [[0.0]] * 40


@settings(derandomize=True, deadline=None, max_examples=10)
@given(at=st.integers(30, 109), seed=st.integers(0, 100))
def test_nothing_after_the_first_minutes_changes_the_scale(at: int, seed: int) -> None:
    """Other and much larger samples from some second on leave every window before it as it was, to the bit."""
    whole, rng = recording(segment(110, seed=seed)), np.random.default_rng(seed)
    part = whole.segments[0]
    signals = {name: signal.copy() for name, signal in part.signals.items()}
    for channel in whole.channels:
        after = signals[channel.name][round(at * channel.rate_hz) :]
        after[:] = rng.normal(50, 900, after.shape)
    other = replace(whole, segments=(replace(part, signals=signals),))
    for way in (FIRST, replace(FIRST, scale="zscore")):
        made, changed = cut(whole, [MAJORITY], way), cut(other, [MAJORITY], way)
        before = made.start_s + 10 <= at
        for name, windows in made.signals.items():
            np.testing.assert_array_equal(windows[before], changed.signals[name][before])


def test_first_minutes_are_of_the_recording_not_of_a_segment() -> None:
    """A segment from 20 s on gives its samples up to 30 s, and windows from 30 s on."""
    whole = recording(segment(10), segment(60, 20))
    deciding = deciding_samples(whole, SLOW, [40, 240], FIRST)
    assert np.flatnonzero(deciding).tolist() == list(range(40 + 40))
    assert [begins.tolist() for begins in grid_of(whole, FIRST)] == [[], list(range(10, 50, 5))]


def test_the_baseline_condition_is_exactly_its_samples() -> None:
    """Changing any sample outside the condition leaves the windows, changing one inside moves them."""
    codes = np.repeat([1.0, 0.0, 1.0, 0.0], 25)
    samples = np.random.default_rng(3).normal(0, 1, 400)
    first_only = replace(BASELINE, baseline=replace(REST, first_run=True))
    for way, inside in ((BASELINE, {*range(100, 200), *range(300, 400)}), (first_only, set(range(100, 200)))):
        assert set(np.flatnonzero(deciding_samples(_of(samples, codes), SLOW, [400], way)).tolist()) == inside
    made = cut(_of(samples, codes), [ANY], first_only)
    # windows that begin before 25 s reach into the first rest from 15 s on
    assert made.start_s.tolist() == [0, 5, 10, 15, *range(50, 90, 5)]
    for sample, moves in ((99, False), (100, True), (199, True), (200, False), (399, False)):
        other = samples.copy()
        other[sample] = 99.0
        changed = cut(_of(other, codes), [ANY], first_only)
        assert np.array_equal(made.signals["eda"][1], changed.signals["eda"][1]) is not moves, sample


def test_runs_of_the_baseline_end_where_another_value_or_none_begins() -> None:
    """A value holds until the next; a missing one ends the run; the last one holds for the usual step."""
    codes = np.array([0, 0, np.nan, 0, 1, 0, 0], dtype=float)
    whole = _of(np.arange(28.0), codes)
    assert baseline_runs(whole, REST)[0].tolist() == [[0, 2], [3, 4], [5, 7]]
    assert baseline_runs(whole, replace(REST, first_run=True))[0].tolist() == [[0, 2]]
    assert baseline_runs(_of(np.arange(28.0), codes[:0]), REST)[0].tolist() == []
    with pytest.raises(RecordingError, match=r"participant P1: session from 0 s has no track mood, which tells the baseline"):
        baseline_runs(whole, Baseline("mood", 0))


def test_without_normalization_a_signal_keeps_its_unit() -> None:
    """Filtered and downsampled only: not winsorized, and the filter begins at rest."""
    whole = recording(segment(60))
    part = whole.segments[0]
    loud = replace(part, signals={**part.signals, "acc": 45 + part.signals["acc"]})
    made = cut(recording(loud), [ANY], NONE)
    joined = np.concatenate(clean(recording(loud), AXIS, NONE))
    np.testing.assert_array_equal(made.signals["acc"][0], joined[:80].astype(np.float32))
    assert joined.min() > 40
    np.testing.assert_array_equal(made.signals["eda"][0], part.signals["eda"][:40].astype(np.float32))


@pytest.mark.parametrize(
    ("way", "problem"),
    [
        (FIRST, r"channel eda.*is flat at 7 in the first 30 s, which scale the rest \(--normalization first_minutes\)"),
        (BASELINE, r"channel eda.*is flat at 7 in the baseline condition \(task 0\)"),
        (replace(BASELINE, baseline=Baseline("task", 5)), r"channel eda.*has no sample in the baseline condition \(task 5\)"),
    ],
)
@pytest.mark.parametrize("scale", ["minmax", "zscore"])
def test_samples_that_cannot_decide_are_refused(way: Preprocessing, problem: str, scale: str) -> None:
    """None, or such that do not move, though the channel moves later."""
    samples = RAMP.copy()
    samples[:200] = 7.0
    with pytest.raises(RecordingError, match=rf"{problem}.*What to do: .*--exclude"):
        cut(_of(samples), [MAJORITY], replace(way, scale=scale))


# --- what is said of it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ALL, ids=NAMES)
def test_every_normalization_but_the_papers_is_in_the_datasets_name(way: Preprocessing) -> None:
    """Scores of other windows never stand under the same name."""
    assert (way.suffix == "") is (way == PAPER)
    assert len({other.suffix for other in ALL}) == len(ALL)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (PAPER, "whole recording, test part included (the paper's way)"),
        (Z, "z-scored over each participant's whole recording, test part included"),
        (PAST_Z, "z-scored by the running mean and standard deviation of the past only"),
        (FIRST, "minimum and maximum of the first 30 s of each participant's recording, the held-out one's too"),
        (BASELINE, "each participant's baseline condition (task 0), the held-out one's too"),
        (NONE, "not normalized: nothing of a participant's other samples is looked at"),
    ],
)
def test_a_run_says_what_was_looked_at(way: Preprocessing, says: str) -> None:
    """One sentence for the notes; knowledge of the protocol is said by a caution, which every table carries."""
    assert says in way.description
    assert bool(way.caution) is (way.normalization == "baseline_condition")


@pytest.mark.parametrize("way", ALL, ids=NAMES)
def test_settings_that_are_not_used_are_not_written(way: Preprocessing) -> None:
    """So that cards and hashes of before there were such settings stay what they were."""
    old = {"window_s", "step_s", "winsor_share", "lowpass_hz", "lowpass_order", "normalization", "skip_s"}
    later = {"first_minutes": {"first_s"}, "baseline_condition": {"baseline"}}.get(way.normalization, set())
    assert set(way.as_dict()) == old | later | ({"scale"} if way.scale == "zscore" else set())


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"normalization": "none", "scale": "zscore"}, "there is no scale zscore"),
        ({"first_s": 60.0}, "first_s is for normalization first_minutes, not for recording"),
        ({"normalization": "past", "baseline": REST}, "a baseline is for normalization baseline_condition, not for past"),
    ],
)
def test_settings_of_another_normalization_are_refused(wrong: dict[str, object], problem: str) -> None:
    """A setting that would have no effect is no setting."""
    with pytest.raises(InvalidValueError, match=problem):
        Preprocessing(**wrong)  # type: ignore[arg-type]  # as a card would hold them


def test_only_the_running_range_can_stream() -> None:
    """A stream knows the past, and its windows are scaled by minimum and maximum."""
    assert [way.can_stream for way in ALL] == [way.normalization == "past" and way.scale == "minmax" for way in ALL]
