"""`raylab prepare` on users' folders and published layouts that break a rule of all recordings: named, and nothing is prepared."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.speech import SOUND_ONLY, write_emodb, write_ravdess
from builders.wesad_subject import wesad_content, write_wesad

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.card import WindowsCard
from raylab.windows.dataset import read_card, read_index

DESCRIPTION = """name: my_data
channels:
  eda: {modality: eda, rate_hz: 4, unit: uS}
  pulse: {modality: bvp, rate_hz: 8}
labels:
  stress: {decide: majority, classes: [calm, stress], codes: {0: 0, 1: 1}}
"""
RATED = DESCRIPTION.split("labels:", maxsplit=1)[0] + "labels:\n  joy: {decide: above_own_mean, own_mean: HOW}\n"
PEOPLE = ("anna", "ben", "cara")


def session(folder: Path, seed: int, seconds: int = 120, label: str = "stress", values: tuple[float, ...] = (0, 1)) -> None:
    """Noise, and the label's values one after the other, for as long each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for channel, rate in (("eda", 4), ("pulse", 8)):
        pd.DataFrame({"value": rng.normal(0, 1, rate * seconds)}).to_csv(folder / f"{channel}.csv", index=False)
    times = np.arange(len(values)) * seconds / len(values)
    pd.DataFrame({"time_s": times, label: values}).to_csv(folder / "labels.csv", index=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three participants of two channels, 120 s each, that can be prepared."""
    for seed, person in enumerate(PEOPLE):
        session(tmp_path / "data" / person, seed)
    (tmp_path / "data" / "dataset.yaml").write_text(DESCRIPTION)
    return tmp_path / "data"


def prepared(root: Path, dataset: str = "csv_folder", **request: Any) -> WindowsCard:
    out = root.parent / "windows"
    return prepare(PrepareRequest(dataset, str(root), str(out), **request), say=lambda line: None, where="local")


def refusal(root: Path, dataset: str = "csv_folder", **request: Any) -> str:
    with pytest.raises(RaylabError) as caught:
        prepared(root, dataset, **request)
    assert not (root.parent / "windows" / "card.json").exists()
    return str(caught.value)


def test_good_folders_are_prepared(data: Path) -> None:
    """The folder that the other tests spoil."""
    card = prepared(data)
    assert [entry.name for entry in card.participants] == list(PEOPLE)
    assert [entry.notes for entry in card.participants] == [()] * 3


def test_problems_of_several_participants_are_told_at_once(data: Path) -> None:
    """A pulse at half its rate, labels beyond the end and a value beyond single precision, each of another participant, in one message."""
    pulse = pd.read_csv(data / "anna" / "pulse.csv")
    pulse.iloc[::2].to_csv(data / "anna" / "pulse.csv", index=False)
    (data / "ben" / "labels.csv").write_text("time_s,stress\n0,0\n60,1\n300,0\n")
    eda = pd.read_csv(data / "cara" / "eda.csv")
    eda.loc[7, "value"] = 9e38
    eda.to_csv(data / "cara" / "eda.csv", index=False)
    text = refusal(data)
    assert f"participant anna, channel pulse, file {data}/anna/pulse.csv: session anna lasts 60.00 s at 8 Hz" in text
    assert f"participant ben, file {data}/ben: session ben, label stress has 1 of 3 values after the end" in text
    assert "participant cara" in text and "9e+38" in text


def test_four_times_the_samples_are_refused(data: Path) -> None:
    """A channel recorded at four times its rate would be read at a quarter of its speed."""
    rng = np.random.default_rng(9)
    pd.DataFrame({"value": rng.normal(0, 1, 8 * 480)}).to_csv(data / "ben" / "pulse.csv", index=False)
    text = refusal(data)
    assert "participant ben, channel eda" in text and "channel pulse lasts 480.00 s at 8 Hz" in text


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "codes: {0: 0, 1: 1}",
            "codes: {1: 1, 2: 2}",
            "label stress: code 2 -> class 2, there are classes 0..1 (calm, stress)",
        ),
        ("codes: {0: 0, 1: 1}", "codes: {0: 0, 1: 5}", "code 1 -> class 5"),
        ("codes: {0: 0, 1: 1}", "codes: {0: 0, 1: -1}", "code 1 -> class -1"),
        ("[calm, stress]", "[rest, rest]", "the class 'rest' stands twice"),
        ("  pulse:", "  window:", "channel window is named like raylab's own column"),
        ("  pulse:", "  y_stress:", "channel y_stress is named like the column of the label stress"),
        ("  pulse:", "  s_eda:", "channel s_eda is named like the column of statistics of the channel eda"),
        ("rate_hz: 8", "rate_hz: .inf", "'.inf' is no finite number"),
        ("decide: majority", "decide: above_own_mean, own_mean: song", "own_mean"),
    ],
)
def test_descriptions_are_refused_before_anything_is_read(data: Path, before: str, after: str, expected: str) -> None:
    """Names and classes that cannot be stored are a problem of dataset.yaml, told by label or channel."""
    (data / "dataset.yaml").write_text(DESCRIPTION.replace(before, after))
    text = refusal(data)
    assert expected in text and "dataset.yaml" in text and "What to do" in text
    assert not (data.parent / "windows").exists()


def test_two_participants_with_one_recording_are_refused(data: Path) -> None:
    """A folder that was copied under another name is told by both names."""
    shutil.copytree(data / "anna", data / "dora")
    text = refusal(data)
    assert "participants anna and dora: 1 session(s) of the one are the other's" in text
    assert f"(file {data}/anna) and session dora (file {data}/dora)" in text
    assert [entry.name for entry in prepared(data, exclude=("dora",)).participants] == list(PEOPLE)


def test_a_session_folder_that_stands_twice_is_refused(data: Path) -> None:
    """Two sessions of one participant with the same files."""
    shutil.rmtree(data / "ben")
    session(data / "ben" / "morning", 7)
    shutil.copytree(data / "ben" / "morning", data / "ben" / "noon")
    text = refusal(data)
    assert "participant ben: 1 session(s) stand twice" in text and "ben/noon" in text


def test_a_channel_that_was_copied_is_noted_in_the_card(data: Path) -> None:
    """The card and the command name channel, session and participant."""
    shutil.copy(data / "anna" / "eda.csv", data / "cara" / "eda.csv")
    notes = {entry.name: entry.notes for entry in prepared(data).participants}
    assert notes["anna"] == () == notes["ben"]
    assert notes["cara"] == (
        "the samples of channel(s) eda in session cara are those of session anna of participant anna: check the files",
    )


def _copy_within_emodb(root: Path) -> None:
    write_emodb(root)
    shutil.copy(root / "wav" / "03a01Na.wav", root / "wav" / "03a01Nb.wav")


def _copy_between_speakers(root: Path) -> None:
    write_emodb(root)
    shutil.copy(root / "wav" / "03a01Na.wav", root / "wav" / "08a01Wa.wav")


def _copy_between_actors(root: Path) -> None:
    folder = write_ravdess(root) / "Audio_Speech_Actors_01-24"
    shutil.copy(folder / "Actor_01" / "03-01-01-01-01-01-01.wav", folder / "Actor_02" / "03-01-05-01-02-01-02.wav")


@pytest.mark.parametrize(
    ("dataset", "spoil", "expected"),
    [
        ("emodb", _copy_within_emodb, ("participant speaker_03", "stand twice", "03a01Na.wav", "03a01Nb.wav")),
        ("emodb", _copy_between_speakers, ("participants speaker_03 and speaker_08", "03a01Na.wav", "08a01Wa.wav")),
        ("ravdess", _copy_between_actors, ("participants Actor_01 and Actor_02", "03-01-05-01-02-01-02.wav")),
    ],
)
def test_sounds_that_stand_twice_are_refused(
    tmp_path: Path, dataset: str, spoil: Callable[[Path], None], expected: tuple[str, ...]
) -> None:
    """One sound under two names is one utterance that is both trained on and tested; it is found by its content."""
    spoil(tmp_path / "data")
    text = refusal(tmp_path / "data", dataset, options=SOUND_ONLY)
    assert all(part in text for part in expected), text


def test_wesad_subject_belongs_to_its_folder(tmp_path: Path) -> None:
    """A pickle that says that it is of another subject than its folder is refused with both names."""
    write_wesad(tmp_path / "data", wesad_content("S3"), "S2")
    text = refusal(tmp_path / "data", "wesad")
    assert "participant S2" in text and "says that its subject is 'S3', it lies in the folder of S2" in text


@pytest.mark.parametrize("change", [{}, {"subject": None}])
def test_wesad_subject_that_fits_or_is_absent_is_read(tmp_path: Path, change: dict[str, Any]) -> None:
    """Copies that do not say whose they are, are taken at their folder's word."""
    content = {**wesad_content("S2", devices=("wrist",)), **change}
    if content["subject"] is None:
        del content["subject"]
    write_wesad(tmp_path / "data", content, "S2")
    assert [entry.name for entry in prepared(tmp_path / "data", "wesad").participants] == ["S2"]


# --- own mean ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "high"), [("time", {"short", "shorter"}), ("clip", {"shorter"})])
def test_own_mean_of_a_users_ratings(tmp_path: Path, how: str, high: set[str]) -> None:
    """A long clip rated 2 and two short ones rated 4 and 9: the mean is 3.1 by time and 5 by clip; dataset.yaml chooses, the card says so."""
    root = tmp_path / "data"
    for number, (clip, seconds, rating) in enumerate((("long", 150, 2.0), ("short", 25, 4.0), ("shorter", 25, 9.0))):
        session(root / "anna" / clip, number, seconds, "joy", (rating,))
    (root / "dataset.yaml").write_text(RATED.replace("HOW", how))
    card = prepared(root)
    assert read_card(Folder(tmp_path / "windows")) == card
    assert card.label("joy").own_mean == how and not [
        note for note in card.participants[0].notes if "sessions in the order" not in note
    ]
    assert card.as_json()["labels"][0]["own_mean"] == how
    classes = read_index(Folder(tmp_path / "windows")).labels["joy"]
    counts = {"long": 28, "short": 3, "shorter": 3}
    assert sum(classes) == sum(counts[name] for name in high)


def test_own_mean_by_clip_of_one_session_is_noted(data: Path) -> None:
    """It is the mean over time then, and the card says so."""
    (data / "dataset.yaml").write_text(
        DESCRIPTION.replace("majority, classes: [calm, stress], codes: {0: 0, 1: 1}", "above_own_mean, own_mean: clip")
    )
    notes = {entry.name: entry.notes for entry in prepared(data).participants}
    assert notes["ben"] == ("own mean by clip of stress: there is one session, so it is the mean over time",)


def test_an_unknown_own_mean_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """The option's values are named."""
    with pytest.raises(RaylabError, match=r"--option own_mean='rating' is unknown; use own_mean=time .* or own_mean=clip"):
        PrepareRequest("amigos", str(tmp_path), "", options={"own_mean": "rating"}).label_rules  # noqa: B018


@pytest.mark.parametrize(
    ("dataset", "default"), [("amigos", "time"), ("ascertain", "clip"), ("case", "time"), ("kemocon", "time")]
)
def test_own_mean_of_published_ratings(dataset: str, default: str) -> None:
    """The public code's way unless asked otherwise."""
    assert {rule.own_mean for rule in PrepareRequest(dataset, ".", "").label_rules} == {default}
    for how in ("time", "clip"):
        assert {rule.own_mean for rule in PrepareRequest(dataset, ".", "", options={"own_mean": how}).label_rules} == {how}
