"""What was said: a recognizer of the sentences that a model file or the user names."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.features.sound import RATE_HZ


class SpeechRecognizer:
    """pocketsphinx with a grammar of known sentences, in English (the language of the model inside the package).

    Free dictation by that package took 1.6 s for two seconds of speech and was wrong; of known sentences it is quick. A sentence outside the list is
    heard as the nearest in it, or not at all.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = {_plain(sentence): sentence for sentence in sentences if _plain(sentence)}
        if not self.sentences:
            raise RaylabError("there is no sentence to recognize; give a file with one a line with --sentences")

    @cached_property
    def _decoder(self) -> Any:
        sphinx = load("pocketsphinx", "live")
        made = sphinx.Decoder(lm=None, loglevel="FATAL")
        unknown = sorted({word for text in self.sentences for word in text.split() if made.lookup_word(word) is None})
        if unknown:
            raise RaylabError(f"the recognizer does not know the words {', '.join(unknown)}; it knows English words only")
        made.add_jsgf_string("said", f"#JSGF V1.0; grammar said; public <said> = {' | '.join(map(_begun, self.sentences))};")
        made.activate_search("said")
        return made

    def warm(self) -> None:
        """Load it now."""
        self.hear(np.zeros(RATE_HZ))

    def hear(self, samples: npt.NDArray[np.float64]) -> str | None:
        """The sentence said in these samples (n,) at 16 kHz, or the only one that begins so; None where it is none of them."""
        decoder = self._decoder
        decoder.start_utt()
        decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        heard = f"{found.hypstr} " if found else ""
        fitting = [sentence for plain, sentence in self.sentences.items() if heard and f"{plain} ".startswith(heard)]
        return fitting[0] if len(fitting) == 1 else None


def _begun(plain: str) -> str:
    """A grammar of the sentence and of its beginnings: a window may end before the speaker does."""
    first, *others = plain.split()
    return first + "".join(f" [{word}" for word in others) + "]" * len(others)


def _plain(sentence: str) -> str:
    """Small letters and words only."""
    return " ".join(
        "".join(letter for letter in word if letter.isalpha() or letter == "'") for word in sentence.lower().split()
    )
