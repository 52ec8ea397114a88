"""From sound to the frames of a frozen speech encoder: Whisper tiny at 8 bits, as Smart Turn 3.2 in the pipecat-ai package has it.

Smart Turn (BSD-2) is Whisper's encoder (Radford et al. 2022, MIT), trained further to tell whether a speaker has ended. Only the input of the third
of its four blocks is used. How layers compare, and why this one: docs/decisions/0021-embeddings.md. The file is checked by its hash and cut in
memory; a process loads it once.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.features.onnx_graph import upto
from raylab.features.optional_packages import file_of, load
from raylab.features.sound import RATE_HZ, Samples

EXTRA = "speech-embedding"
NETWORK = (
    "pipecat",
    "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
)
LAYER = "layer_norm_4"  # the fifth of the encoder's nine layer norms: two a block, and one at the end
LONGEST = 8 * RATE_HZ  # samples that the encoder takes at once
STEP = 320  # samples from one of its frames to the next: 20 ms
WIDTH = 384

N_FFT, HOP, MELS = 400, 160, 80  # 25 ms, 10 ms
FLOOR, RANGE = 1e-10, 8.0  # of the power; of its logarithm, below the loudest
KNEE_HZ, KNEE_MEL = 1000.0, 15.0  # of Slaney's mel scale: linear up to here,
MELS_PER_E = 27 / np.log(6.4)  # then so many mels for a factor of e

Vectors = npt.NDArray[np.float64]


@lru_cache(maxsize=1)
def encoder() -> Any:
    """onnxruntime's session of the network up to ``LAYER``, on one thread, loaded and checked once per process.

    Raises:
        RaylabError: if a package is absent, or the network's hash is not the pinned one.
    """
    runtime, path = load("onnxruntime", EXTRA), file_of(*NETWORK, EXTRA)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Without it sums of 8-bit products overflow at 16 bits on processors that lack VNNI, and the same sound has another embedding there, a worse one:
    # docs/decisions/0021-embeddings.md.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return runtime.InferenceSession(upto(path.read_bytes(), LAYER), options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def mel_filters() -> Vectors:
    """(80, 201): triangles of equal area, equally wide on Slaney's mel scale from 0 to 8 kHz."""
    mels = np.linspace(0, KNEE_MEL + MELS_PER_E * np.log(RATE_HZ / 2 / KNEE_HZ), MELS + 2)
    above = KNEE_HZ * np.exp((mels - KNEE_MEL) / MELS_PER_E)
    corners_hz = np.where(mels < KNEE_MEL, mels * KNEE_HZ / KNEE_MEL, above)
    slopes = (np.linspace(0, RATE_HZ / 2, N_FFT // 2 + 1) - corners_hz[:, None]) / np.diff(corners_hz, append=np.inf)[:, None]
    triangles = np.maximum(0, np.minimum(slopes[:-2], 1 - slopes[1:-1]))
    return np.asarray(triangles * (2 / (corners_hz[2:] - corners_hz[:-2]))[:, None])


def log_mel(samples: Samples) -> Vectors:
    """(80, n // 160): Whisper's input, the logarithm of the mel bands' power from 8 decades below the loudest, about -1 to 1."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, N_FFT // 2, mode="reflect"), N_FFT)[::HOP][:-1]
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1])) ** 2
    logarithm = np.log10(np.maximum(mel_filters() @ power.T, FLOOR))
    return np.asarray((np.maximum(logarithm, logarithm.max() - RANGE) + 4) / 4)


def embedding_frames(samples: Samples, step: int = STEP) -> Vectors:
    """(n, 384): a vector every 20 ms of the sound.

    The encoder takes 8 s at once. A shorter sound stands at the end of them, after silence, as in the network's training, and the frames of that
    silence are left out. A longer one is cut into pieces of 8 s from its end on, so only its first piece can be shorter.
    """
    pieces = [_eight_seconds(samples[max(0, end - LONGEST) : end]) for end in range(len(samples), 0, -LONGEST)]
    return np.concatenate(pieces[::-1])[-max(1, len(samples) // step) :]


def embedding(samples: Samples, step: int = STEP) -> Vectors:
    """(1, 768): mean and standard deviation of the frames."""
    frames = embedding_frames(samples, step)
    return np.asarray(np.concatenate([frames.mean(axis=0), frames.std(axis=0)])[None])


def _eight_seconds(samples: Samples) -> Vectors:
    """(400, 384): the encoder's frames of at most 8 s, which are scaled to mean 0 and variance 1 with the silence before them."""
    padded = np.pad(samples, (LONGEST - len(samples), 0))
    scaled = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
    (frames,) = encoder().run([LAYER], {"input_features": log_mel(scaled)[None].astype(np.float32)})
    return np.asarray(frames[0], dtype=np.float64)
