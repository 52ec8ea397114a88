"""RAVDESS (Livingstone and Russo, PLoS ONE 2018), speech: 24 actors, two sentences, eight acted emotions in two intensities.

Layout: ``Audio_Speech_Actors_01-24/Actor_NN/MM-CC-EE-II-SS-RR-AA.wav``: modality, vocal channel, emotion, intensity, statement,
repetition, actor; published at 48 kHz. With ``visual=true`` sound and picture are read from ``Video_Speech_Actor_NN/Actor_NN/01-*.mp4``
(or ``Actor_NN/`` itself). The folders of the actors may lie in the root or in any other folder in it, and their names may be in lower case;
folders of songs are left out.
"""

import re
from pathlib import Path

from raylab.errors import RecordingError
from raylab.features.film import FACE_HZ, FACE_WIDTH, read_film
from raylab.features.sound import read_wav, refuse_twice
from raylab.features.text import ENGLISH, english
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

AUDIO = "Audio_Speech_Actors_01-24"
TEXTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
CODES = tuple(range(1, 9))
NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
ACTORS = tuple(f"Actor_{number:02d}" for number in range(1, 25))
SOUND_ONLY, FULL, SPEECH = "03", "01", "01"
ACTOR_FOLDER = re.compile(r"actor_(\d\d)", re.IGNORECASE)
DEEPEST = 4  # folders between the root and a file


def _parse_name(path: Path) -> tuple[str, str, Utterance]:
    """The actor, the code of the modality, and the utterance that the name of the file describes.

    Raises:
        RecordingError: if the file is not named as published, is a song, or lies in another actor's folder.
    """
    match, folder = NAME.fullmatch(path.stem), ACTOR_FOLDER.fullmatch(path.parent.name)
    actor = f"Actor_{folder.group(1) if folder else match.group(7) if match else 'NN'}"
    if not match or match.group(2) != SPEECH or f"Actor_{match.group(7)}" != actor:
        raise RecordingError(
            f"is not named as published: modality 01-03, vocal channel 01 (speech), emotion 01-08, intensity, statement and repetition "
            f"01 or 02, and the folder's actor ({actor[-2:]}), as in 03-01-05-01-02-01-{actor[-2:]}",
            file=path,
            remedy="restore the published name, or move the file out of the folder",
        )
    modality, _, emotion, _, statement, _, _ = match.groups()
    return actor, modality, Utterance(path, path.stem, int(emotion), TEXTS[statement])


def _list_files(root: Path, visual: bool) -> list[Path]:
    """The sound files, or the films if ``visual``: all in the actors' folders, wherever these lie, and those in other folders that are named as
    published.

    Raises:
        RecordingError: if a folder is a link out of the root, or if there is none at all.
    """
    ending = ".mp4" if visual else ".wav"
    files: list[Path] = []
    root = root.resolve()
    folders = [(root, 0)] if root.is_dir() else []
    while folders:
        folder, depth = folders.pop()
        in_actor = ACTOR_FOLDER.fullmatch(folder.name) is not None
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            if path.is_dir():
                if depth + 1 < DEEPEST and "song" not in path.name.lower():
                    folders.append((safe_path(root, str(path.relative_to(root))), depth + 1))
            elif path.suffix.lower() == ending and (in_actor or NAME.fullmatch(path.stem)):
                files.append(path)
    if not files and not visual:
        safe_path(root, AUDIO)
    return sorted(files)


def _utterances_by_actor(root: Path, options: Options) -> dict[str, list[Utterance]]:
    """The utterances of each actor: of sound files only, or of films with sound if the option ``visual`` is set.

    Raises:
        RecordingError: if there is no such file, or one is not named as published.
    """
    visual = bool(options["visual"])
    parsed = [_parse_name(path) for path in _list_files(root, visual)]
    parsed = [
        (actor, modality, utterance) for actor, modality, utterance in parsed if modality == (FULL if visual else SOUND_ONLY)
    ]
    refuse_twice(utterance.path for _, _, utterance in parsed)
    utterances = [(actor, utterance) for actor, _, utterance in parsed]
    if not utterances:
        pattern = "Video_Speech_Actor_NN/Actor_NN/01-*.mp4" if visual else f"{AUDIO}/Actor_NN/03-*.wav"
        raise RecordingError(f"holds no {pattern}", file=root, remedy="check --root, or set --option visual to what is there")
    return by_speaker(utterances)


def participants(root: Path, options: Options) -> list[str]:
    """The actors, by number."""
    check_options(options)
    return list(_utterances_by_actor(root, options))


def _read_file(path: Path) -> SoundAndPicture:
    """The sound of a file; of a film also the features of the face and a note on them."""
    if path.suffix.lower() == ".wav":
        return SoundAndPicture(read_wav(path))
    film = read_film(path)
    return SoundAndPicture(film.sound, film.faces, film.note)


READER = UtteranceReader(
    _read_file, english, ENGLISH, tuple(TEXTS.values()), published_hz=48_000, visual_hz=FACE_HZ, visual_width=FACE_WIDTH
)


def read(root: Path, participant: str, options: Options) -> Recording:
    """One actor, one segment per utterance. Actors with odd numbers are men.

    Raises:
        RecordingError: on a file that is not named as published, cannot be read, is truncated or silent.
    """
    traits: dict[str, Trait] = {"gender": "male" if int(participant[-2:]) % 2 else "female"}
    return READER.recording(participant, _utterances_by_actor(root, options)[participant], traits, options)


RAVDESS = Dataset(
    name="ravdess",
    signals="speech: sound, the sentence spoken, and with visual=true the face",
    traits=("gender",),
    labels=labels_of(CODES),
    default_labels=("emotion", "common"),
    published=ACTORS,
    licence="CC BY-NC-SA 4.0, Livingstone and Russo 2018",
    obtain="https://zenodo.org/records/1188976",
    citation="Livingstone and Russo, The Ryerson Audio-Visual Database of Emotional Speech and Song, PLoS ONE 2018",
    participants=participants,
    read=read,
    options={**OPTIONS, "visual": False},
    kind="utterances",
    sentences={ENGLISH: tuple(TEXTS.values())},
    caution="RAVDESS's emotions are acted, and both of its sentences are spoken in all of them: the words carry no emotion.",
)
