"""Emo-DB (Burkhardt et al., Interspeech 2005): ten German speakers, ten sentences, seven acted emotions, 535 files.

Layout: ``wav/SSTTTEV.wav``: speaker, text, emotion, version, e.g. ``03a01Fa.wav``; published at 16 kHz, mono. There is no video.
A speaker is a participant, as in all speech readers.
"""

import re
from pathlib import Path

from raylab.errors import RecordingError
from raylab.features.sound import read_wav, sound_files
from raylab.features.text import GERMAN, german
from raylab.recordings.recording import Dataset, Options, Recording, Trait
from raylab.recordings.safe_path import safe_path
from raylab.recordings.utterances import (
    OPTIONS,
    SoundAndPicture,
    Utterance,
    UtteranceReader,
    by_speaker,
    check_options,
    labels_of,
)

# The published table of speakers: gender and age (years).
SPEAKERS = {
    "03": ("male", 31.0),
    "08": ("female", 34.0),
    "09": ("female", 21.0),
    "10": ("male", 32.0),
    "11": ("male", 26.0),
    "12": ("male", 30.0),
    "13": ("female", 32.0),
    "14": ("female", 35.0),
    "15": ("male", 25.0),
    "16": ("female", 31.0),
}
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
# Initials of the German words to the codes of raylab.recordings.utterances.EMOTIONS.
CODES = {"N": 1, "F": 3, "T": 4, "W": 5, "A": 6, "E": 7, "L": 9}
NAME = re.compile(rf"({'|'.join(SPEAKERS)})({'|'.join(TEXTS)})([{''.join(CODES)}])([a-z])")


def _parse_name(path: Path) -> tuple[str, Utterance]:
    """The speaker, and the utterance that the name of the file describes.

    Raises:
        RecordingError: if the file is not named as published.
    """
    match = NAME.fullmatch(path.stem)
    if not match:
        raise RecordingError(
            f"is not named as published: SSTTTEV.wav with speaker {', '.join(SPEAKERS)}; text {', '.join(TEXTS)}; emotion "
            f"{', '.join(CODES)}; version a, b, ...",
            file=path,
            remedy="restore the published name, or move the file out of the folder",
        )
    speaker, text, emotion, _ = match.groups()
    return f"speaker_{speaker}", Utterance(path, path.stem, CODES[emotion], TEXTS[text])


def _utterances_by_speaker(root: Path) -> dict[str, list[Utterance]]:
    """The utterances of each speaker.

    Raises:
        RecordingError: if there is no sound file, or one is not named as published.
    """
    files = sound_files(safe_path(root, "wav"))
    if not files:
        raise RecordingError("holds no .wav file", file=root / "wav", remedy="check --root: it holds the folder wav")
    return by_speaker([_parse_name(path) for path in files])


def participants(root: Path, options: Options) -> list[str]:
    """The speakers, in the order of their published numbers."""
    check_options(options)
    return list(_utterances_by_speaker(root))


def _read_sound(path: Path) -> SoundAndPicture:
    """The sound of a file."""
    return SoundAndPicture(read_wav(path))


READER = UtteranceReader(_read_sound, german, GERMAN, tuple(TEXTS.values()), published_hz=16_000)


def read(root: Path, participant: str, options: Options) -> Recording:
    """One speaker, one segment per utterance.

    Raises:
        RecordingError: on a file that is not named as published, cannot be read, is truncated or silent.
    """
    gender, age = SPEAKERS[participant.removeprefix("speaker_")]
    traits: dict[str, Trait] = {"gender": gender, "age": age}
    return READER.recording(participant, _utterances_by_speaker(root)[participant], traits, options)


EMODB = Dataset(
    name="emodb",
    signals="speech: sound, and the sentence spoken",
    traits=("age", "gender"),
    labels=labels_of(tuple(CODES.values())),
    default_labels=("emotion", "common"),
    published=tuple(f"speaker_{number}" for number in SPEAKERS),
    licence="research use, credit Burkhardt et al. 2005",
    obtain="http://emodb.bilderbar.info",
    citation="Burkhardt et al., A Database of German Emotional Speech, Interspeech 2005",
    participants=participants,
    read=read,
    options=OPTIONS,
    kind="utterances",
    caution="Emo-DB's emotions are acted, and each of its ten sentences is spoken in all of them: the words carry no emotion.",
)
