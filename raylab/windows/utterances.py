"""Recordings of utterances: each segment is one window, padded to one length, with its own number of valid steps."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from raylab.errors import RecordingError
from raylab.recordings.recording import Channel, Label, Recording
from raylab.windows.number_types import LARGEST, NotNegative, Positive
from raylab.windows.segmentation import NO_LABEL, ParticipantWindows, class_of_code

# A transcript's embedding has no speaker's level or range: it is never scaled by speaker.
OF_THE_SPEAKER = (
    "acoustic",
    "functionals",
    "embedding",
    "embedding_frames",
    "voice",
    "voice_frames",
    "pretrained",
    "pretrained_frames",
    "visual",
)
USES = {
    "none": "features as they are extracted, no statistic of any person is used",
    "per_speaker": "features standardized (z-score) per speaker over all of the speaker's utterances: of the target too, without its "
    "labels, so a result needs unlabelled utterances of a new speaker first",
}

STILL = 1e-9  # a spread of this share of the mean is rounding

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Utterances:
    """How utterances become windows. The card keeps it, and checks it when it is read.

    Attributes:
        kind: the kind of data it is for.
        causal: the normalization that uses nothing that a stream has not brought yet.
        window_s: the longest part of an utterance that a window holds; the reader cuts there.
        normalization: ``none``: nothing that a participant's other utterances decide; ``per_speaker``: z-score of each feature over all
            valid steps of the speaker's utterances, the held-out speaker's unlabelled ones included.
        step_s: utterances do not overlap, so this is ``window_s`` unless given. Of two joined datasets (``raylab.windows.cross_corpus``) it
            is the first one's, while ``window_s`` is the longer one's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    kind: ClassVar[Literal["utterances"]] = "utterances"
    causal: ClassVar[Literal["none"]] = "none"

    window_s: Positive
    normalization: Literal["none", "per_speaker"] = "none"
    step_s: NotNegative = 0.0

    def __post_init__(self) -> None:
        if not self.step_s:
            object.__setattr__(self, "step_s", self.window_s)

    @property
    def can_stream(self) -> bool:
        """Whether a stream has windows of the same values."""
        return self.normalization == self.causal

    @property
    def caution(self) -> str:
        """The sentence that every table of this data must carry about the normalization, if any."""
        return f"Normalized {self.normalization}: {USES[self.normalization]}." if self.normalization != "none" else ""

    @property
    def suffix(self) -> str:
        """The mark behind a dataset's name in every table; nothing for features as they are."""
        return "" if self.normalization == "none" else "per speaker"

    @property
    def description(self) -> str:
        """The windows and their normalization, for the notes of a run."""
        return f"utterances of at most {self.window_s:g} s, {USES[self.normalization]}"

    def as_dict(self) -> dict[str, Any]:
        """As the card holds it, and as a stage's hash reads it."""
        return asdict(self)


def classes_of_utterances(recording: Recording, label: Label) -> npt.NDArray[np.int8]:
    """(n_segments,) class index, ``NO_LABEL`` if the code has no class: the track holds one value an utterance."""
    codes = [float(segment.tracks[label.track].values[0]) for segment in recording.segments]
    return np.array([class_of_code(code, label) for code in codes], dtype=np.int8)


def _check(recording: Recording) -> None:
    """Refuse NaN, values beyond single precision, an utterance longer than its window, and one without any modality."""
    for segment in recording.segments:
        for channel in recording.channels:
            samples, problem = segment.signals[channel.name], ""
            if bad := int((~np.isfinite(samples)).sum()):
                problem = f"has {bad} of {samples.size} values that are NaN or infinite"
            elif (largest := float(np.abs(samples).max(initial=0.0))) > LARGEST:
                problem = f"has the value {largest:g}, windows hold at most {LARGEST:g}"
            elif len(samples) > channel.longest:
                problem = f"has {len(samples)} steps, a window holds {channel.longest}"
            elif not any(len(signal) for signal in segment.signals.values()):
                problem = "has no step in any channel"
            if problem:
                raise RecordingError(
                    f"utterance {segment.session} {problem}",
                    file=channel.file,
                    participant=recording.participant,
                    channel=channel.name,
                    remedy="repair the file, or leave the participant out (--exclude)",
                )


def standardized(parts: Sequence[Signal]) -> list[Signal]:
    """Each of the parts (n_i, n_features), z-scored by mean and standard deviation over all steps of all parts.

    A feature that never moves (but for its last bits, which a division by their spread would blow up) becomes 0.
    """
    joined = np.concatenate(parts)
    if not len(joined):
        return list(parts)
    mean, spread = joined.mean(axis=0), joined.std(axis=0)
    moves = spread > STILL * np.maximum(np.abs(mean), 1.0)
    return [np.where(moves, (part - mean) / np.where(moves, spread, 1.0), 0.0) for part in parts]


def _padded(parts: Sequence[Signal], channel: Channel) -> npt.NDArray[np.float32]:
    """(n, longest, n_features), zeros behind each part."""
    padded = np.zeros((len(parts), channel.longest, parts[0].shape[1]), dtype=np.float32)
    for row, part in enumerate(parts):
        padded[row, : len(part)] = part
    return padded


def cut_utterances(recording: Recording, labels: list[Label], settings: Utterances) -> ParticipantWindows:
    """One window per utterance that carries at least one of the labels, in the recording's order.

    Speaker statistics are of every utterance of the recording, whatever label it carries: they use no labels.

    Raises:
        RecordingError: on NaN, an utterance that is too long or empty, or a recording without one labelled utterance.
    """
    _check(recording)
    classes = {label.name: classes_of_utterances(recording, label) for label in labels}
    labelled = np.flatnonzero(np.any([values != NO_LABEL for values in classes.values()], axis=0))
    if not len(labelled):
        raise RecordingError(
            f"none of {len(recording.segments)} utterances has a label ({', '.join(classes)})",
            file=recording.place,
            participant=recording.participant,
            remedy="choose another label, or leave the participant out with --exclude",
        )
    signals, lengths = {}, {}
    for channel in recording.channels:
        parts = [segment.signals[channel.name] for segment in recording.segments]
        if settings.normalization == "per_speaker" and channel.modality in OF_THE_SPEAKER:
            parts = standardized(parts)
        chosen = [parts[i] for i in labelled]
        signals[channel.name] = _padded(chosen, channel)
        lengths[channel.name] = np.array([len(part) for part in chosen], dtype=np.int32)
    last = recording.segments[-1]
    return ParticipantWindows(
        start_s=np.array([recording.segments[i].start_s for i in labelled]),
        segment=labelled.astype(np.int32),
        sessions=[recording.segments[i].session for i in labelled],
        labels={name: values[labelled] for name, values in classes.items()},
        signals=signals,
        duration_s=last.start_s + _seconds(recording, len(recording.segments) - 1),
        lengths=lengths,
    )


def _seconds(recording: Recording, number: int) -> float:
    """How long an utterance lasts: its first channel in seconds."""
    first = recording.channels[0]
    return len(recording.segments[number].signals[first.name]) / first.rate_hz
