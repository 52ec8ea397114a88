"""From sound to frames: MFCC with deltas, pitch and energy; log-mel; the waveform, for encoders that learn from it; statistics of an utterance; and
what a frozen speech encoder makes of it (``raylab.features.speech_encoder``).

Frames are 25 ms long at 16 kHz. Features are scaled to the order of 1 by fixed round constants, the same for every corpus and participant:
nothing is fitted, so no statistic of a held-out speaker enters. Normalization per speaker is a separate option
(``raylab.windows.utterances``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.features.optional_packages import load
from raylab.features.pretrained_speech import pretrained_encoder
from raylab.features.sound import RATE_HZ, Samples
from raylab.features.speech_encoder import STEP, embedding, embedding_frames, encoder
from raylab.features.voice_encoder import STEP as VOICE_STEP
from raylab.features.voice_encoder import encoder as voice_encoder
from raylab.features.voice_encoder import voice, voice_frames

N_FFT, FRAME = 512, 400  # 25 ms at 16 kHz
N_MFCC, MFCC_MELS, MELS = 13, 40, 64
PITCH_FRAME = 1024  # 64 ms: two periods of the lowest voice
PITCH_HZ = (60.0, 500.0)
PITCH_MIDDLE_HZ = 150.0  # pitch is given in octaves above this
FLOOR = 1e-10  # -100 dB
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

# Typical centre and spread of librosa's MFCC in dB, rounded: the first is the level, the others shrink with their number.
MFCC_MIDDLE = np.array([-300.0, *[0.0] * 12])
MFCC_SPREAD = np.array([100.0, 50.0, 30.0, 30.0, 20.0, 20.0, 15.0, 15.0, 15.0, 10.0, 10.0, 10.0, 10.0])
DELTA_SPREAD = MFCC_SPREAD / 10
LEVEL_MIDDLE_DB, LEVEL_SPREAD_DB = -40.0, 20.0

ENCODED = "Whisper tiny (Smart Turn 3.2), layer norm 4"
VOICE = "Resemblyzer 0.1.4, LSTM layer 3"
PRETRAINED = ("pretrained", "pretrained_frames")  # of a folder that the user names: see ``pretrained_features``

FeatureFrames = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AcousticFeatures:
    """One representation of a sound.

    Attributes:
        channel: the name of its channel.
        unit: unit of its values.
        frames: (samples, samples from one frame to the next) -> (n, n_features).
        step: samples from one frame to the next, if the option ``step_ms`` does not decide it: 1 for the waveform, 320 for the encoder.
        modality: the name by which a study selects it.
        whole: whether the whole utterance is one step.
        check: refuses a package that is missing, before any work.
    """

    channel: str
    unit: str
    frames: Callable[[Samples, int], FeatureFrames]
    step: int | None = None
    modality: str = "acoustic"
    whole: bool = False
    check: Callable[[], object] | None = None

    def hop(self, step_ms: float) -> int:
        """Samples from one frame to the next."""
        return self.step or round(step_ms * RATE_HZ / 1000)

    def named(self, step_ms: float) -> str:
        """The channel's unit. Statistics depend on the step of the frames, which the channel's rate does not show: so the unit names it."""
        return f"{self.unit}; frames every {step_ms:g} ms" if self.whole and self.step is None else self.unit

    def rate_hz(self, step_ms: float) -> float:
        """The rate of the channel; 1 if the whole utterance is one step."""
        return 1.0 if self.whole else RATE_HZ / self.hop(step_ms)

    def longest(self, seconds: float, step_ms: float) -> int:
        """The number of steps of a sound of this length."""
        return 1 if self.whole else round(seconds * RATE_HZ) // self.hop(step_ms) + (0 if self.step else 1)


def _mel_db(samples: Samples, step: int, mels: int) -> FeatureFrames:
    """(n, mels) power of the mel bands in dB, at least -100."""
    spectrum = load("librosa", "speech").feature.melspectrogram
    power = spectrum(y=samples, sr=RATE_HZ, n_fft=N_FFT, win_length=FRAME, hop_length=step, n_mels=mels)
    return np.asarray(10 * np.log10(np.maximum(power, FLOOR)).T, dtype=np.float64)


def _mfcc(samples: Samples, step: int) -> FeatureFrames:
    """(n, 39): 13 coefficients, and their first and second differences over time."""
    feature = load("librosa", "speech").feature
    plain = feature.mfcc(S=_mel_db(samples, step, MFCC_MELS).T, n_mfcc=N_MFCC)
    first, second = (feature.delta(plain, order=order, mode="nearest").T for order in (1, 2))
    return np.concatenate([(plain.T - MFCC_MIDDLE) / MFCC_SPREAD, first / DELTA_SPREAD, second / DELTA_SPREAD], axis=1)


def pitch(samples: Samples, step: int) -> FeatureFrames:
    """(n,) octaves above 150 Hz, by YIN (de Cheveigne and Kawahara 2002) between 60 and 500 Hz; arbitrary in frames without voice."""
    low, high = PITCH_HZ
    yin = load("librosa", "speech").yin
    frequency_hz = yin(samples, fmin=low, fmax=high, sr=RATE_HZ, frame_length=PITCH_FRAME, hop_length=step)
    return np.asarray(np.log2(frequency_hz / PITCH_MIDDLE_HZ), dtype=np.float64)


def energy(samples: Samples, step: int) -> FeatureFrames:
    """(n,) level of each frame in dB of full scale, in units of 20 dB around -40 dB."""
    rms = load("librosa", "speech").feature.rms(y=samples, frame_length=FRAME, hop_length=step)[0]
    level = 20 * np.log10(np.maximum(rms, FLOOR**0.5))
    return np.asarray((level - LEVEL_MIDDLE_DB) / LEVEL_SPREAD_DB, dtype=np.float64)


def _speech_features(samples: Samples, step: int) -> FeatureFrames:
    """(n, 41): MFCC with deltas, pitch, energy."""
    padded = _pad_to_one_frame(samples)
    parts = _mfcc(padded, step), pitch(padded, step)[:, None], energy(padded, step)[:, None]
    return np.concatenate(parts, axis=1)[: 1 + len(samples) // step]


def _log_mel(samples: Samples, step: int) -> FeatureFrames:
    """(n, 64): power of 64 mel bands in dB, in units of 20 dB around -40 dB."""
    scaled = (_mel_db(_pad_to_one_frame(samples), step, MELS) - LEVEL_MIDDLE_DB) / LEVEL_SPREAD_DB
    return scaled[: 1 + len(samples) // step]


def _pad_to_one_frame(samples: Samples) -> Samples:
    """The samples, with silence added at the end if they are shorter than the longest frame (64 ms)."""
    return np.pad(samples, (0, max(0, PITCH_FRAME - len(samples))))


def _waveform(samples: Samples, step: int) -> FeatureFrames:
    """(n, 1): the samples themselves."""
    return samples[:, None]


def _functionals(samples: Samples, step: int) -> FeatureFrames:
    """(1, 840): statistics of 41 + 64 features over the frames of the utterance.

    The statistics are, in this order, the mean, the standard deviation, five quantiles and the mean absolute step, each of all features. They
    are the classical input of a support vector machine (Schuller et al. 2009, the Interspeech emotion challenge, section 4, with more
    statistics of this kind).
    """
    frames = np.concatenate([_speech_features(samples, step), _log_mel(samples, step)], axis=1)
    moves = np.abs(np.diff(frames, axis=0)).sum(axis=0) / max(len(frames) - 1, 1)
    statistics = [frames.mean(axis=0), frames.std(axis=0), *np.quantile(frames, QUANTILES, axis=0), moves]
    return np.asarray(np.concatenate(statistics)[None], dtype=np.float64)


ACOUSTIC = {
    "mfcc": AcousticFeatures("acoustic", "MFCC, deltas, octaves, dB", _speech_features),
    "mel": AcousticFeatures("mel", "dB / 20", _log_mel),
    "waveform": AcousticFeatures("waveform", "full scale", _waveform, step=1),
    "functionals": AcousticFeatures(
        "functionals", "statistics of MFCC, dB, octaves", _functionals, modality="functionals", whole=True
    ),
    "embedding": AcousticFeatures(
        "embedding", f"mean and SD of {ENCODED}", embedding, STEP, modality="embedding", whole=True, check=encoder
    ),
    "embedding_frames": AcousticFeatures(
        "embedding_frames", ENCODED, embedding_frames, STEP, modality="embedding_frames", check=encoder
    ),
    "voice": AcousticFeatures(
        "voice", f"mean and SD of {VOICE}", voice, VOICE_STEP, modality="voice", whole=True, check=voice_encoder
    ),
    "voice_frames": AcousticFeatures(
        "voice_frames", VOICE, voice_frames, VOICE_STEP, modality="voice_frames", check=voice_encoder
    ),
}


def pretrained_features(name: str, folder: str, layer: int) -> AcousticFeatures:
    """What a downloaded encoder makes of a sound (``raylab.features.pretrained_speech``): a name of ``PRETRAINED``.

    Raises:
        RaylabError: if the folder holds no such encoder.
    """
    found = pretrained_encoder(folder, layer)
    if name == "pretrained":
        return AcousticFeatures(name, f"mean and SD of {found.name}", found.statistics, found.step, name, whole=True)
    return AcousticFeatures(name, found.name, found.frames, found.step, name)
