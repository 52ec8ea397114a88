"""The types that a reader returns (``Recording`` and its parts), and ``Dataset``, by which a dataset declares itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.errors import InvalidValueError

Trait = float | str
DatasetKind = Literal[
    "signals", "utterances"
]  # running signals, of which windows are cut; utterances, each of which is a window
Decision = Literal["mode", "majority", "above_own_mean"]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Channel:
    """One channel of a recording: one axis of a sensor, or one view of an utterance.

    Attributes:
        name: unique in the recording, e.g. ``wrist_acc_x``.
        modality: the quantity that is measured, e.g. ``acc``, ``bvp``, ``eda``.
        rate_hz: samples per second as recorded.
        target_rate_hz: samples per second in the windows; divides ``rate_hz``.
        unit: unit of the samples as recorded.
        file: the file or folder that the samples were read from, for messages.
        longest: number of steps that every window of a channel of variable length is padded to; 0 if windows are cut from a running signal.
    """

    name: str
    modality: str
    rate_hz: float
    target_rate_hz: float
    unit: str
    file: str = ""
    longest: int = 0

    @property
    def variable(self) -> bool:
        """Whether each window of the channel has a length of its own (speech)."""
        return self.longest > 0


@dataclass(frozen=True)
class LabelTrack:
    """A label over time: ``values[i]`` holds from ``times_s[i]`` until the next time.

    Attributes:
        times_s: (m,) seconds from the start of the segment, rising.
        values: (m,) codes or ratings; NaN means that there is no label.
    """

    times_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording without gaps or trial borders: no window crosses its ends.

    If the channels are of variable length, a segment is one utterance and becomes one window.

    Attributes:
        session: name of the trial or session.
        start_s: seconds from the start of the recording.
        signals: samples by channel name, each (n_samples, n_features), float64.
        tracks: label tracks by name.
    """

    session: str
    start_s: float
    signals: Mapping[str, npt.NDArray[np.float64]]
    tracks: Mapping[str, LabelTrack]


@dataclass(frozen=True)
class Recording:
    """All that a dataset holds of one participant.

    Attributes:
        participant: the participant's name.
        channels: the channels, in the order in which models receive them.
        segments: in time order.
        traits: numbers, or text for categories.
        notes: sentences about data that the reader left out or that differ from the published description; the card keeps them.
    """

    participant: str
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    traits: Mapping[str, Trait]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """How a label track becomes one class per window (docs/protocol.md, Labels).

    Attributes:
        name: name of the label, e.g. ``stress``.
        track: name of the track that it is read from.
        decide: ``mode``: the most frequent code in the window, the smallest one if several are tied; ``majority``: the same, but a tie drops
            the window; ``above_own_mean``: class 1 if the mean inside the window exceeds the participant's own mean of the track, else 0.
        classes: class names, in the order of their indices.
        codes: class index by code; windows that decide for another code carry no label.
    """

    name: str
    track: str
    decide: Decision
    classes: tuple[str, ...]
    codes: Mapping[int, int] = field(default_factory=dict)


def no_notes(channels: Sequence[str]) -> tuple[str, ...]:
    """Most datasets: no choice of channels needs a note."""
    return ()


@dataclass(frozen=True)
class Dataset:
    """A dataset raylab can read. Adding one is one of these in ``raylab.recordings.DATASETS``.

    Attributes:
        participants: (root, options) -> names, in the order of the publication.
        read: (root, participant, options) -> Recording.
        labels: every label it offers; ``default_labels`` are those prepared unless asked otherwise.
        options: the names that ``--option name=value`` may set, with defaults.
        needs_root: whether it reads files.
        caution: the sentence that every table of this data must carry, if any.
        notes: sentences on what the folder holds and no participant is read from; preparing says them.
        published: names of all published participants, to say who is missing from a folder.
        describe: for data that describe themselves: the dataset as the folder says it is.
        kind: ``signals``: windows are cut from running signals (``raylab.windows.segmentation``); ``utterances``: a segment is an utterance
            and one window (``raylab.windows.utterances``); such a dataset has an option ``longest_s``.
        channel_notes: names of the channels that a study uses -> sentences that its tables must carry because of this choice.
        sentences: unit of a channel of words -> every sentence that a recognizer of a live stream may hear. Empty if words of this
            dataset cannot be recognized live.
    """

    name: str
    signals: str
    traits: tuple[str, ...]
    labels: tuple[Label, ...]
    default_labels: tuple[str, ...]
    licence: str
    obtain: str
    citation: str
    participants: Callable[[Path, Options], list[str]]
    read: Callable[[Path, str, Options], Recording]
    options: Options = field(default_factory=dict)
    needs_root: bool = True
    caution: str = ""
    notes: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    describe: Callable[[Path], "Dataset"] | None = None
    kind: DatasetKind = "signals"
    channel_notes: Callable[[Sequence[str]], tuple[str, ...]] = no_notes
    sentences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, root: Path) -> "Dataset":
        """This dataset as found at the root: itself, or what the folder describes."""
        return self.describe(root) if self.describe else self

    def label(self, name: str) -> Label:
        for label in self.labels:
            if label.name == name:
                return label
        raise InvalidValueError(
            f"{self.name} has no label {name!r}; it offers {', '.join(label.name for label in self.labels)}"
        )
