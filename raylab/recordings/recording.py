"""What a dataset's reader returns, and how a dataset declares itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.errors import InvalidValueError

Trait = float | str
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Channel:
    """One channel of a recording.

    Attributes:
        name: unique in the recording, e.g. ``wrist_acc_x``.
        modality: what is measured, e.g. ``acc``, ``bvp``, ``eda``.
        rate_hz: samples a second as recorded.
        target_rate_hz: samples a second in the windows; divides ``rate_hz``.
        unit: of the samples as recorded.
        file: where it was read from, for messages.
        longest: of a channel of variable length, the steps that every window is padded to; 0: windows are cut from a running signal.
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
        """Whether its windows carry their own length."""
        return self.longest > 0


@dataclass(frozen=True)
class LabelTrack:
    """A label over time: ``values[i]`` holds from ``times_s[i]`` (both (m,), seconds from the segment's start, rising)."""

    times_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """A stretch without gaps or trial borders. Where the channels are of variable length it is one utterance, and one window.

    Attributes:
        session: names the trial or session.
        start_s: seconds from the recording's start.
        signals: channel name to samples (n_samples, n_features), float64.
        tracks: track name to its labels.
    """

    session: str
    start_s: float
    signals: Mapping[str, npt.NDArray[np.float64]]
    tracks: Mapping[str, LabelTrack]


@dataclass(frozen=True)
class Recording:
    """One participant: channels, segments in time order, and traits (numbers, or text for categories).

    Attributes:
        notes: sentences on what the reader left out or found otherwise than published; the card keeps them.
    """

    participant: str
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    traits: Mapping[str, Trait]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """How a label track becomes a class per window (PROTOCOL, Labels).

    Attributes:
        name: of the label, e.g. ``stress``.
        track: the track it is read from.
        decide: ``mode`` of the window's codes; ``majority`` of them, a tie drops the window; ``above_own_mean``:
            class 1 where the window's mean exceeds the participant's own mean of the track.
        classes: class names, in order of their index.
        codes: track value to class index; windows that decide for another value carry no label.
    """

    name: str
    track: str
    decide: Literal["mode", "majority", "above_own_mean"]
    classes: tuple[str, ...]
    codes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A dataset raylab can read. Adding one is one of these in ``raylab.recordings.DATASETS``.

    Attributes:
        participants: (root, options) -> names, in the order of the publication.
        read: (root, participant, options) -> Recording.
        labels: every label it offers; ``default_labels`` are those prepared unless asked otherwise.
        options: what ``--option name=value`` may set, with defaults.
        needs_root: whether it reads files.
        caution: what every table of this data must say, if anything.
        published: names of all published participants, to say who is missing from a folder.
        describe: for data that describe themselves: the dataset as the folder says it is.
        utterances: whether a segment is an utterance and one window (``raylab.windows.utterances``); such a dataset has an option ``longest_s``.
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
    published: tuple[str, ...] = ()
    describe: Callable[[Path], "Dataset"] | None = None
    utterances: bool = False

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
