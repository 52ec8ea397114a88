"""``python -m benchmarks.features ROOT [PARTICIPANT ...]``: features of WESAD's wrist, ours against NeuroKit2 called for every window.

Where both find another heart rate, the spectrum of the pulse says who is nearer: it finds no beats, and is clear in about half of the windows.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import neurokit2 as nk
import numpy as np
import numpy.typing as npt

from raylab.features.beats import sound_intervals
from raylab.features.physiology import COVERED, SCR_US
from raylab.recordings import DATASETS
from raylab.recordings.recording import Recording
from raylab.windows.feature_channels import FeatureChannels, feature_channels
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut

Values = npt.NDArray[np.float64]
PULSE_HZ, EDA_HZ, POINTS, CLEAR = 64.0, 4.0, 8192, 0.6
CHANNELS = ("wrist_bvp", "wrist_eda", "wrist_temp", "wrist_acc_x", "wrist_acc_y", "wrist_acc_z")
COMPARED = ("heart_rate", "rmssd", "tonic_mean", "phasic_sd", "scr_rate", "temp_mean", "acc_mean")


def _heart(pulse: Values, rate_hz: float) -> tuple[float, float]:
    """Heart rate (1/min) and RMSSD (ms) of a stretch, NaN by our rule; NeuroKit2 finds the beats."""
    try:
        peaks = nk.ppg_findpeaks(nk.ppg_clean(pulse, sampling_rate=rate_hz), sampling_rate=rate_hz)["PPG_Peaks"]
    except (ValueError, IndexError, ZeroDivisionError):  # no peak at all
        return np.nan, np.nan
    seconds = np.diff(peaks) / rate_hz
    sound = sound_intervals(seconds)
    both = sound[1:] & sound[:-1]
    if seconds[sound].sum() < COVERED * len(pulse) / rate_hz or sound.sum() < 2 or both.sum() < 2:
        return np.nan, np.nan
    return 60 / seconds[sound].mean(), 1000 * np.sqrt(np.square(np.diff(seconds)[both]).mean())


def _skin(eda: Values, rate_hz: float) -> tuple[float, float, float]:
    """Tonic mean, phasic SD and responses a minute of a stretch."""
    clean = nk.eda_clean(eda, sampling_rate=rate_hz)
    parts = nk.eda_phasic(clean, sampling_rate=rate_hz, method="highpass")
    phasic = parts["EDA_Phasic"].to_numpy()
    with np.errstate(all="ignore"):
        heights = nk.signal_findpeaks(phasic, relative_height_min=None)["Height"]
    return parts["EDA_Tonic"].mean(), phasic.std(), (heights >= SCR_US).sum() / len(eda) * rate_hz * 60


def _stretches(recording: Recording, windows: ParticipantWindows, window_s: float, context_s: float, name: str) -> list[Values]:
    """The samples of a channel that each window's features may see."""
    rate_hz = {channel.name: channel.rate_hz for channel in recording.channels}[name]
    stretches = []
    for start_s, number in zip(windows.start_s, windows.segment, strict=True):
        segment = recording.segments[number]
        end_s = start_s - segment.start_s + window_s
        begin, end = (round(max(seconds, 0.0) * rate_hz) for seconds in (end_s - context_s, end_s))
        stretches.append(segment.signals[name][begin:end, 0])
    return stretches


def spectral_rates(pulses: list[Values]) -> Values:
    """(n,) heart rate (1/min) by the highest line of each pulse's spectrum between 0.7 and 3 Hz; NaN where it is not clear."""
    rates = []
    for pulse in pulses:
        power = np.square(np.abs(np.fft.rfft((pulse - pulse.mean()) * np.hanning(len(pulse)), POINTS)))
        hz = np.fft.rfftfreq(POINTS, 1 / PULSE_HZ)
        heart = (hz > 0.7) & (hz < 3.0)
        line = hz[heart][power[heart].argmax()]
        near = heart & (np.abs(hz - line) < 0.15)
        rates.append(60 * line if power[near].sum() > CLEAR * power[heart].sum() else np.nan)
    return np.array(rates)


def by_window(stretches: dict[str, list[Values]]) -> Values:
    """(n, len(COMPARED)) of every window, each cleaned and searched on its own, as a script around NeuroKit2 would."""
    rows = []
    for pulse, eda, temp, *axes in zip(*stretches.values(), strict=True):
        acc = np.sqrt(np.square(np.stack(axes)).sum(axis=0))
        rows.append((*_heart(pulse, PULSE_HZ), *_skin(eda, EDA_HZ), temp.mean(), acc.mean()))
    return np.array(rows)


def _ours(found: FeatureChannels, context_s: float) -> Values:
    """The compared features among ours."""
    places = {"temp_mean": ("wrist_temp", "mean"), "acc_mean": ("wrist_acc", "magnitude_mean")}
    places |= {name: ("wrist_bvp", name) for name in COMPARED[:2]} | {name: ("wrist_eda", name) for name in COMPARED[2:5]}
    cards = {card.name: card.feature_names for card in found.cards}
    columns = []
    for name in COMPARED:
        channel, feature = places[name]
        at = cards[f"{channel}_features"].index(f"{feature}_{context_s:g}s")
        columns.append(found.signals[f"{channel}_features"][:, 0, at].astype(np.float64))
    return np.stack(columns, axis=1)


def _timed(call: Callable[[], Values]) -> tuple[Values, float]:
    """What the call gives, and its processor seconds."""
    began = time.process_time()
    return call(), time.process_time() - began


def _agreement(ours: Values, theirs: Values) -> list[str]:
    """A line for each feature: how alike both are where both have it, and how often each lacks it."""
    lines = []
    for name, a, b in zip(COMPARED, ours.T, theirs.T, strict=True):
        both = np.isfinite(a) & np.isfinite(b)
        apart, r = np.abs(a - b)[both], np.corrcoef(a[both], b[both])[0, 1]
        lines.append(
            f"| {name} | {np.median(apart):.3f} | {np.percentile(apart, 90):.3f} | {r:.3f} | "
            f"{np.isnan(a).mean():.1%} / {np.isnan(b).mean():.1%} |"
        )
    return lines


def _compare(people: list[tuple[Recording, ParticipantWindows]], window_s: float, context_s: float) -> Iterator[str]:
    """The lines of one context."""
    count = sum(len(windows.start_s) for _, windows in people)
    stretches = {name: [x for one in people for x in _stretches(*one, window_s, context_s, name)] for name in CHANNELS}
    spectral = spectral_rates(stretches["wrist_bvp"])
    ours, ours_s = _timed(
        lambda: np.concatenate([_ours(feature_channels(*one, window_s, (context_s,)), context_s) for one in people])
    )
    theirs, theirs_s = _timed(lambda: by_window(stretches))
    yield f"{context_s:g} s: {count} windows of {len(people)} people; processor seconds (windows a second):"
    yield f"ours, whole sessions: {ours_s:.2f} ({count / ours_s:,.0f}); NeuroKit2 for every window: {theirs_s:.2f} ({count / theirs_s:,.0f})\n"
    yield "| feature | median difference | 90% of differences below | correlation | missing: ours / NeuroKit2 |\n|---|---|---|---|---|"
    yield from _agreement(ours, theirs)
    clear = np.isfinite(spectral)
    yield f"\nheart rate against the spectrum where it is clear ({clear.sum()} of {count} windows):"
    for who, rates in (("ours", ours[:, 0]), ("NeuroKit2", theirs[:, 0])):
        found = clear & np.isfinite(rates)
        apart = np.abs(rates - spectral)[found]
        yield f"{who}: median {np.median(apart):.2f}, 90% below {np.percentile(apart, 90):.2f} a minute, missing in {(clear & ~found).sum()}"


def main() -> None:
    """Print a table for each context."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("participants", nargs="*", default=["S2", "S3"])
    parser.add_argument("--context", type=float, nargs="*", default=[10.0, 60.0], help="seconds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    reader, settings = DATASETS["wesad"], Preprocessing()
    people = []
    for name in arguments.participants:
        recording = reader.read(Path(arguments.root), name, {**reader.options, "devices": "wrist"})
        people.append((recording, cut(recording, [reader.label("stress")], settings)))
    list(_compare(people[:1], settings.window_s, settings.window_s))  # what is loaded at the first call is nobody's time
    for context_s in arguments.context:
        sys.stdout.write("\n".join(_compare(people, settings.window_s, context_s)) + "\n\n")


if __name__ == "__main__":
    main()
