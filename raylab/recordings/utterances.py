"""Utterances to a recording: what Emo-DB and RAVDESS share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.acoustic import ACOUSTIC, AcousticFeatures
from raylab.features.sound import Sound, trimmed
from raylab.hashing import hash_record
from raylab.recordings.recording import Channel, Label, LabelTrack, Options, Recording, Segment, Trait

# The track's codes are RAVDESS's numbers; boredom, which it has not, is 9.
EMOTIONS = {
    1: "neutral",
    2: "calm",
    3: "happy",
    4: "sad",
    5: "angry",
    6: "fearful",
    7: "disgust",
    8: "surprised",
    9: "boredom",
}
IN_BOTH = (1, 3, 4, 5, 6, 7)  # what Emo-DB and RAVDESS have in common
OPTIONS: Options = {"acoustic": "mfcc", "linguistic": True, "longest_s": 4.0, "trim_db": 40, "step_ms": 10}
WORDS, PICTURE = "linguistic", "visual"
TEXT_WIDTH = 384

Vectors = npt.NDArray[np.float64]
Embed = Callable[[str], Vectors]


@dataclass(frozen=True)
class Utterance:
    """One file, as its name says.

    Attributes:
        name: the file's name without its ending.
        emotion: a key of ``EMOTIONS``.
    """

    path: Path
    name: str
    emotion: int
    text: str


@dataclass(frozen=True)
class SoundAndPicture:
    """What was read of one utterance: its sound, the picture's features (n, n_features) if any, and what is worth a note."""

    sound: Sound
    visual: Vectors | None = None
    note: str = ""


def labels_of(codes: Sequence[int]) -> tuple[Label, ...]:
    """``emotion``: every emotion of the corpus; ``common``: the six that Emo-DB and RAVDESS share, in one order, for training on one
    corpus and testing on the other."""
    return tuple(
        Label(name, "emotion", "mode", tuple(EMOTIONS[code] for code in kept), {code: i for i, code in enumerate(kept)})
        for name, kept in (("emotion", codes), ("common", IN_BOTH))
    )


def check_options(options: Options) -> None:
    """Refuse values that mean nothing, all at once."""
    asked = str(options["acoustic"]).split("+")
    wrong = asked != ["none"] and (set(asked) - set(ACOUSTIC) or len(set(asked)) < len(asked))
    known = f"{', '.join(ACOUSTIC)}, several joined by +, or none"
    problems = [f"acoustic={options['acoustic']!r}: there are {known}"] if wrong else []
    for name, low, high in (("longest_s", 0.5, 60), ("trim_db", 0, 100), ("step_ms", 5, 25)):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            problems.append(f"{name}={value!r}: give a number from {low:g} to {high:g}")
    problems += [f"{name}={options[name]!r}: give true or false" for name in _switches(options)]
    if options["acoustic"] == "none" and not options["linguistic"] and not options.get(PICTURE):
        problems.append("no channel is left: give acoustic, linguistic or visual")
    if problems:
        raise RaylabError("--option " + "; ".join(problems))


def _switches(options: Options) -> list[str]:
    return [name for name in (WORDS, PICTURE) if name in options and not isinstance(options[name], bool)]


def in_order(utterances: Sequence[Utterance]) -> list[Utterance]:
    """No corpus publishes when a sentence was spoken, and files sort by emotion or text: the order is that of the names' hashes.

    "The first utterances of a label", which calibration asks for, are then a draw, the same on every machine.
    """
    return sorted(utterances, key=lambda one: hash_record(one.name))


@dataclass(frozen=True)
class UtteranceReader:
    """How a corpus's utterances become a recording.

    Attributes:
        read: file to sound and picture, not yet trimmed.
        embed: text to (n_tokens, 384). ``words``: the unit of these vectors, which names the model: two models' vectors cannot be mixed.
        texts: every text of the corpus: the longest decides how many tokens a window holds.
        published_hz: rate that the corpus is published at.
        visual_hz, visual_width: of the picture's features.
    """

    read: Callable[[Path], SoundAndPicture]
    embed: Embed
    words: str
    texts: tuple[str, ...]
    published_hz: int
    visual_hz: float = 0.0
    visual_width: int = 0

    def recording(
        self, participant: str, utterances: Sequence[Utterance], traits: Mapping[str, Trait], options: Options
    ) -> Recording:
        """All utterances of one speaker, one segment each."""
        segments, notes, start = [], _Notes(self.published_hz), 0.0
        channels = self._channels(options, str(utterances[0].path.parent))
        for one in in_order(utterances):
            seen = self.read(one.path)
            sound = trimmed(seen.sound, float(options["trim_db"]), float(options["longest_s"]))
            notes.add(one, seen, sound)
            signals = {channel.name: self._signal(channel, one, seen, sound, options) for channel in channels}
            track = LabelTrack(np.zeros(1), np.array([float(one.emotion)]))
            segments.append(Segment(one.name, round(start, 6), signals, {"emotion": track}))
            start += sound.seconds
        return Recording(participant, channels, tuple(segments), traits, notes.sentences())

    def _channels(self, options: Options, folder: str) -> tuple[Channel, ...]:
        made: list[Channel] = []
        longest_s = float(options["longest_s"])
        step_ms = float(options["step_ms"])
        for kind in _views(options):
            rate, longest = kind.rate_hz(step_ms), kind.longest(longest_s, step_ms)
            made.append(Channel(kind.channel, kind.modality, rate, rate, kind.named(step_ms), folder, longest))
        if options["linguistic"]:
            longest = max(len(self.embed(text)) for text in self.texts)
            made.append(Channel(WORDS, WORDS, 1.0, 1.0, self.words, folder, longest))
        if options.get(PICTURE):
            rate = self.visual_hz
            made.append(Channel(PICTURE, PICTURE, rate, rate, "embedding", folder, 1 + int(longest_s * rate)))
        return tuple(made)

    def _signal(self, channel: Channel, one: Utterance, seen: SoundAndPicture, sound: Sound, options: Options) -> Vectors:
        for kind in _views(options):
            if channel.name == kind.channel:
                return kind.frames(sound.samples, kind.hop(float(options["step_ms"])))
        if channel.modality == WORDS:
            return self.embed(one.text)
        return self._pictures(seen, sound)[: channel.longest]

    def _pictures(self, seen: SoundAndPicture, sound: Sound) -> Vectors:
        """The picture's steps while the trimmed sound lasts; both count from the untrimmed sound's first sample."""
        if seen.visual is None:
            return np.zeros((0, self.visual_width))
        begin = sound.start_s - seen.sound.start_s
        first, last = (round(at * self.visual_hz) for at in (begin, begin + sound.seconds))
        return seen.visual[first : last + 1]


def _views(options: Options) -> list[AcousticFeatures]:
    """How the sound is to be seen."""
    return [ACOUSTIC[name] for name in str(options["acoustic"]).split("+") if name != "none"]


class _Notes:
    """What the card says of a speaker's files."""

    def __init__(self, published_hz: int) -> None:
        self.published_hz = published_hz
        self.rates: dict[int, int] = {}
        self.found: list[str] = []
        self.cut = self.mixed = 0

    def add(self, one: Utterance, seen: SoundAndPicture, sound: Sound) -> None:
        self.rates[seen.sound.recorded_hz] = self.rates.get(seen.sound.recorded_hz, 0) + 1
        self.mixed += seen.sound.recorded_channels > 1
        self.cut += sound.shortened
        self.found += [f"{one.name}: {seen.note}"] if seen.note else []

    def sentences(self) -> tuple[str, ...]:
        other = {rate: count for rate, count in self.rates.items() if rate != self.published_hz}
        said = [f"{count} files at {rate} Hz, published are {self.published_hz} Hz" for rate, count in sorted(other.items())]
        said += [f"{self.mixed} files with several channels, averaged"] if self.mixed else []
        said += [f"{self.cut} utterances are longer than a window holds, their ends are left out"] if self.cut else []
        return (*said, *self.found)


def by_speaker(utterances: Sequence[tuple[str, Utterance]]) -> dict[str, list[Utterance]]:
    """Speakers in the order of their names."""
    found: dict[str, list[Utterance]] = {}
    for speaker, one in sorted(utterances, key=lambda pair: (pair[0], pair[1].name)):
        found.setdefault(speaker, []).append(one)
    return found
