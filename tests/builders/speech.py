"""Small speech files in the published layouts: a hummed vowel between silences, and a film with it."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import wavfile

SOUND_ONLY: dict[str, Any] = {"linguistic": False}  # options that need no packaged model


def hum(seconds: float = 0.6, hz: float = 150.0, rate: int = 16_000, silence_s: float = 0.2, level: float = 0.3) -> Any:
    """(n,) float: ten harmonics of a voice at ``hz`` after and before silence."""
    t = np.arange(round(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 11))
    quiet = np.zeros(round(silence_s * rate))
    return level * np.concatenate([quiet, np.asarray(voice) / 2, quiet])


def write_wav(path: Path, samples: npt.NDArray[np.float64], rate: int = 16_000) -> Path:
    """16 bit, as both corpora are published."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
    return path


def write_emodb(root: Path, speakers: tuple[str, ...] = ("03", "08"), rate: int = 16_000) -> Path:
    """Two texts in neutral, anger and boredom by each speaker; anger is higher and longer."""
    for number, speaker in enumerate(speakers):
        for other, text in enumerate(("a01", "b10")):
            for letter, hz, seconds in (("N", 120, 0.5), ("W", 220, 0.7), ("L", 100, 0.6)):
                sound = hum(seconds, hz + 40 * number + other, rate)
                write_wav(root / "wav" / f"{speaker}{text}{letter}a.wav", sound, rate)
    return root


def write_ravdess(root: Path, actors: tuple[int, ...] = (1, 2), rate: int = 48_000) -> Path:
    """Both statements in neutral, calm and angry by each actor; one file of the second actor is stereo."""
    folder = root / "Audio_Speech_Actors_01-24"
    for actor in actors:
        for statement in (1, 2):
            for emotion in (1, 2, 5):
                sound = hum(0.4 + 0.1 * emotion, 140 + 2 * actor + statement, rate)
                stereo = actor == 2 and (statement, emotion) == (1, 5)
                name = f"03-01-{emotion:02d}-01-{statement:02d}-01-{actor:02d}.wav"
                samples = np.stack([sound, sound / 2], axis=1) if stereo else sound
                write_wav(folder / f"Actor_{actor:02d}" / name, samples, rate)
    return root


def write_film(path: Path, pictures: list[npt.NDArray[np.uint8]], sound: npt.NDArray[np.float64], late_s: float = 0.0) -> Path:
    """A film of 25 pictures (height, width, 3) a second, and lossless sound at 16 kHz that starts ``late_s`` after it (before, if negative)."""
    import av  # noqa: PLC0415 (an optional package)

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as film:
        video: Any = film.add_stream("mpeg4", rate=25)
        video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        audio: Any = film.add_stream("alac", rate=16_000)
        audio.layout, audio.format = "mono", "s16p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number + round(25 * max(0.0, -late_s)), Fraction(1, 25)
            film.mux(video.encode(frame))
        film.mux(video.encode())
        samples = np.round(sound * 32767).astype(np.int16)
        for start in range(0, len(samples), 4096):
            part = av.AudioFrame.from_ndarray(samples[None, start : start + 4096], format="s16p", layout="mono")
            part.sample_rate, part.pts, part.time_base = 16_000, start + round(16_000 * max(0.0, late_s)), Fraction(1, 16_000)
            film.mux(audio.encode(part))
        film.mux(audio.encode())
    return path


def face(mouth: float = 0.0, side: int = 240) -> npt.NDArray[np.uint8]:
    """A drawn face (side, side, 3): an oval with shaded eyes, nose and mouth, smooth as a cascade wants it; ``mouth`` bends it."""
    y, x = np.mgrid[0:side, 0:side] / side * 2 - 1

    def blob(cx: float, cy: float, sx: float, sy: float) -> Any:
        return np.exp(-((((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2) ** 2))

    grey = 40 + 170 * blob(0, 0, 0.62, 0.82)
    for eye in (-0.25, 0.25):
        grey -= 95 * blob(eye, -0.2, 0.13, 0.07) + 45 * blob(eye, -0.36, 0.17, 0.05)
    grey += 25 * blob(0, 0.05, 0.06, 0.22)
    grey -= 35 * blob(0, 0.24, 0.12, 0.04) + 75 * blob(0, 0.47 - mouth * (x / 0.3) ** 2, 0.28, 0.06)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def film_of(path: Path, late_s: float = 0.0, pictures: list[npt.NDArray[np.uint8]] | None = None, hz: float = 150.0) -> Path:
    """One second of a mouth that opens, with a voice at ``hz`` all through."""
    drawn = [face(0.1 * np.sin(i)) for i in range(25)] if pictures is None else pictures
    return write_film(path, drawn, hum(1.0, hz, silence_s=0.0), late_s)
