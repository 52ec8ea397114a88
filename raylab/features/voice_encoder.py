"""From sound to the frames of Resemblyzer's voice encoder, an LSTM that was trained to tell speakers apart (Wan et al. 2018, arXiv 1710.10467).

Resemblyzer (Apache-2.0) declares packages that raylab does not need: only its file of weights is read, which is checked by its hash. Its own
embedding is one vector for a voice; here the third layer's output is taken frame by frame, because it changes with how something is said.
Departures from the package: an utterance goes through the LSTM as a whole, not in pieces of 1.6 s, and long silences stay.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.features.optional_packages import file_of, load
from raylab.features.sound import RATE_HZ, Samples

EXTRA = "speech-voice"
NETWORK = ("resemblyzer", "pretrained.pt", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e")
N_FFT, STEP, MELS = 400, 160, 40  # 25 ms, 10 ms
WIDTH, LAYERS = 256, 3
LEVEL_DB = -30.0  # of full scale, to which quieter sounds are raised

Vectors = npt.NDArray[np.float64]


@lru_cache(maxsize=1)
def encoder() -> Any:
    """The LSTM with its weights, in inference mode, loaded and checked once per process.

    Raises:
        RaylabError: if a package is absent, or the weights' hash is not the pinned one.
    """
    torch, path = load("torch", EXTRA), file_of(*NETWORK, EXTRA)
    load("librosa", EXTRA)
    state = torch.load(path, weights_only=True, map_location="cpu")["model_state"]
    lstm = torch.nn.LSTM(MELS, WIDTH, LAYERS, batch_first=True)
    lstm.load_state_dict({name.removeprefix("lstm."): value for name, value in state.items() if name.startswith("lstm.")})
    return lstm.eval()


def voice_frames(samples: Samples, step: int = STEP) -> Vectors:
    """(1 + n // 160, 256): a vector every 10 ms of the sound, each knowing what came before it and nothing after."""
    torch, mel = load("torch", EXTRA), load("librosa", EXTRA).feature.melspectrogram
    padded = np.pad(samples, (0, max(0, N_FFT - len(samples))))
    power = mel(y=_raised(padded), sr=RATE_HZ, n_fft=N_FFT, hop_length=step, n_mels=MELS)  # not its logarithm, as the package
    with torch.no_grad():
        frames, _ = encoder()(torch.from_numpy(power.T.astype(np.float32))[None])
    return np.asarray(frames[0].numpy()[: 1 + len(samples) // step], dtype=np.float64)


def voice(samples: Samples, step: int = STEP) -> Vectors:
    """(1, 512): mean and standard deviation of the frames."""
    frames = voice_frames(samples, step)
    return np.asarray(np.concatenate([frames.mean(axis=0), frames.std(axis=0)])[None])


def _raised(samples: Samples) -> Samples:
    """Quiet sounds raised to the level that the encoder was trained at; louder ones, and silence, stay."""
    level_db = 10 * np.log10(max(float(np.mean(np.square(samples))), 1e-12))
    quiet = -120.0 < level_db < LEVEL_DB
    return samples * 10 ** ((LEVEL_DB - level_db) / 20) if quiet else samples
