"""Emo-DB and RAVDESS: names, labels, traits, texts, and what is prepared from small files in the published layouts."""

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from builders.speech import SOUND_ONLY, hum, write_emodb, write_ravdess, write_wav

from raylab.errors import RaylabError, RecordingError
from raylab.files import Folder
from raylab.recordings import DATASETS, Recording
from raylab.recordings.emodb import EMODB, _utterances_by_speaker
from raylab.recordings.ravdess import RAVDESS
from raylab.recordings.utterances import Utterance, in_order
from raylab.runs.cluster import Executor
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import read_windows
from raylab.windows.utterances import Utterances


def quiet(line: str) -> None:
    """Takes what prepare says."""


def read(root: Path, dataset: str, participant: str, **options: Any) -> Recording:
    one = DATASETS[dataset]
    return one.read(root, participant, {**one.options, **SOUND_ONLY, **options})


def class_names(dataset: str, recording: Recording, label: str) -> dict[str, str]:
    """Utterance to class name, without those that the label does not know."""
    asked = DATASETS[dataset].label(label)
    codes = {part.session: int(part.tracks["emotion"].values[0]) for part in recording.segments}
    return {name: asked.classes[asked.codes[code]] for name, code in codes.items() if code in asked.codes}


def test_emodb_speakers_and_their_traits(tmp_path: Path) -> None:
    """Speakers are those of the files, with the published age and gender."""
    root = write_emodb(tmp_path)
    assert EMODB.participants(root, EMODB.options) == ["speaker_03", "speaker_08"]
    assert read(root, "emodb", "speaker_03").traits == {"gender": "male", "age": 31.0}
    assert read(root, "emodb", "speaker_08").traits == {"gender": "female", "age": 34.0}


def test_emodb_emotions_come_from_the_names(tmp_path: Path) -> None:
    """N, W and L are neutral, angry and bored; boredom has no partner in RAVDESS, so the common label leaves it out."""
    found = read(write_emodb(tmp_path), "emodb", "speaker_03")
    expected = {
        f"03{text}{letter}a": emotion
        for text in ("a01", "b10")
        for letter, emotion in (("N", "neutral"), ("W", "angry"), ("L", "boredom"))
    }
    assert class_names("emodb", found, "emotion") == expected
    common = {name: emotion for name, emotion in expected.items() if emotion != "boredom"}
    assert class_names("emodb", found, "common") == common


def test_ravdess_actors_emotions_and_gender(tmp_path: Path) -> None:
    """Odd actors are men; the third number of a name is the emotion; calm is not among the common ones."""
    root = write_ravdess(tmp_path)
    assert RAVDESS.participants(root, RAVDESS.options) == ["Actor_01", "Actor_02"]
    first, second = read(root, "ravdess", "Actor_01"), read(root, "ravdess", "Actor_02")
    assert (first.traits, second.traits) == ({"gender": "male"}, {"gender": "female"})
    emotions = {1: "neutral", 2: "calm", 5: "angry"}
    expected = {f"03-01-{code:02d}-01-{text:02d}-01-01": name for text in (1, 2) for code, name in emotions.items()}
    assert class_names("ravdess", first, "emotion") == expected
    assert set(class_names("ravdess", first, "common").values()) == {"neutral", "angry"}


def test_the_common_label_is_the_same_in_both() -> None:
    """One class order, so that a model of one corpus can be tested on the other."""
    expected = ("neutral", "happy", "sad", "angry", "fearful", "disgust")
    assert EMODB.label("common").classes == RAVDESS.label("common").classes == expected
    assert [EMODB.label("common").codes, RAVDESS.label("common").codes] == [{1: 0, 3: 1, 4: 2, 5: 3, 6: 4, 7: 5}] * 2


def test_texts_follow_the_codes(tmp_path: Path) -> None:
    """Each utterance is given the sentence that its name says, whoever says it and how."""
    said: list[str] = []
    root = write_emodb(tmp_path, ("03",))
    for name, utterances in (("a01", 3), ("b10", 3)):
        texts = [one.text for one in _listed(root) if name in one.name]
        assert len(texts) == utterances
        said += set(texts)
    assert said == ["Der Lappen liegt auf dem Eisschrank.", "Die wird auf dem Platz sein, wo wir sie immer hinlegen."]


def _listed(root: Path) -> list[Utterance]:
    return _utterances_by_speaker(root)["speaker_03"]


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("emodb", "wav/03a01Xa.wav"),
        ("emodb", "wav/99a01Fa.wav"),
        ("emodb", "wav/03a03Fa.wav"),
        ("emodb", "wav/03a01F.wav"),
        ("ravdess", "Audio_Speech_Actors_01-24/Actor_01/03-01-09-01-01-01-01.wav"),
        ("ravdess", "Audio_Speech_Actors_01-24/Actor_01/03-02-01-01-01-01-01.wav"),
        ("ravdess", "Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-01-01-02.wav"),
        ("ravdess", "Audio_Speech_Actors_01-24/Actor_01/take one.wav"),
    ],
)
def test_a_file_with_another_name_is_refused(tmp_path: Path, dataset: str, name: str) -> None:
    """An unknown speaker, text or emotion, a song, or another actor's file is refused with the file and the published scheme."""
    root = (write_emodb if dataset == "emodb" else write_ravdess)(tmp_path)
    shutil.copy(next(root.rglob("*.wav")), root / name)
    with pytest.raises(RecordingError, match=rf"file .*{Path(name).name}: is not named as published: .*What to do"):
        DATASETS[dataset].participants(root, DATASETS[dataset].options)


@pytest.mark.parametrize("dataset", ["emodb", "ravdess"])
def test_an_empty_root_is_refused(tmp_path: Path, dataset: str) -> None:
    """Without the published folder, or with nothing in it, the message says where to look."""
    folder = tmp_path / ("wav" if dataset == "emodb" else "Audio_Speech_Actors_01-24")
    with pytest.raises(RecordingError, match=rf"{folder}: is missing"):
        DATASETS[dataset].participants(tmp_path, DATASETS[dataset].options)
    folder.mkdir()
    with pytest.raises(RecordingError, match=r"holds no .*wav.*--root"):
        DATASETS[dataset].participants(tmp_path, DATASETS[dataset].options)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (
            {"acoustic": "wavelet"},
            "acoustic='wavelet': there are mfcc, mel, waveform, functionals, embedding, embedding_frames, voice, voice_frames, pretrained, "
            "pretrained_frames, several joined by [+], or none",
        ),
        ({"longest_s": 0, "trim_db": "much"}, "longest_s=0: give a number from 0.5 to 60; trim_db='much': give a number"),
        ({"linguistic": "yes"}, "linguistic='yes': give true or false"),
        ({"acoustic": "none", "linguistic": False}, "no channel is left"),
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, options: dict[str, Any], what: str) -> None:
    """Values that mean nothing are named, all at once, before anything is read."""
    with pytest.raises(RaylabError, match=what):
        prepare(PrepareRequest("emodb", str(write_emodb(tmp_path / "in")), str(tmp_path / "out"), options=options), say=quiet)


def test_utterances_stand_in_an_order_that_is_no_texts() -> None:
    """The order is a draw by name: the same on every machine, and not the alphabet's, which is the sentences'."""
    sorted_ones = [Utterance(Path(), f"03a0{i}Na", 1, "") for i in range(8)]
    found = in_order(sorted_ones)
    assert found != sorted_ones and sorted(found, key=lambda one: one.name) == sorted_ones
    assert found == in_order(sorted_ones[::-1])


def test_prepared_utterances_are_padded_windows(tmp_path: Path) -> None:
    """Each file is a window; longer voices have more steps; what is beyond is 0; card and caution say what was done."""
    order = PrepareRequest(
        "emodb", str(write_emodb(tmp_path / "in")), str(tmp_path / "out"), options={**SOUND_ONLY, "longest_s": 1.0}
    )
    card = prepare(order, say=quiet, where="local")
    windows = read_windows(Folder(tmp_path / "out"))
    lengths, y = windows.lengths["acoustic"], windows.index.labels["emotion"]
    assert windows.signals["acoustic"].shape == (12, 101, 41)
    angry, neutral = (card.labels[0].classes.index(name) for name in ("angry", "neutral"))
    assert lengths[y == angry].min() > lengths[y == neutral].max()
    for signal, length in zip(windows.signals["acoustic"], lengths, strict=True):
        assert signal[:length].any(axis=1).all() and not signal[length:].any()
    channel = card.channels[0]
    assert ("acoustic", True, 100.0) == (channel.name, channel.variable, channel.rate_hz)
    assert (card.kind, card.preprocessing) == ("utterances", Utterances(window_s=1.0, normalization="none", step_s=1.0))
    assert card.options["longest_s"] == 1.0
    assert "the words carry no emotion" in card.caution and "unlabelled" not in card.caution


def test_per_speaker_is_named_in_the_caution(tmp_path: Path) -> None:
    """Every table will say that the target's unlabelled utterances were used, and each speaker's steps have mean 0."""
    root, out = write_emodb(tmp_path / "in"), tmp_path / "out"
    card = prepare(
        PrepareRequest("emodb", str(root), str(out), normalization="per_speaker", options=SOUND_ONLY), say=quiet, where="local"
    )
    assert "of the target too, without its labels" in card.caution
    windows = read_windows(Folder(out))
    for person in range(2):
        mine = windows.index.participant_index == person
        steps = [x[:n] for x, n in zip(windows.signals["acoustic"][mine], windows.lengths["acoustic"][mine], strict=True)]
        assert np.abs(np.concatenate(steps).mean(axis=0)).max() < 1e-3


def test_functionals_are_a_channel_of_one_step_and_a_modality_of_their_own(tmp_path: Path) -> None:
    """Beside the frames, which they are the statistics of: mean, SD, quantiles, mean absolute step of each; normalized per speaker on their own."""
    options = {**SOUND_ONLY, "acoustic": "mfcc+functionals", "trim_db": 0}
    root = write_emodb(tmp_path / "in", ("03",))
    ways: tuple[Literal["none", "per_speaker"], ...] = ("none", "per_speaker")
    cards = [
        prepare(
            PrepareRequest("emodb", str(root), str(tmp_path / how), options=options, normalization=how),
            say=quiet,
            where="local",
        )
        for how in ways
    ]
    assert [("acoustic", "acoustic"), ("functionals", "functionals")] == [(c.name, c.modality) for c in cards[0].channels]
    windows, scaled = (read_windows(Folder(tmp_path / how)) for how in ("none", "per_speaker"))
    found = windows.signals["functionals"]
    assert (len(windows.index.window), 1, 8 * 105) == found.shape
    frames = windows.signals["acoustic"][0, : windows.lengths["acoustic"][0]]
    parts = found[0, 0].reshape(8, 105)[:, :41]
    expected = [frames.mean(axis=0), frames.std(axis=0), *np.quantile(frames, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)]
    np.testing.assert_allclose([*expected, np.abs(np.diff(frames, axis=0)).mean(axis=0)], parts, atol=2e-5)
    mine = scaled.signals["functionals"][:, 0]
    np.testing.assert_allclose(mine.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(mine.std(axis=0)[found[:, 0].std(axis=0) > 1e-6], 1, atol=1e-4)


@pytest.mark.parametrize(("acoustic", "channel", "steps"), [("mel", "mel", 101), ("waveform", "waveform", 16_000)])
def test_other_views_of_the_sound_are_channels_of_their_own(tmp_path: Path, acoustic: str, channel: str, steps: int) -> None:
    """Log-mel or the waveform stand in the place of MFCC, under their own name and of the same modality."""
    options = {**SOUND_ONLY, "acoustic": acoustic, "longest_s": 1.0}
    order = PrepareRequest("emodb", str(write_emodb(tmp_path / "in", ("03",))), str(tmp_path / "out"), options=options)
    entry = prepare(order, say=quiet, where="local").channels[0]
    assert (entry.name, entry.modality, entry.length) == (channel, "acoustic", steps)


@pytest.mark.slow  # a minute of Ray's workers
def test_extraction_runs_by_ray_data(cluster: None, tmp_path: Path) -> None:
    """Prepared on a cluster, the windows are those that are prepared in this process."""
    root = write_ravdess(tmp_path / "in")
    cards = []
    places: tuple[Executor, ...] = ("ray", "local")
    for where in places:
        order = PrepareRequest(
            "ravdess", str(root), str(tmp_path / where), options={**SOUND_ONLY, "acoustic": "waveform"}
        )  # nothing to compile
        cards.append(prepare(order, say=quiet, where=where))
    assert cards[0] == cards[1]
    notes = list(cards[0].participants[1].notes)
    assert notes == ["1 files with several channels, averaged"], "48 kHz is what is published"


def test_other_rates_are_noted(tmp_path: Path) -> None:
    """Files at another rate than the published one are used, and the card says so."""
    found = read(write_emodb(tmp_path, ("03",), rate=22_050), "emodb", "speaker_03")
    assert found.notes == ("6 files at 22050 Hz, published are 16000 Hz",)


def test_utterances_that_are_cut_are_counted(tmp_path: Path) -> None:
    """What is longer than a window ends with it, and the card counts how many."""
    found = read(write_emodb(tmp_path, ("03",)), "emodb", "speaker_03", longest_s=0.8)
    assert found.notes == ("2 utterances are longer than a window holds, their ends are left out",)
    assert sorted(len(part.signals["acoustic"]) for part in found.segments)[-2:] == [81, 81]


def test_a_bad_file_is_named_and_nothing_is_prepared(tmp_path: Path) -> None:
    """A file that cannot be read stops the preparation with its name."""
    root = write_emodb(tmp_path / "in")
    (root / "wav" / "08a01Na.wav").write_bytes(b"not a sound")
    with pytest.raises(RaylabError, match=r"08a01Na\.wav: cannot be read as sound"):
        prepare(PrepareRequest("emodb", str(root), str(tmp_path / "out"), options=SOUND_ONLY), say=quiet, where="local")
    assert not (tmp_path / "out" / "card.json").exists()


def test_settings_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    """Utterances have no paper's preprocessing, and signals no speaker normalization."""
    with pytest.raises(RaylabError, match="simulated holds running signals"):
        prepare(PrepareRequest("simulated", ".", str(tmp_path / "out"), normalization="per_speaker"), say=quiet)


@pytest.mark.real
def test_real_emodb_is_whole(real_data: Path) -> None:
    """535 files of ten speakers; the published counts of each emotion."""
    speakers = _utterances_by_speaker(real_data / "emodb")
    assert tuple(speakers) == EMODB.published
    codes = [one.emotion for utterances in speakers.values() for one in utterances]
    assert {code: codes.count(code) for code in set(codes)} == {1: 79, 3: 71, 4: 62, 5: 127, 6: 69, 7: 46, 9: 81}


@pytest.mark.real
def test_real_ravdess_reads(real_data: Path, tmp_path: Path) -> None:
    """A few of an actor's files become windows of 1 to 4 s, with a voice of 75 to 500 Hz."""
    source = real_data / "ravdess" / "Audio_Speech_Actors_01-24" / "Actor_01"
    names = [f"03-01-{code:02d}-01-01-01-01.wav" for code in (1, 5)]
    target = tmp_path / "Audio_Speech_Actors_01-24" / "Actor_01"
    target.mkdir(parents=True)
    for name in names:
        shutil.copy(source / name, target / name)
    found = read(tmp_path, "ravdess", "Actor_01")
    assert sorted(part.session + ".wav" for part in found.segments) == names
    for part in found.segments:
        frames = part.signals["acoustic"]
        assert 100 < len(frames) <= 401
        assert -1 < np.median(frames[:, 39]) < np.log2(500 / 150)


LAYOUTS = {
    "bare": "Actor_01/{}.wav",
    "lower case": "audio_speech_actors_01-24/actor_01/{}.wav",
    "nested": "Audio_Speech_Actors_01-24/Audio_Speech_Actors_01-24/Actor_01/{}.wav",
    "upper case ending": "Audio_Speech_Actors_01-24/Actor_01/{}.WAV",
    "flat": "Audio_Speech_Actors_01-24/{}.wav",
    "flat in the root": "{}.wav",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ravdess_is_found_in_the_layouts_that_people_have(tmp_path: Path, layout: str) -> None:
    """Wherever the actor's folder lies and however it is written, the same utterances are read; songs beside it are not."""
    published, root = write_ravdess(tmp_path / "published", (1,)), tmp_path / "in"
    for path in published.rglob("*.wav"):
        target = root / LAYOUTS[layout].format(path.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    song = root / "Audio_Song_Actors_01-24" / "Actor_01" / "03-02-01-01-01-01-01.wav"
    song.parent.mkdir(parents=True)
    shutil.copy(path, song)
    assert RAVDESS.participants(root, RAVDESS.options) == ["Actor_01"]
    expected, found = read(published, "ravdess", "Actor_01"), read(root, "ravdess", "Actor_01")
    for one, other in zip(expected.segments, found.segments, strict=True):
        assert (one.session, one.start_s) == (other.session, other.start_s)
        np.testing.assert_array_equal(one.signals["acoustic"], other.signals["acoustic"])


def test_ravdess_twice_is_refused(tmp_path: Path) -> None:
    """As one of the archives in circulation has it: the actors' folders in the root, and again in another folder."""
    root = write_ravdess(tmp_path, (1,))
    shutil.copytree(root / "Audio_Speech_Actors_01-24" / "Actor_01", root / "Actor_01")
    with pytest.raises(
        RecordingError, match=r"6 files stand twice by name: .*Actor_01/03-01-01-01-01-01-01\.wav and .*keep one of each"
    ):
        RAVDESS.participants(root, RAVDESS.options)


def test_ravdess_folders_do_not_leave_the_root(tmp_path: Path) -> None:
    """A link to a folder elsewhere is refused, as in all readers."""
    elsewhere = write_ravdess(tmp_path / "elsewhere", (1,))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Actor_01").symlink_to(elsewhere / "Audio_Speech_Actors_01-24" / "Actor_01")
    with pytest.raises(RecordingError, match="is a link out of"):
        RAVDESS.participants(tmp_path / "in", RAVDESS.options)


def test_emodb_endings_may_be_upper_case(tmp_path: Path) -> None:
    """03a01Na.WAV is read, hidden files are not, and a file beside it that differs in the ending only is refused."""
    root = write_emodb(tmp_path, ("03",))
    path = root / "wav" / "03a01Na.wav"
    path.rename(path.with_suffix(".WAV"))
    (root / "wav" / "._03a01Na.wav").write_bytes(b"left by a Mac")
    assert len(read(root, "emodb", "speaker_03").segments) == 6
    shutil.copy(path.with_suffix(".WAV"), path)
    with pytest.raises(RecordingError, match=r"1 files stand twice by name: .*03a01Na\.WAV and .*03a01Na\.wav"):
        EMODB.participants(root, EMODB.options)


def test_notes_on_files_are_in_the_card(tmp_path: Path) -> None:
    """A streamed header and channels that cancel each other are told by file; the latter are not counted as averaged."""
    root = write_emodb(tmp_path, ("03",))
    path = root / "wav" / "03a01Na.wav"
    path.write_bytes(path.read_bytes()[:40] + b"\xff" * 4 + path.read_bytes()[44:])
    sound = hum(0.7, 220)
    write_wav(root / "wav" / "03a01Wa.wav", np.stack([sound, -sound], axis=1))
    streamed, cancelled = sorted(read(root, "emodb", "speaker_03").notes)
    assert streamed.startswith("03a01Na: its header gives no size")
    assert cancelled == "03a01Wa: its 2 channels cancel each other when averaged: channel 1 was taken"
