"""From utterances to a recording: the parts that the readers of Emo-DB and RAVDESS share.

A speaker is a participant: "speaker" is the word of the field. An utterance is one segment and becomes one window.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.acoustic import ACOUSTIC, PRETRAINED, AcousticFeatures, pretrained_features
from raylab.features.sound import Sound, trimmed
from raylab.hashing import hash_array, hash_record
from raylab.recordings.recording import Channel, Label, LabelTrack, Options, Recording, Segment, Trait

# The codes of the track are RAVDESS's numbers; 9 is boredom, which RAVDESS does not have.
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
IN_BOTH = (1, 3, 4, 5, 6, 7)  # the emotions that Emo-DB and RAVDESS share
OPTIONS: Options = {
    "acoustic": "mfcc",
    "linguistic": True,
    "longest_s": 4.0,
    "trim_db": 40,
    "trim_peak": 0,
    "step_ms": 10,
    "encoder_weights": "",  # of acoustic=pretrained and pretrained_frames: the folder of a downloaded encoder,
    "encoder_layer": 6,  # and its layer
}
WORDS, PICTURE = "linguistic", "visual"
TEXT_WIDTH = 384

Vectors = npt.NDArray[np.float64]
Embed = Callable[[str], Vectors]


@dataclass(frozen=True)
class Utterance:
    """One utterance, as the name of its file describes it.

    Attributes:
        path: the file.
        name: the file's name without its ending.
        emotion: a key of ``EMOTIONS``.
        text: the sentence that is spoken.
    """

    path: Path
    name: str
    emotion: int
    text: str


@dataclass(frozen=True)
class SoundAndPicture:
    """The content of one utterance's file.

    Attributes:
        sound: not yet trimmed.
        visual: features of the picture (n, n_features); None if there is no picture or no face.
        note: a sentence for the card; empty if there is nothing to report.
    """

    sound: Sound
    visual: Vectors | None = None
    note: str = ""


def labels_of(codes: Sequence[int]) -> tuple[Label, ...]:
    """The labels of a corpus that has the emotions of these codes.

    ``emotion``: every emotion of the corpus; ``common``: the six emotions that Emo-DB and RAVDESS share, in one order, for training on one
    corpus and testing on the other.
    """
    return tuple(
        Label(
            name,
            "emotion",
            "mode",
            tuple(EMOTIONS[code] for code in label_codes),
            {code: i for i, code in enumerate(label_codes)},
        )
        for name, label_codes in (("emotion", codes), ("common", IN_BOTH))
    )


def check_options(options: Options) -> None:
    """Refuse option values that have no meaning, and features whose package is missing.

    Raises:
        RaylabError: naming all values at once, or the package.
    """
    views = str(options["acoustic"]).split("+")
    views_refused = views != ["none"] and (set(views) - {*ACOUSTIC, *PRETRAINED} or len(set(views)) < len(views))
    allowed = f"{', '.join([*ACOUSTIC, *PRETRAINED])}, several joined by +, or none"
    problems = [f"acoustic={options['acoustic']!r}: there are {allowed}"] if views_refused else []
    for name, low, high in (("longest_s", 0.5, 60), ("trim_db", 0, 100), ("trim_peak", 0, 0.5), ("step_ms", 5, 25)):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            problems.append(f"{name}={value!r}: give a number from {low:g} to {high:g}")
    folder, layer = options["encoder_weights"], options["encoder_layer"]
    if not isinstance(folder, str) or isinstance(layer, bool) or not isinstance(layer, int):
        problems.append(f"encoder_weights={folder!r}, encoder_layer={layer!r}: give a folder and a whole number")
    elif bool(folder) != bool(set(views) & set(PRETRAINED)):
        problems.append(
            "encoder_weights names the folder of a downloaded encoder for acoustic=pretrained or pretrained_frames: give both, or neither"
        )
    problems += [f"{name}={options[name]!r}: give true or false" for name in _invalid_switches(options)]
    if options["acoustic"] == "none" and not options["linguistic"] and not options.get(PICTURE):
        problems.append("no channel is left: give acoustic, linguistic or visual")
    if problems:
        raise RaylabError("--option " + "; ".join(problems))
    for view in _acoustic_views(options):
        if view.check:
            view.check()


def _invalid_switches(options: Options) -> list[str]:
    """The options that must be true or false, and are neither."""
    return [name for name in (WORDS, PICTURE) if name in options and not isinstance(options[name], bool)]


def in_order(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances in the order of the hashes of their names.

    No corpus publishes when a sentence was spoken, and sorted names put one emotion or text first. In the order of hashes the first utterances
    of a label, which are the calibration windows, are a random draw that is the same on every machine.
    """
    return sorted(utterances, key=lambda utterance: hash_record(utterance.name))


@dataclass(frozen=True)
class UtteranceReader:
    """How a corpus's utterances become a recording.

    Attributes:
        read: from a file to its sound and picture, not yet trimmed.
        embed: from a text to its vectors (n_tokens, 384).
        words: the unit of these vectors. It names the model, because vectors of two models cannot be mixed.
        texts: every text of the corpus: the longest one decides how many tokens a window holds.
        published_hz: the sampling rate at which the corpus is published.
        visual_hz: rate of the features of the picture.
        visual_width: number of features of the picture.
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
        """All utterances of one speaker, one segment each, with the track ``emotion``; silence at both ends of the sound is cut off.

        Raises:
            RecordingError: on a file that cannot be read, is truncated or silent.
        """
        segments, notes, start = [], _Notes(self.published_hz), 0.0
        channels = self._channels(options, str(utterances[0].path.parent))
        for utterance in in_order(utterances):
            source = self.read(utterance.path)
            below = {name: float(options[name]) for name in ("trim_db", "trim_peak")}
            sound = trimmed(source.sound, below["trim_db"], float(options["longest_s"]), below["trim_peak"])
            notes.add(utterance, source, sound)
            signals = {channel.name: self._signal(channel, utterance, source, sound, options) for channel in channels}
            track = LabelTrack(np.zeros(1), np.array([float(utterance.emotion)]))
            content = hash_array(source.sound.samples)
            file = str(utterance.path)
            segments.append(Segment(utterance.name, round(start, 6), signals, {"emotion": track}, file, content))
            start += sound.seconds
        return Recording(participant, channels, tuple(segments), traits, notes.sentences())

    def _channels(self, options: Options, folder: str) -> tuple[Channel, ...]:
        """The channels that the options ask for; ``longest`` follows from the option ``longest_s`` and the corpus's texts."""
        channels: list[Channel] = []
        longest_s = float(options["longest_s"])
        step_ms = float(options["step_ms"])
        for view in _acoustic_views(options):
            rate, longest = view.rate_hz(step_ms), view.longest(longest_s, step_ms)
            channels.append(Channel(view.channel, view.modality, rate, rate, view.named(step_ms), folder, longest))
        if options["linguistic"]:
            longest = max(len(self.embed(text)) for text in self.texts)
            channels.append(Channel(WORDS, WORDS, 1.0, 1.0, self.words, folder, longest))
        if options.get(PICTURE):
            rate = self.visual_hz
            channels.append(Channel(PICTURE, PICTURE, rate, rate, "embedding", folder, 1 + int(longest_s * rate)))
        return tuple(channels)

    def _signal(
        self, channel: Channel, utterance: Utterance, source: SoundAndPicture, sound: Sound, options: Options
    ) -> Vectors:
        """The samples of one channel of one utterance, (n, n_features)."""
        for view in _acoustic_views(options):
            if channel.name == view.channel:
                return view.frames(sound.samples, view.hop(float(options["step_ms"])))
        if channel.modality == WORDS:
            return self.embed(utterance.text)
        return self._visual_features(source, sound)[: channel.longest]

    def _visual_features(self, source: SoundAndPicture, sound: Sound) -> Vectors:
        """The features of the picture while the trimmed sound lasts, (n, n_features); both count from the first sample of the untrimmed sound."""
        if source.visual is None:
            return np.zeros((0, self.visual_width))
        begin = sound.start_s - source.sound.start_s
        first, last = (round(time_s * self.visual_hz) for time_s in (begin, begin + sound.seconds))
        return source.visual[first : last + 1]


def _acoustic_views(options: Options) -> list[AcousticFeatures]:
    """The acoustic features that the options ask for."""
    return [
        pretrained_features(name, str(options["encoder_weights"]), int(options["encoder_layer"]))
        if name in PRETRAINED
        else ACOUSTIC[name]
        for name in str(options["acoustic"]).split("+")
        if name != "none"
    ]


class _Notes:
    """Counts what the card reports on a speaker's files: rates, channels, utterances cut, and the notes on single files."""

    def __init__(self, published_hz: int) -> None:
        self.published_hz = published_hz
        self.rates: dict[int, int] = {}
        self.file_notes: list[str] = []
        self.cut = self.mixed = 0

    def add(self, utterance: Utterance, source: SoundAndPicture, sound: Sound) -> None:
        """Count one utterance: the sound as read, and the sound that is kept."""
        self.rates[source.sound.recorded_hz] = self.rates.get(source.sound.recorded_hz, 0) + 1
        self.mixed += source.sound.recorded_channels > 1 and not source.sound.one_channel
        self.cut += sound.shortened
        self.file_notes += [f"{utterance.name}: {note}" for note in (source.sound.note, source.note) if note]

    def sentences(self) -> tuple[str, ...]:
        """The sentences for the card."""
        other_rates = {rate: count for rate, count in self.rates.items() if rate != self.published_hz}
        lines = [
            f"{count} files at {rate} Hz, published are {self.published_hz} Hz" for rate, count in sorted(other_rates.items())
        ]
        lines += [f"{self.mixed} files with several channels, averaged"] if self.mixed else []
        lines += [f"{self.cut} utterances are longer than a window holds, their ends are left out"] if self.cut else []
        return (*lines, *self.file_notes)


def by_speaker(utterances: Sequence[tuple[str, Utterance]]) -> dict[str, list[Utterance]]:
    """Utterances by speaker, in the order of the speakers' names; of each speaker in the order of the utterances' names."""
    speakers: dict[str, list[Utterance]] = {}
    for speaker, utterance in sorted(utterances, key=lambda pair: (pair[0], pair[1].name)):
        speakers.setdefault(speaker, []).append(utterance)
    return speakers
