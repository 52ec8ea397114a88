"""Signal quality: flat, clipped, shaken, without a heart; known values, and nothing after the stretch."""

import numpy as np
import pytest

from raylab.features.quality import FINDERS, analyse_quality, clipped, flat, measures_of

RATE = 64.0


def _pulse(seconds: float, hz: float = 1.2) -> np.ndarray:
    """A pulse of 72 beats a minute, narrow as a real one, (n, 1)."""
    phase = np.arange(round(seconds * RATE)) / RATE * hz % 1
    return np.exp(-(((phase - 0.3) / 0.08) ** 2))[:, None]


def _quality(kind: str, samples: np.ndarray, begin: int, end: int, rate_hz: float = RATE) -> dict[str, float]:
    values = analyse_quality(kind, samples, rate_hz)(np.array([begin]), np.array([end]))
    return {measure.name: float(value[0]) for measure, value in zip(measures_of(kind), values, strict=True)}


def test_a_signal_is_flat_once_it_has_not_changed_for_a_second() -> None:
    """Still from sample 10 to 20 at 4 Hz: flat from a second later until it changes; one axis that moves is enough to be no more flat."""
    samples = np.arange(40.0)[:, None]
    samples[10:20] = 10.0
    assert np.flatnonzero(flat(samples, 4.0)).tolist() == [14, 15, 16, 17, 18, 19]
    assert not flat(np.concatenate([samples, np.arange(40.0)[:, None]], axis=1), 4.0).any()
    assert _quality("eda", samples, 10, 20, 4.0) == {"flat_share": 0.6}


def test_a_signal_is_clipped_if_it_stands_at_its_extreme() -> None:
    """A sine that is cut at 0.5 stands there for a third of the time; uncut, never for two samples."""
    sine = np.sin(2 * np.pi * np.arange(640) / 63.7)[:, None]
    cut = np.minimum(sine, 0.5)
    stands = np.concatenate([[False], (cut[1:, 0] == 0.5) & (cut[:-1, 0] == 0.5)])
    np.testing.assert_array_equal(clipped(cut), stands)
    assert _quality("emg", cut, 0, 640)["clipped_share"] == pytest.approx(stands.mean())
    assert _quality("emg", sine, 0, 640)["clipped_share"] == 0.0


def test_motion_is_the_change_of_the_vectors_length_a_second() -> None:
    """A vector that goes between lengths 5 and 13 at 32 Hz changes by 8 x 32 a second; one that only turns does not change."""
    turns = np.tile([[3.0, 4.0, 0.0], [5.0, 12.0, 0.0]], (32, 1))
    assert _quality("acc", turns, 0, 64, 32.0)["motion"] == pytest.approx(256.0)
    angle = np.arange(64) / 10
    still = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    assert _quality("acc", still, 0, 64, 32.0)["motion"] == pytest.approx(0.0, abs=1e-9)


def test_beats_fill_a_window_of_a_pulse_and_none_of_a_flat_one() -> None:
    """Of a regular pulse nearly all, of a window that is half flat about half, of a flat one nothing."""
    whole = _pulse(60)
    half = whole.copy()
    half[2240:] = whole.min()  # from 35 s on
    found = [_quality("bvp", samples, 1920, 2560)["beat_share"] for samples in (whole, half)]  # 30 to 40 s
    assert found[0] > 0.8 and 0.25 < found[1] < 0.6
    assert _quality("bvp", half, 2880, 3520) == {"flat_share": 1.0, "clipped_share": pytest.approx(1.0), "beat_share": 0.0}


@pytest.mark.parametrize("kind", ["eda", "bvp", "ecg", "acc", "temp", "emg", "resp"])
def test_quality_sees_nothing_after_the_stretch(kind: str) -> None:
    """Whatever follows, the values are the same bits, and shares lie between 0 and 1."""
    rng = np.random.default_rng(0)
    samples = np.tile(_pulse(60), 3 if kind == "acc" else 1) + rng.normal(0, 0.05, (3840, 3 if kind == "acc" else 1))
    other = samples.copy()
    other[2560:] = rng.normal(40, 90, other[2560:].shape)
    made, changed = (_quality(kind, one, 1920, 2560) for one in (samples, other))
    assert made == changed
    assert all(0 <= value <= 1 for name, value in made.items() if name.endswith("share"))
    assert ("beat_share" in made) is (kind in FINDERS)
