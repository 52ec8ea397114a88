"""Sounds of utterances."""

from pathlib import Path

import numpy as np
from scipy.io import wavfile

from benchmarks.fuzz.builders import builder
from benchmarks.fuzz.reader import FuzzedReader, UnlikeSeedError
from raylab.features.sound import read_wav, trimmed


def write_sounds(folder: Path) -> None:
    """16 bits mono, and float stereo at another rate."""
    speech = builder("speech")
    speech.write_wav(folder / "mono.wav", speech.hum(0.3))
    sound = speech.hum(0.3, rate=48_000)
    wavfile.write(folder / "stereo.wav", 48_000, np.stack([sound, sound / 2], axis=1).astype(np.float32))


def _read_sounds(folder: Path) -> None:
    """Each sound as a dataset's utterance."""
    for path in sorted(folder.glob("*.wav")):
        sound = trimmed(read_wav(path), 30.0, 10.0)
        if not np.isfinite(sound.samples).all():
            raise UnlikeSeedError(f"{path.name} has samples that are NaN or infinite")


READERS = {"wav": FuzzedReader("sounds of utterances", write_sounds, ("*.wav",), _read_sounds, binary=True)}
