"""Windows of utterances in a stream: the features of prepared windows, with the time that each channel took."""

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
from raylab.live.core.model_card import ModelCard, ModelChannel
from raylab.live.core.speech_recognition import SpeechRecognizer
from raylab.live.core.voice_activity import SpeechSegment

EMBEDDINGS: dict[str, Callable[[str], npt.NDArray[np.float64]]] = {ENGLISH: english, GERMAN: german}
WAIT_S = 0.1  # how long a decision waits for the faces of its last pictures
WORDS, PICTURE = "linguistic", "visual"

ChannelFeatures = tuple[npt.NDArray[np.float64] | None, str]  # (n, n_features), or None and the reason


class SpeechWindows:
    """Makes windows of utterances.

    Args:
        sentences: that can be recognized, if the model has words; if empty, those of the model file.
        faces: None if the source has no picture.
        wait_s: how long a decision waits for the faces of its last pictures.

    Raises:
        RaylabError: if this raylab cannot compute one of the channels.
    """

    def __init__(self, card: ModelCard, sentences: Sequence[str], faces: Faces | None, wait_s: float = WAIT_S) -> None:
        self.card, self.faces, self._wait_s = card, faces, wait_s
        self.options, self.longest_s = card.options, card.speech.window_s
        self.trim_db, self.step_ms = float(self.options["trim_db"]), float(self.options["step_ms"])
        self.trim_peak = float(self.options.get("trim_peak", 0.0))  # older models have none
        self.acoustic = {channel.name: self._acoustic_features(channel) for channel in card.channels}
        known_sentences = sentences or card.sentences
        has_words = any(channel.modality == WORDS for channel in card.channels)
        self.recognizer = SpeechRecognizer(known_sentences) if has_words and known_sentences else None
        self._number = 0  # of the next window

    def _acoustic_features(self, channel: ModelChannel) -> AcousticFeatures | None:
        """The features of sound that the channel holds; None for words and pictures."""
        for features in ACOUSTIC.values():
            if (features.channel, features.named(self.step_ms)) == (channel.name, channel.unit):
                return features
        if channel.modality == PICTURE or (channel.modality == WORDS and channel.unit in EMBEDDINGS):
            return None
        raise RaylabError(f"channel {channel.name} ({channel.unit}) is none that this raylab can compute from a stream")

    def warm_up(self) -> None:
        """Load and compile everything that the first utterance would wait for."""
        noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)
        self._sound_features(Sound(noise, 0.0, RATE_HZ, 1))
        trimmed(Sound(noise, 0.0, RATE_HZ, 1), self.trim_db, self.longest_s, self.trim_peak)
        if self.recognizer:
            self.recognizer.warm_up()
            for sentence in self.recognizer.sentences.values():
                self._embed(sentence)

    def window(self, segment: SpeechSegment) -> Window | None:
        """The window of an utterance, with the duration of each step; None if it has none of the model's modalities."""
        parts: dict[str, float] = {}
        clock = time.perf_counter()

        def lap(name: str) -> None:
            nonlocal clock
            now = time.perf_counter()
            parts[name], clock = parts.get(name, 0.0) + 1000 * (now - clock), now

        sound = trimmed(Sound(segment.samples, segment.start_s, RATE_HZ, 1), self.trim_db, self.longest_s, self.trim_peak)
        features: dict[str, ChannelFeatures] = {name: (values, "") for name, values in self._sound_features(sound).items()}
        lap("sound")
        sentence = None
        for channel in self.card.channels:
            if channel.modality == WORDS:
                sentence = self.recognizer.recognize(sound.samples) if self.recognizer else None
                features[channel.name] = self._word_features(channel, sentence)
                lap("words")
            elif channel.modality == PICTURE:
                features[channel.name] = self._face_features(sound)
                lap("faces")
        if all(values is None for values, _ in features.values()):
            return None
        self._number += 1
        return Window(
            number=self._number - 1,
            start_s=sound.start_s,
            end_s=sound.start_s + sound.seconds,
            values={channel.name: _padded(features[channel.name][0], channel) for channel in self.card.channels},
            lengths={channel.name: _n_steps(features[channel.name][0], channel) for channel in self.card.channels},
            missing={name: why for name, (values, why) in features.items() if values is None},
            quality={"sound": segment.quality},
            complete=segment.arrived,
            parts_ms=parts,
            heard=sentence or "",
        )

    def _sound_features(self, sound: Sound) -> dict[str, npt.NDArray[np.float64]]:
        return {
            name: features.frames(sound.samples, features.hop(self.step_ms))
            for name, features in self.acoustic.items()
            if features is not None
        }

    def _word_features(self, channel: ModelChannel, sentence: str | None) -> ChannelFeatures:
        if self.recognizer is None:
            return None, "no sentences to recognize"
        return (EMBEDDINGS[channel.unit](sentence), "") if sentence else (None, "not understood")

    def _embed(self, sentence: str) -> None:
        """Compute the sentence's features once, so that its embedding is loaded."""
        for channel in self.card.channels:
            if channel.modality == WORDS:
                EMBEDDINGS[channel.unit](sentence)

    def _face_features(self, sound: Sound) -> ChannelFeatures:
        if self.faces is None:
            return None, "no picture"
        return self.faces.features_between(sound.start_s, sound.start_s + sound.seconds, self._wait_s)


def _n_steps(values: npt.NDArray[np.float64] | None, channel: ModelChannel) -> int:
    return 0 if values is None else min(len(values), channel.length)


def _padded(values: npt.NDArray[np.float64] | None, channel: ModelChannel) -> npt.NDArray[np.float32]:
    """(length, n_features), zeros after the valid steps."""
    padded = np.zeros((channel.length, channel.n_features), dtype=np.float32)
    if values is not None:
        n = _n_steps(values, channel)
        padded[:n] = values[:n]
    return padded
