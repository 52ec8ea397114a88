"""The types that a reader returns (``Recording`` and its parts), and ``Dataset``, by which a dataset declares itself."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from raylab.errors import InvalidValueError

Trait = float | str
DatasetKind = Literal[
    "signals", "utterances"
]  # running signals, of which windows are cut; utterances, each of which is a window
Decision = Literal["mode", "majority", "above_own_mean"]
OwnMean = Literal["time", "clip"]
Options = Mapping[str, Any]

# Traits that say under which circumstances a participant was recorded (raylab.windows.context), and not what the person is like.
SESSION_GROUP = "session_group"  # equal for people who were recorded together
CIRCUMSTANCES = ("device", "hand", "room", "experimenter")
OWN_MEAN = "own_mean"  # the option of datasets of ratings, and the key in dataset.yaml
UNEVEN_S = 1.0  # by which the channels of a session may differ in length
MOST_CLASSES = 127  # class indices are stored in one byte
# Columns of the prepared windows (raylab.windows.dataset), and the prefixes of those that belong to a label or a channel.
OWN_COLUMNS = ("window", "participant", "session", "segment", "start_s")
LABEL_PREFIX, STATISTICS_PREFIX, STEPS_PREFIX = "y_", "s_", "n_"


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
        kind: the kind of signal, which its features go by (``raylab.features.physiology.KINDS``); empty: by its modality or name.

    Raises:
        InvalidValueError: if it has no name, or a rate is not a finite number above 0.
    """

    name: str
    modality: str
    rate_hz: float
    target_rate_hz: float
    unit: str
    file: str = ""
    longest: int = 0
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InvalidValueError("a channel has no name; give it one")
        for rate_name, rate in (("rate_hz", self.rate_hz), ("target_rate_hz", self.target_rate_hz)):
            if not (math.isfinite(rate) and rate > 0):
                raise InvalidValueError(f"channel {self.name}: {rate_name} is {rate:g}, expected samples per second above 0")

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

    @cached_property
    def step_s(self) -> float:
        """Seconds that the last value is taken to hold: the median of the first steps; 0 if there is only one value."""
        return float(np.median(np.diff(self.times_s[:1000]))) if len(self.times_s) > 1 else 0.0


@dataclass(frozen=True)
class Baseline:
    """The condition of a protocol in which a participant rests before anything is asked of them.

    Signals can be scaled by it (``raylab.windows.normalization``). Which samples it is has to be known of a new person, too.

    Attributes:
        track: the label track that tells it.
        code: the track's value during the condition.
        first_run: only the first unbroken stretch of the code counts, if later ones follow what the protocol asked for.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    track: str
    code: int
    first_run: bool = False

    @property
    def description(self) -> str:
        """The condition in words: ``condition 1``, ``first run of task 0``."""
        return f"{'first run of ' if self.first_run else ''}{self.track} {self.code}"


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording without gaps or trial borders: no window crosses its ends.

    If the channels are of variable length, a segment is one utterance and becomes one window.

    Attributes:
        session: name of the trial or session.
        start_s: seconds from the start of the recording.
        signals: samples by channel name, each (n_samples, n_features), float64.
        tracks: label tracks by name.
        source: the file or folder that the segment alone was read from, for messages; empty: that of the channels.
        content: digest of what the segment was read from, by which a copy is found, if the signals do not show it as well (the sound of an
            utterance, of which only the words are used); empty: the signals tell.
    """

    session: str
    start_s: float
    signals: Mapping[str, npt.NDArray[np.float64]]
    tracks: Mapping[str, LabelTrack]
    source: str = ""
    content: str = ""


@dataclass(frozen=True)
class Recording:
    """All that a dataset holds of one participant.

    Attributes:
        participant: the participant's name.
        channels: the channels, in the order in which models receive them.
        segments: in time order.
        traits: numbers, or text for categories.
        notes: sentences about data that the reader left out or that differ from the published description; the card keeps them.
        uneven_s: seconds by which the channels of a segment may differ in length, because the published ones are known to; differences over
            ``UNEVEN_S`` are noted in the card. Infinite: any difference, which the reader notes itself.
    """

    participant: str
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    traits: Mapping[str, Trait]
    notes: tuple[str, ...] = ()
    uneven_s: float = UNEVEN_S

    @property
    def place(self) -> str:
        """What all of it was read from, for messages: a file, or the folder that its files share; empty if it is in no file."""
        shared = {channel.file for channel in self.channels}
        places = {place for segment in self.segments for place in ([segment.source] if segment.source else shared) if place}
        if not self.segments:
            places = shared - {""}
        try:
            return os.path.commonpath(places) if places else ""
        except ValueError:  # some from the root of the file system, others not
            return min(places)


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
        own_mean: the own mean of ``above_own_mean``. ``time``: over the time that the label was given, each value for as long as it holds;
            ``clip``: each session (a clip, a song) counts once, by its mean over time, however long it lasts.

    Raises:
        InvalidValueError: if class names repeat or are empty, a class index is outside the classes, or the rule does not fit the classes.
    """

    name: str
    track: str
    decide: Decision
    classes: tuple[str, ...]
    codes: Mapping[int, int] = field(default_factory=dict)
    own_mean: OwnMean = "time"

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise InvalidValueError(f"label {self.name}: {'; '.join(problems)}")

    def _problems(self) -> list[str]:
        """Why windows could not be told apart by this label; empty if they can."""
        count = len(self.classes)
        range_text = f"there are classes 0..{count - 1} ({', '.join(self.classes)})"
        problems = [
            f"code {code} -> class {index}, {range_text}: classes are counted from 0"
            for code, index in self.codes.items()
            if not 0 <= index < count
        ]
        repeated = [name for name, times in Counter(name.strip() for name in self.classes).items() if times > 1]
        problems += [f"the class {name!r} stands twice; give every class a name of its own" for name in repeated if name]
        if not self.classes or not all(name.strip() for name in self.classes):
            problems.append("a class has no name; give every class one")
        if count > MOST_CLASSES:
            problems.append(f"it has {count} classes, at most {MOST_CLASSES} can be stored")
        if self.decide == "above_own_mean" and count != 2:
            problems.append(
                f"above_own_mean decides between 2 classes, below and above, it has {count}: {', '.join(self.classes)}"
            )
        if self.own_mean not in get_args(OwnMean):
            problems.append(f"own_mean is {self.own_mean!r}, expected {' or '.join(get_args(OwnMean))}")
        elif self.own_mean != "time" and self.decide != "above_own_mean":
            problems.append(f"own_mean: {self.own_mean} is for decide: above_own_mean, not for {self.decide}")
        return problems

    def with_own_mean(self, options: Options) -> "Label":
        """The same label with the own mean that the dataset's options ask for, if they have one.

        Raises:
            InvalidValueError: if there is no such own mean.
        """
        if OWN_MEAN not in options or self.decide != "above_own_mean":
            return self
        if options[OWN_MEAN] not in get_args(OwnMean):
            raise InvalidValueError(
                f"--option {OWN_MEAN}={options[OWN_MEAN]!r} is unknown; use {OWN_MEAN}=time (each rating for as long as it holds) or "
                f"{OWN_MEAN}=clip (each clip once)"
            )
        return replace(self, own_mean=options[OWN_MEAN])


def column_problems(channels: Iterable[str], labels: Iterable[str]) -> list[str]:
    """Names that would be two columns of the prepared windows at once: a sentence on each; empty if there is none."""
    names, label_names = list(channels), list(labels)
    owners = dict.fromkeys(OWN_COLUMNS, "raylab's own column")
    owners |= {f"{LABEL_PREFIX}{label}": f"the column of the label {label}" for label in label_names}
    for name in names:
        owners[f"{STATISTICS_PREFIX}{name}"] = f"the column of statistics of the channel {name}"
        owners[f"{STEPS_PREFIX}{name}"] = f"the column of steps of the channel {name}"
    problems = [f"channel {name} is named like {owners[name]}: give it another name" for name in names if name in owners]
    for what, group in (("channel", names), ("label", label_names)):
        problems += [f"{what} {name} stands twice" for name, count in Counter(group).items() if count > 1]
    return problems


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
        baseline: the baseline condition of its protocol; None if it has none that a track tells.
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
    baseline: Baseline | None = None

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
