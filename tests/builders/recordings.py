"""Short made recordings of three channels, their labels and settings, for the tests of preprocessing and windows."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.recordings import Channel, Label, LabelTrack, Recording, Segment
from raylab.windows.preprocess import Preprocessing

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
