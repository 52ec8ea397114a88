"""Recognition of the sentence that was spoken, among the sentences that a model file or the user names."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.features.sound import RATE_HZ


class SpeechRecognizer:
    """pocketsphinx with a grammar of known sentences, in English (the language of the model in the package).

    Its free dictation took 1.6 s for two seconds of speech and was wrong; of known sentences it is quick. A sentence outside the list is recognized
    as the nearest one in it, or not at all.

    Raises:
        RaylabError: if no sentence has a word.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = {_normalized(sentence): sentence for sentence in sentences if _normalized(sentence)}
        if not self.sentences:
            raise RaylabError("there is no sentence to recognize; give a file with one a line with --sentences")

    @cached_property
    def _decoder(self) -> Any:
        sphinx = load("pocketsphinx", "live")
        decoder = sphinx.Decoder(lm=None, loglevel="FATAL")
        unknown_words = sorted({word for text in self.sentences for word in text.split() if decoder.lookup_word(word) is None})
        if unknown_words:
            raise RaylabError(f"the recognizer does not know the words {', '.join(unknown_words)}; it knows English words only")
        decoder.add_jsgf_string(
            "said", f"#JSGF V1.0; grammar said; public <said> = {' | '.join(map(_beginnings, self.sentences))};"
        )
        decoder.activate_search("said")
        return decoder

    def warm_up(self) -> None:
        """Load the recognizer now.

        Raises:
            RaylabError: if it does not know a word of the sentences.
        """
        self.recognize(np.zeros(RATE_HZ))

    def recognize(self, samples: npt.NDArray[np.float64]) -> str | None:
        """The sentence spoken in samples (n,) at 16 kHz, or the only one that begins so; None if it is none of them."""
        decoder = self._decoder
        decoder.start_utt()
        decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        words = f"{hypothesis.hypstr} " if hypothesis else ""
        candidates = [sentence for plain, sentence in self.sentences.items() if words and f"{plain} ".startswith(words)]
        return candidates[0] if len(candidates) == 1 else None


def _beginnings(sentence: str) -> str:
    """A grammar of the sentence and its beginnings: a window may end before the wearer has finished."""
    first, *others = sentence.split()
    return first + "".join(f" [{word}" for word in others) + "]" * len(others)


def _normalized(sentence: str) -> str:
    """Lower-case words of letters and apostrophes only."""
    return " ".join(
        "".join(letter for letter in word if letter.isalpha() or letter == "'") for word in sentence.lower().split()
    )
