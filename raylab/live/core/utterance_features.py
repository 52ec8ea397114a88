"""Utterances of a stream to windows: the features of prepared windows, each channel timed."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.acoustic import ACOUSTIC, AcousticFeatures
from raylab.features.sound import RATE_HZ, Sound, trimmed
from raylab.features.text import ENGLISH, GERMAN, english, german
from raylab.live.core.faces import Faces
from raylab.live.core.messages import Window
from raylab.live.core.model_file import ModelCard, ModelChannel
from raylab.live.core.speech_recognition import SpeechRecognizer
from raylab.live.core.voice_activity import SpeechSegment

EMBED: dict[str, Callable[[str], npt.NDArray[np.float64]]] = {ENGLISH: english, GERMAN: german}
WAIT_S = 0.1  # that a decision waits for the faces of its last pictures
WORDS, PICTURE = "linguistic", "visual"

Found = tuple[npt.NDArray[np.float64] | None, str]  # (n, n_features), or None and why


class SpeechWindows:
    """Makes a window of an utterance.

    Args:
        sentences: what may be heard where the model has words; the model file's own unless given.
        faces: None where the source has no picture.
        wait_s: that a decision waits for the faces of its last pictures.

    Raises:
        RaylabError: where a channel is none that this raylab can compute.
    """

    def __init__(self, card: ModelCard, sentences: Sequence[str], faces: Faces | None, wait_s: float = WAIT_S) -> None:
        self.card, self.faces, self._wait_s = card, faces, wait_s
        self.options, self.longest_s = card.options, card.speech.window_s
        self.trim_db, self.step_ms = float(self.options["trim_db"]), float(self.options["step_ms"])
        self.views = {channel.name: self._view(channel) for channel in card.channels}
        known = sentences or card.sentences
        words = any(channel.modality == WORDS for channel in card.channels)
        self.recognizer = SpeechRecognizer(known) if words and known else None
        self._number = 0

    def _view(self, channel: ModelChannel) -> AcousticFeatures | None:
        """How the channel sees the sound; None for words and pictures."""
        for kind in ACOUSTIC.values():
            if (kind.channel, kind.named(self.step_ms)) == (channel.name, channel.unit):
                return kind
        if channel.modality == PICTURE or (channel.modality == WORDS and channel.unit in EMBED):
            return None
        raise RaylabError(f"channel {channel.name} ({channel.unit}) is none that this raylab can compute from a stream")

    def warm(self) -> None:
        """Load and compile everything that the first utterance would wait for."""
        noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)
        self._sound_features(Sound(noise, 0.0, RATE_HZ, 1))
        trimmed(Sound(noise, 0.0, RATE_HZ, 1), self.trim_db, self.longest_s)
        if self.recognizer:
            self.recognizer.warm()
            for sentence in self.recognizer.sentences.values():
                self._embedded(sentence)

    def window(self, spoken: SpeechSegment) -> Window | None:
        """The window of an utterance, with what each part of it cost; None where it has none of the modalities."""
        parts: dict[str, float] = {}
        clock = time.perf_counter()

        def lap(name: str) -> None:
            nonlocal clock
            now = time.perf_counter()
            parts[name], clock = parts.get(name, 0.0) + 1000 * (now - clock), now

        sound = trimmed(Sound(spoken.samples, spoken.start_s, RATE_HZ, 1), self.trim_db, self.longest_s)
        found: dict[str, Found] = {name: (values, "") for name, values in self._sound_features(sound).items()}
        lap("sound")
        heard = None
        for channel in self.card.channels:
            if channel.modality == WORDS:
                heard = self.recognizer.hear(sound.samples) if self.recognizer else None
                found[channel.name] = self._words(channel, heard)
                lap("words")
            elif channel.modality == PICTURE:
                found[channel.name] = self._pictures(sound)
                lap("faces")
        if all(values is None for values, _ in found.values()):
            return None
        self._number += 1
        return Window(
            number=self._number - 1,
            start_s=sound.start_s,
            end_s=sound.start_s + sound.seconds,
            values={channel.name: _padded(found[channel.name][0], channel) for channel in self.card.channels},
            lengths={channel.name: _steps(found[channel.name][0], channel) for channel in self.card.channels},
            missing={name: why for name, (values, why) in found.items() if values is None},
            quality={"sound": spoken.quality},
            complete=spoken.arrived,
            parts_ms=parts,
            heard=heard or "",
        )

    def _sound_features(self, sound: Sound) -> dict[str, npt.NDArray[np.float64]]:
        return {
            name: kind.frames(sound.samples, kind.hop(self.step_ms)) for name, kind in self.views.items() if kind is not None
        }

    def _words(self, channel: ModelChannel, heard: str | None) -> Found:
        if self.recognizer is None:
            return None, "no sentences to recognize"
        return (EMBED[channel.unit](heard), "") if heard else (None, "not understood")

    def _embedded(self, sentence: str) -> None:
        for channel in self.card.channels:
            if channel.modality == WORDS:
                EMBED[channel.unit](sentence)

    def _pictures(self, sound: Sound) -> Found:
        if self.faces is None:
            return None, "no picture"
        return self.faces.between(sound.start_s, sound.start_s + sound.seconds, self._wait_s)


def _steps(values: npt.NDArray[np.float64] | None, channel: ModelChannel) -> int:
    return 0 if values is None else min(len(values), channel.length)


def _padded(values: npt.NDArray[np.float64] | None, channel: ModelChannel) -> npt.NDArray[np.float32]:
    """(length, n_features), zeros behind the valid steps."""
    made = np.zeros((channel.length, channel.n_features), dtype=np.float32)
    if values is not None:
        n = _steps(values, channel)
        made[:n] = values[:n]
    return made
