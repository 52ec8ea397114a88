"""Features of signals whose heart rate, breaths and responses are known, and what they see of the future: nothing."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import neurokit2 as nk
import numpy as np
import numpy.typing as npt
import pytest

from raylab.features.beats import sound_intervals
from raylab.features.causal import Sums, swings
from raylab.features.physiology import KINDS

Values = npt.NDArray[np.float64]
SECONDS = 120
RATES = {"eda": 8.0, "bvp": 64.0, "ecg": 256.0, "resp": 32.0, "emg": 256.0, "temp": 4.0, "acc": 32.0}


def features(kind: str, signal: Values, rate_hz: float, context_s: float = 10.0, window_s: float = 10.0) -> dict[str, Values]:
    """Feature to its values in the windows of ``window_s`` that follow each other, each computed from ``context_s``."""
    samples = np.asarray(signal, dtype=np.float64).reshape(len(signal), -1)
    end = np.arange(window_s, len(samples) / rate_hz + 1e-9, window_s)
    begin = np.maximum(np.round((end - context_s) * rate_hz), 0).astype(np.int64)
    described = KINDS[kind].analyse(samples, rate_hz)(begin, np.round(end * rate_hz).astype(np.int64))
    return {feature.name: values for feature, values in zip(KINDS[kind].features, described, strict=True)}


def made(kind: str, seed: int = 0) -> Values:
    """Two minutes of a simulated signal."""
    rate_hz, rng = RATES[kind], np.random.default_rng(seed)
    common = {"duration": SECONDS, "sampling_rate": int(rate_hz), "random_state": seed}
    simulators: dict[str, Callable[[], Values]] = {
        "eda": lambda: 5 + nk.eda_simulate(scr_number=12, noise=0.001, **common),
        "bvp": lambda: nk.ppg_simulate(heart_rate=75, **common),
        "ecg": lambda: nk.ecg_simulate(heart_rate=75, **common),
        "resp": lambda: nk.rsp_simulate(respiratory_rate=16, **common),
        "emg": lambda: rng.normal(0, 1, round(SECONDS * rate_hz)),
        "temp": lambda: 33 + np.cumsum(rng.normal(0, 0.01, round(SECONDS * rate_hz))),
        "acc": lambda: rng.normal(0, 1, (round(SECONDS * rate_hz), 3)),
    }
    return np.asarray(simulators[kind](), dtype=np.float64)


@pytest.mark.parametrize("kind", ["bvp", "ecg"])
@pytest.mark.parametrize("heart_rate", [48, 75, 130])
def test_the_heart_rate_is_that_of_the_simulator(kind: str, heart_rate: int) -> None:
    """Within 2 beats a minute over 60 s (the simulator lets it sway), and as NeuroKit2 finds it on the whole signal."""
    rate_hz = RATES[kind]
    simulate, clean = getattr(nk, f"{'ppg' if kind == 'bvp' else 'ecg'}_simulate"), {"bvp": nk.ppg_clean, "ecg": nk.ecg_clean}
    signal = simulate(duration=SECONDS, sampling_rate=int(rate_hz), heart_rate=heart_rate, random_state=3)

    found = features(kind, signal, rate_hz, context_s=60.0, window_s=60.0)

    find = nk.ppg_findpeaks if kind == "bvp" else nk.ecg_findpeaks
    peaks = find(clean[kind](signal, sampling_rate=int(rate_hz)), sampling_rate=int(rate_hz))
    theirs = 60 * rate_hz / np.diff(peaks["PPG_Peaks" if kind == "bvp" else "ECG_R_Peaks"]).mean()
    np.testing.assert_allclose(found["heart_rate"], heart_rate, atol=2.0)
    np.testing.assert_allclose(found["heart_rate"].mean(), theirs, atol=1.0)


def test_variability_is_that_of_the_intervals() -> None:
    """Pulses 0.7 and 0.8 s apart in turn: every change is 100 ms, above the 50 of pNN50, and the deviation is 50 ms."""
    rate_hz, at = 256.0, np.cumsum(np.tile([0.7, 0.8], 80))
    times = np.arange(round(110 * rate_hz)) / rate_hz
    signal = np.exp(-np.square((times[:, None] - at) / 0.08) / 2).sum(axis=1)

    found = features("bvp", signal, rate_hz, context_s=60.0, window_s=60.0)

    np.testing.assert_allclose(found["heart_rate"], 80.0, atol=0.5)
    np.testing.assert_allclose(found["rmssd"], 100.0, atol=5.0)
    np.testing.assert_allclose(found["sdnn"], 50.0, atol=3.0)
    np.testing.assert_array_equal(found["pnn50"], 100.0)


def test_a_missed_beat_is_no_interval() -> None:
    """An interval of twice the others', or of a half, is left out; a rhythm that changes slowly is kept."""
    seconds = np.concatenate([np.full(10, 0.8), [1.6], np.full(5, 0.8), [0.4, 0.4], np.linspace(0.8, 1.1, 12), [2.5, np.nan]])
    expected = np.ones(len(seconds), dtype=bool)
    expected[[10, 16, 17, 30, 31]] = False
    np.testing.assert_array_equal(expected, sound_intervals(seconds))


def test_responses_of_the_skin_are_counted() -> None:
    """Each of 12 simulated responses is counted once, and a ramp has none once the filter has settled."""
    found = features("eda", made("eda"), RATES["eda"])
    assert abs(found["scr_rate"].sum() / 6 - 12) <= 1
    assert (found["scr_amplitude"][np.isfinite(found["scr_amplitude"])] > 0.1).all()

    ramp = features("eda", np.linspace(2, 4, round(SECONDS * 8)), 8.0)
    np.testing.assert_allclose(ramp["slope"], 1.0, rtol=1e-2, atol=5e-2)
    np.testing.assert_array_equal(ramp["scr_rate"][2:], 0.0)
    assert np.isnan(ramp["scr_amplitude"][2:]).all()


def test_breaths_muscles_temperature_and_movement() -> None:
    """A sine of 15 breaths a minute, noise of SD 2, a ramp of 0.6 degrees a minute, and a still arm under gravity."""
    times = np.arange(SECONDS * 32) / 32
    breaths = features("resp", 3 * np.sin(2 * np.pi * times / 4), 32.0, context_s=30.0, window_s=30.0)
    np.testing.assert_allclose(breaths["breath_rate"], 15.0, atol=0.3)
    np.testing.assert_allclose(breaths["breath_depth"][1:], 6.0, rtol=0.1)

    muscle = features("emg", 50 + np.random.default_rng(0).normal(0, 2, SECONDS * 256), 256.0)
    np.testing.assert_allclose(muscle["rms"], 2 * np.sqrt(108 / 128), rtol=0.1)  # what lies above 20 Hz of 128
    np.testing.assert_allclose(muscle["mean_absolute"] / muscle["rms"], np.sqrt(2 / np.pi), rtol=0.05)

    warm = features("temp", 33 + np.arange(SECONDS * 4) / 400, 4.0)
    np.testing.assert_allclose(warm["slope"], 0.6, rtol=1e-6)
    np.testing.assert_allclose(warm["mean"][0], 33 + 39 / 800, rtol=1e-9)

    still = features("acc", np.tile([0.6, 0.0, 0.8], (SECONDS * 32, 1)), 32.0)
    np.testing.assert_allclose(still["magnitude_mean"], 1.0)
    np.testing.assert_allclose([*still["magnitude_sd"], *still["step"]], 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_that_stands_still_lacks_what_has_no_event(kind: str) -> None:
    """What the table calls always there is a number, what it says may be missing is missing; also after a signal that moved."""
    rate_hz, names = RATES[kind], {feature.name for feature in KINDS[kind].features if feature.missing}
    moving = made(kind)
    for signal in (np.full_like(moving, 3.3), np.concatenate([moving, np.full_like(moving, moving[-1])])):
        found = {name: values[-1] for name, values in features(kind, signal, rate_hz).items()}
        assert names == {name for name, value in found.items() if np.isnan(value)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_feature_sees_the_future(kind: str) -> None:
    """A window's features are the same bits whether the signal ends with it, goes on, or becomes noise after it; those later change."""
    rate_hz, signal = RATES[kind], made(kind)
    end = round(70 * rate_hz)
    noise = signal.copy()
    noise[end:] += np.random.default_rng(1).normal(0, 10, noise[end:].shape)

    whole, cut, spoilt = (features(kind, x, rate_hz, context_s=30.0, window_s=3.5) for x in (signal, signal[:end], noise))

    for name, values in whole.items():
        np.testing.assert_array_equal(values[:20], cut[name], strict=True)
        np.testing.assert_array_equal(values[:20], spoilt[name][:20], strict=True)
    assert any((values[20:] != spoilt[name][20:]).any() for name, values in whole.items())


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_names_every_feature(kind: str) -> None:
    """docs/features.md has the kind, its words and each of its features."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
    assert f"`{kind}` ({', '.join(KINDS[kind].words)}" in page
    assert not [feature.name for feature in KINDS[kind].features if f"`{feature.name}`" not in page]


def test_a_stretch_has_what_numpy_computes_of_it() -> None:
    """Mean, SD, root of the mean square and slope, of stretches of any length; NaN of an empty one, and no slope of one sample."""
    x = 1e4 + np.random.default_rng(0).normal(0, 1, 500).cumsum()
    begin, end = np.array([0, 3, 100, 499, 7]), np.array([500, 9, 400, 500, 7])
    sums = Sums(x)
    for row, (a, b) in enumerate(zip(begin, end, strict=True)):
        part = x[a:b]
        if not len(part):
            assert np.isnan([sums.mean(begin, end)[row], sums.sd(begin, end)[row], sums.slope(begin, end)[row]]).all()
            continue
        expected = [part.mean(), part.std(), np.sqrt(np.square(part).mean())]
        found = [sums.mean(begin, end)[row], sums.sd(begin, end)[row], sums.rms(begin, end)[row]]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)
        slope = np.polyfit(np.arange(len(part)), part, 1)[0] if len(part) > 1 else np.nan
        np.testing.assert_allclose(sums.slope(begin, end)[row], slope, rtol=1e-6, atol=1e-9)


def test_swings_are_maxima_with_a_rise_and_a_fall() -> None:
    """Ripples below the least swing belong to a larger one; a top is known when the signal has fallen, and one that never falls is none."""
    x = np.array([0, 1, 0.9, 3, 2.9, 1, 1.2, 1, 4, 5, 5, 2, 6, 9], dtype=float)
    found = swings(x, np.full(len(x), 1.5))
    np.testing.assert_array_equal(found.at, [3, 10])
    np.testing.assert_array_equal(found.known, [6, 12])
    np.testing.assert_array_equal(found.size, [3, 4])
    assert all(a <= b for a, b in pairwise(found.known))
    assert not len(swings(np.zeros(0), np.zeros(0)).at)
