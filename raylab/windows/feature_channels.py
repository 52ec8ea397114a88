"""Channels of features beside the windows: of each signal whose kind is known one more channel, of one step, computed from the signal as recorded.

Neither winsorizing nor normalization has touched it, so that heart rates are in beats a minute and skin conductance is in microsiemens, and no
feature sees anything after its window. A value that cannot be computed, such as a heart rate where no beat was found, is NaN; no other channel
may hold one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.features.physiology import KINDS, METHOD, Feature, SignalKind
from raylab.recordings.recording import Channel, Recording, Segment
from raylab.windows.channel_card import FEATURES, ChannelCard, FeatureCard
from raylab.windows.segmentation import ParticipantWindows

SUFFIX = "_features"
AXIS = re.compile(r"[ _.-]?[xyz]$", re.IGNORECASE)


@dataclass(frozen=True)
class FeatureChannels:
    """The channels of features of one participant.

    Attributes:
        cards: one a channel.
        signals: channel name to (n, 1, n_features), NaN where a window lacks a feature.
    """

    cards: tuple[ChannelCard, ...]
    signals: Mapping[str, npt.NDArray[np.float32]]

    @property
    def missing(self) -> dict[str, dict[str, int]]:
        """Channel to feature to the number of windows without it, of the features that some window lacks."""
        lacking = {card.name: np.isnan(self.signals[card.name][:, 0]).sum(axis=0) for card in self.cards}
        return {
            card.name: {name: int(n) for name, n in zip(card.feature_names, lacking[card.name], strict=True) if n}
            for card in self.cards
            if lacking[card.name].any()
        }

    def beside(self, windows: ParticipantWindows) -> ParticipantWindows:
        """The windows with these channels behind their own."""
        return replace(windows, signals={**windows.signals, **self.signals})


@dataclass(frozen=True)
class SignalSource:
    """A signal that has features: one channel, or the axes of an accelerometer; ``name`` is that of its channel of features."""

    name: str
    kind: SignalKind
    channels: tuple[Channel, ...]

    @property
    def first(self) -> Channel:
        """The channel that rate and unit are of."""
        return self.channels[0]

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features of a signal in this unit."""
        return self.kind.features_in(self.first.unit)

    def samples(self, segment: Segment) -> npt.NDArray[np.float64]:
        """(n, n_columns) of all its channels, as long as the shortest."""
        parts = [segment.signals[channel.name] for channel in self.channels]
        shortest = min(map(len, parts))
        return np.concatenate([part[:shortest] for part in parts], axis=1)


def kind_of(channel: Channel) -> SignalKind | None:
    """The kind of signal of a channel: as declared, or by its modality, or by a word in its name; None if none is known."""
    if channel.kind:
        return KINDS[channel.kind]
    for words in ([channel.modality.casefold()], re.split("[^a-z]+", channel.name.casefold())):
        for kind in KINDS.values():
            if set(words) & set(kind.words):
                return kind
    return None


def signal_sources(recording: Recording) -> list[SignalSource]:
    """The signals that have features, in the order of the channels. Axes of equal name but for x, y, z, rate and unit are one signal."""
    found: dict[tuple[str, float, str], SignalSource] = {}
    for channel in recording.channels:
        kind, width = kind_of(channel), recording.segments[0].signals[channel.name].shape[1]
        if kind is None or channel.rate_hz < kind.slowest_hz or (width > 1 and kind.name != "acc"):
            continue
        stem = AXIS.sub("", channel.name) if kind.name == "acc" else channel.name
        key = (stem or channel.name, channel.rate_hz, channel.unit)
        earlier = found.get(key)
        found[key] = SignalSource(f"{key[0]}{SUFFIX}", kind, (*(earlier.channels if earlier else ()), channel))
    return list(found.values())


def feature_channels(
    recording: Recording, windows: ParticipantWindows, window_s: float, contexts_s: Sequence[float] = ()
) -> FeatureChannels:
    """The features of every window.

    Args:
        contexts_s: seconds of signal, ending with the window, that features are computed from, each on its own; a window if there are none.
            A context ends where its session begins.

    Raises:
        RecordingError: if no channel is of a known kind, or a channel is named as a channel of features would be.
    """
    contexts = tuple(contexts_s) or (window_s,)
    sources = signal_sources(recording)
    names = [channel.name for channel in recording.channels] + [source.name for source in sources]
    if not sources or len(set(names)) < len(names):
        problem = (
            f"two channels would be named {', '.join(sorted({name for name in names if names.count(name) > 1}))}"
            if sources
            else f"no channel has features: none of {', '.join(names)} is of a known kind ({', '.join(KINDS)}), and fast enough for it"
        )
        raise RecordingError(
            problem,
            participant=recording.participant,
            remedy="rename channels, say their `kind:` in dataset.yaml, or leave out --features",
        )
    cards = tuple(_card(source, contexts, window_s) for source in sources)
    values = {source.name: _values(source, recording, windows, window_s, contexts) for source in sources}
    return FeatureChannels(cards, values)


def _card(source: SignalSource, contexts: Sequence[float], window_s: float) -> ChannelCard:
    features = tuple(
        FeatureCard(
            name=f"{feature.name}_{context:g}s",
            unit=feature.unit.format(unit=source.first.unit or "a.u."),
            sources=tuple(channel.name for channel in source.channels),
            context_s=context,
            missing=feature.missing,
        )
        for context in contexts
        for feature in source.features
    )
    return ChannelCard(
        name=source.name,
        modality=FEATURES,
        recorded_hz=source.first.rate_hz,
        rate_hz=1 / window_s,
        unit=METHOD,
        length=1,
        n_features=len(features),
        features=features,
    )


def _values(
    source: SignalSource, recording: Recording, windows: ParticipantWindows, window_s: float, contexts: Sequence[float]
) -> npt.NDArray[np.float32]:
    """(n, 1, n_features), the contexts one after the other; each session is analysed once."""
    values = np.full((len(windows.start_s), 1, len(contexts) * len(source.features)), np.nan, dtype=np.float32)
    for number, segment in enumerate(recording.segments):
        rows = np.flatnonzero(windows.segment == number)
        if len(rows):
            ends_s = windows.start_s[rows] - segment.start_s + window_s
            values[rows, 0] = np.stack(list(_columns(source, segment, ends_s, contexts)), axis=1)
    values[~np.isfinite(values)] = np.nan
    return values


def _columns(
    source: SignalSource, segment: Segment, ends_s: npt.NDArray[np.float64], contexts: Sequence[float]
) -> Iterator[npt.NDArray[np.float64]]:
    """Each feature of each context, (n,), of the windows of a session that end then."""
    samples, rate_hz = source.samples(segment), source.first.rate_hz
    describe = source.kind.analyse(samples, rate_hz)
    end = np.minimum(np.round(ends_s * rate_hz).astype(np.int64), len(samples))
    for context in contexts:
        begin = np.maximum(np.round((ends_s - context) * rate_hz).astype(np.int64), 0)
        yield from describe(np.minimum(begin, end), end)[: len(source.features)]
