"""Preprocessing, steps 1 to 4: winsorizing, low-pass, downsampling, minimum and maximum."""

from dataclasses import replace

import numpy as np
import pytest
from builders.recordings import AXIS, MAJORITY, PAPER, PAST, SLOW, recording, segment
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mstats

from raylab.recordings import Channel, Recording, Segment
from raylab.windows.normalization import limits, min_max
from raylab.windows.preprocess import AT_ONCE, Preprocessing, clean, downsample, winsor_limits
from raylab.windows.preprocess import lowpass as lowpass_from
from raylab.windows.segmentation import cut


def winsorize(samples: np.ndarray, share: float) -> np.ndarray:
    limits = winsor_limits(samples, share)
    return samples if limits is None else np.clip(samples, *limits)


def lowpass(samples: np.ndarray, rate_hz: float, settings: Preprocessing) -> np.ndarray:
    return lowpass_from(samples, rate_hz, settings)[0]


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


@pytest.mark.parametrize("settings_", [PAPER, PAST])
def test_a_long_recording_is_filtered_piece_by_piece_to_the_same_bits(settings_: Preprocessing) -> None:
    """The filter's state carries over, and no sample is kept twice or left out where pieces meet."""
    samples = np.random.default_rng(0).normal(40, 5, (3 * AT_ONCE + 17, 1))
    channel = Channel("a", "acc", 70, 10, "g")
    one = Segment("one", 0.0, {"a": samples}, {})
    whole = winsorize(samples, 0.03) if settings_ is PAPER else samples
    (found,) = clean(Recording("P1", (channel,), (one,), {}), channel, settings_)
    np.testing.assert_array_equal(downsample(lowpass(whole, 70, settings_), channel), found)
