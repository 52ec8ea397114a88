"""Detrending: what drifts slowly is gone, what is quick stays, and nothing looks ahead."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders.recordings import ANY, SLOW, Values, recording, segment
from builders.windows import make_windows, with_card

from raylab.errors import InvalidValueError, RaylabError
from raylab.live.export import require_causal
from raylab.recordings import Recording
from raylab.windows.detrending import HighPass, running_median
from raylab.windows.preprocess import Preprocessing, clean
from raylab.windows.segmentation import cut

RATE = 4.0
HIGH = Preprocessing(normalization="none", detrend="high_pass", detrend_s=30.0)
MEDIAN = replace(HIGH, detrend="running_median")
WAYS = pytest.mark.parametrize("way", [HIGH, MEDIAN], ids=["high_pass", "running_median"])


def of(*parts: Values) -> Recording:
    """One channel at 4 Hz, neither filtered nor downsampled, in as many segments."""
    begins = np.cumsum([0.0, *(len(part) / RATE + 100 for part in parts)])
    made = [
        replace(segment(len(part) / RATE, begin, channels=(SLOW,)), signals={"eda": part[:, None]})
        for part, begin in zip(parts, begins, strict=False)
    ]
    return recording(*made, channels=(SLOW,))


def flat(way: Preprocessing, *parts: Values) -> Values:
    return np.concatenate(clean(of(*parts), SLOW, way))[:, 0]


@pytest.mark.parametrize(("way", "lag_s"), [(HIGH, 30.0), (MEDIAN, 15.0)])
def test_a_ramp_becomes_a_level(way: Preprocessing, lag_s: float) -> None:
    """The running mean of a ramp lags by its time constant, a median by half its length; a step of a second passes whole."""
    time = np.arange(2400) / RATE
    ramp = flat(way, 0.5 * time)
    np.testing.assert_allclose(ramp[1600:], 0.5 * lag_s, atol=0.1)
    bump = 0.5 * time + ((time >= 500) & (time < 501))
    np.testing.assert_allclose((flat(way, bump) - ramp)[2000:2004], 1.0, atol=0.15)


@WAYS
def test_a_level_that_moves_with_the_recording_is_gone(way: Preprocessing) -> None:
    """Of drift as large as the quick part, less than a twentieth of the variance is left over."""
    time = np.arange(4800) / RATE
    quick, drift = np.sin(2 * np.pi * time / 5), 4 * time / time[-1]
    left = flat(way, quick + drift)[600:]
    assert np.var(left - quick[600:] - np.mean(left - quick[600:])) < 0.05 * np.var(drift)
    assert np.corrcoef(left, quick[600:])[0, 1] > 0.95


@WAYS
def test_nothing_later_changes_a_sample(way: Preprocessing) -> None:
    """Other and much larger samples from 200 on leave those before as they were, to the bit."""
    samples = np.random.default_rng(0).normal(0, 1, 400).cumsum()
    other = samples.copy()
    other[200:] = np.random.default_rng(1).normal(50, 900, 200)
    np.testing.assert_array_equal(flat(way, samples)[:200], flat(way, other)[:200])


@WAYS
def test_the_mean_goes_on_from_segment_to_segment(way: Preprocessing) -> None:
    """Two segments are what one of their joined samples is: the second does not start at its own level."""
    samples = np.random.default_rng(2).normal(5, 1, 400).cumsum()
    np.testing.assert_array_equal(flat(way, samples), flat(way, samples[:150], samples[150:]))
    assert abs(flat(way, samples[:150], samples[150:] + 100)[150]) > 50


def test_the_median_is_that_of_the_last_seconds() -> None:
    """Each sample among it, fewer at the start."""
    samples = np.random.default_rng(3).normal(0, 1, 100)
    expected = [samples[i] - np.median(samples[max(0, i - 19) : i + 1]) for i in range(100)]
    np.testing.assert_allclose(expected, running_median(samples[:, None], 5.0, RATE)[:, 0])


def test_the_mean_is_that_which_forgets_by_e() -> None:
    """By hand: m += (1 - exp(-1 / (seconds x rate))) (x - m), from the first sample."""
    samples = np.random.default_rng(4).normal(0, 1, (50, 2))
    mean, expected = samples[0], []
    for sample in samples:
        mean = mean + (1 - np.exp(-1 / (5.0 * RATE))) * (sample - mean)
        expected.append(sample - mean)
    np.testing.assert_allclose(expected, HighPass(5.0, RATE)(samples), atol=1e-12)


@WAYS
def test_the_card_and_tables_name_it(way: Preprocessing) -> None:
    """Name, sentence and hash; without detrending the card is as before."""
    assert way.suffix == f"not normalized, {way.detrend.replace('_', ' ')} 30 s"
    assert "30 s" in way.description
    assert {"detrend", "detrend_s"} <= set(way.as_dict())
    assert not {"detrend", "detrend_s"} & set(Preprocessing().as_dict())
    with pytest.raises(InvalidValueError, match="detrend_s is for detrend high_pass or running_median"):
        Preprocessing(detrend_s=20.0)


@WAYS
def test_windows_are_scaled_after_it(way: Preprocessing) -> None:
    """The minimum and maximum are those of what is left, so the drift does not squeeze the rest."""
    samples = np.random.default_rng(5).normal(0, 1, 800) + np.linspace(0, 40, 800)
    made, plain = (cut(of(samples), [ANY], settings) for settings in (replace(way, normalization="recording"), Preprocessing()))
    assert made.signals["eda"][20].std() > 2 * plain.signals["eda"][20].std()


@pytest.mark.parametrize(("detrend", "streams"), [("none", True), ("high_pass", True), ("running_median", False)])
def test_a_stream_has_the_high_pass_and_no_median(detrend: Any, streams: bool) -> None:
    """The refusal names the median and what to do."""
    way = Preprocessing(normalization="past", detrend=detrend)
    windows = with_card(make_windows({"A": [0, 1], "B": [0, 1], "C": [0, 1]}), preprocessing=way)
    assert streams == way.can_stream
    if streams:
        require_causal(windows.index, ("a",))
    else:
        with pytest.raises(RaylabError, match=r"detrended by a running median.*--detrend high_pass"):
            require_causal(windows.index, ("a",))
