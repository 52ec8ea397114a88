"""Channels of signal quality beside the windows: of each signal that has features one more channel, of one step (``raylab.features.quality``)."""

import numpy as np
import numpy.typing as npt

from raylab.features.quality import METHOD, analyse_quality, measures_of
from raylab.recordings.recording import Recording
from raylab.windows.channel_card import QUALITY, ChannelCard, FeatureCard
from raylab.windows.feature_channels import SUFFIX, FeatureChannels, SignalSource, signal_sources
from raylab.windows.segmentation import ParticipantWindows

QUALITY_SUFFIX = "_quality"


def quality_channels(recording: Recording, windows: ParticipantWindows, window_s: float) -> FeatureChannels:
    """The quality of every window's signals, computed from the window alone.

    Returns:
        cards and values, (n, 1, n_measures) by channel; no value is missing, but of a window that a signal does not reach.
    """
    sources = signal_sources(recording)
    cards = tuple(_card(source, window_s) for source in sources)
    values = {card.name: _values(source, recording, windows, window_s) for card, source in zip(cards, sources, strict=True)}
    return FeatureChannels(cards, values)


def _card(source: SignalSource, window_s: float) -> ChannelCard:
    measures = tuple(
        FeatureCard(
            name=f"{measure.name}_{window_s:g}s",
            unit=measure.unit.format(unit=source.first.unit or "a.u."),
            sources=tuple(channel.name for channel in source.channels),
            context_s=window_s,
        )
        for measure in measures_of(source.kind.name)
    )
    return ChannelCard(
        name=source.name.removesuffix(SUFFIX) + QUALITY_SUFFIX,
        modality=QUALITY,
        recorded_hz=source.first.rate_hz,
        rate_hz=1 / window_s,
        unit=METHOD,
        length=1,
        n_features=len(measures),
        features=measures,
    )


def _values(
    source: SignalSource, recording: Recording, windows: ParticipantWindows, window_s: float
) -> npt.NDArray[np.float32]:
    values = np.full((len(windows.start_s), 1, len(measures_of(source.kind.name))), np.nan, dtype=np.float32)
    for number, segment in enumerate(recording.segments):
        rows = np.flatnonzero(windows.segment == number)
        if not len(rows):
            continue
        samples, rate_hz = source.samples(segment), source.first.rate_hz
        begins_s = windows.start_s[rows] - segment.start_s
        end = np.minimum(np.round((begins_s + window_s) * rate_hz).astype(np.int64), len(samples))
        begin = np.minimum(np.round(begins_s * rate_hz).astype(np.int64), end)
        values[rows, 0] = np.stack(analyse_quality(source.kind.name, samples, rate_hz)(begin, end), axis=1)
    return values


def mean_quality(quality: FeatureChannels) -> dict[str, dict[str, float]]:
    """Channel to measure to its mean over the windows that have it, of one participant, with 4 digits."""
    means = {}
    for card in quality.cards:
        values = quality.signals[card.name][:, 0].astype(np.float64)
        columns = zip(card.feature_names, values.T, strict=True)
        means[card.name] = {
            name: round(float(column[~np.isnan(column)].mean()), 4) for name, column in columns if not np.isnan(column).all()
        }
    return means
