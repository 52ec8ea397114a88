"""Windows of variable length: what is padded, what is stored beside, and which statistics of a speaker are used."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from builders.windows import make_card

from raylab.errors import RecordingError
from raylab.files import Folder
from raylab.recordings import Channel, Label, LabelTrack, Recording, Segment
from raylab.validity.probes import probe
from raylab.windows.card import (
    WindowsCard,
    channel_cards,
    joint_fingerprint,
    label_card,
    participant_summary,
    stored_participant,
)
from raylab.windows.dataset import CARD, Windows, fingerprint_of, read_windows, stored_columns, to_table
from raylab.windows.segmentation import NO_LABEL, ParticipantWindows, statistics
from raylab.windows.utterances import Utterances, cut_utterances

SOUND = Channel("acoustic", "acoustic", 100.0, 100.0, "", "a.wav", longest=8)
WORDS = Channel("linguistic", "linguistic", 1.0, 1.0, "", longest=5)
EMOTION = Label("emotion", "emotion", "mode", ("neutral", "sad"), {1: 0, 4: 1})
COMMON = Label("common", "emotion", "mode", ("sad",), {4: 0})
NONE, PER_SPEAKER = Utterances(0.08), Utterances(0.08, "per_speaker")


def utterance(number: int, steps: int, words: int, code: int) -> Segment:
    rng = np.random.default_rng(number)
    signals = {"acoustic": rng.normal(3, 2, (steps, 2)), "linguistic": rng.normal(0, 1, (words, 3))}
    return Segment(f"u{number}", number * 1.0, signals, {"emotion": LabelTrack(np.zeros(1), np.array([float(code)]))})


def speaker(name: str = "A", lengths: tuple[int, ...] = (8, 3, 0, 5)) -> Recording:
    """Utterances of these numbers of steps: neutral, sad, neutral, and one of an emotion that no label has."""
    codes = (1, 4, 1, 7)
    parts = [utterance(i, steps, 2 + i % 3, code) for i, (steps, code) in enumerate(zip(lengths, codes, strict=True))]
    return Recording(name, (SOUND, WORDS), tuple(parts), {"gender": "female"})


def write(folder: Folder, people: list[Recording], settings: Utterances = NONE) -> WindowsCard:
    """The windows and the card as `prepare` stores them."""
    made = [(one, cut_utterances(one, [EMOTION], settings)) for one in people]
    labels, channels, entries = (label_card(EMOTION),), channel_cards(*made[0]), []
    columns = stored_columns(labels, channels)
    for number, (one, cut) in enumerate(made):
        table = to_table(cut, one.participant, number, ["emotion"])
        folder.write_table(f"participant={one.participant}/part-0.parquet", table.drop_columns(["participant"]))
        entries.append(stored_participant(participant_summary(one, cut, [EMOTION]), fingerprint_of(table, columns)))
    changes: dict[str, Any] = {
        "fingerprint": joint_fingerprint(entries),
        "preprocessing": settings,
        "labels": labels,
        "channels": channels,
        "participants": tuple(entries),
    }
    card = make_card([], {}, {}, **changes)
    folder.write_json(CARD, card.as_json())
    return card


def assert_same(expected: ParticipantWindows, found: Windows, rows: npt.NDArray[np.bool_]) -> None:
    for name, signal in expected.signals.items():
        np.testing.assert_array_equal(signal, found.signals[name][rows], strict=True)
        np.testing.assert_array_equal(expected.lengths[name], found.lengths[name][rows], strict=True)


def test_an_utterance_is_a_window_padded_with_zeros() -> None:
    """Each labelled utterance is one window: its own steps, then zeros; its length stands beside, 0 where a modality is missing."""
    made = cut_utterances(speaker(), [EMOTION], NONE)
    assert (made.sessions, made.segment.tolist()) == (["u0", "u1", "u2"], [0, 1, 2])
    assert {name: steps.tolist() for name, steps in made.lengths.items()} == {"acoustic": [8, 3, 0], "linguistic": [2, 3, 4]}
    assert made.signals["acoustic"].shape == (3, 8, 2)
    expected = np.zeros((8, 2), dtype=np.float32)
    expected[:3] = speaker().segments[1].signals["acoustic"]
    np.testing.assert_array_equal(expected, made.signals["acoustic"][1])
    assert not made.signals["acoustic"][2].any()


def test_an_utterance_carries_each_label_that_knows_its_code() -> None:
    """With two labels an utterance stays if either has a class for it, and the other says none."""
    made = cut_utterances(speaker(), [EMOTION, COMMON], NONE)
    assert {name: y.tolist() for name, y in made.labels.items()} == {"emotion": [0, 1, 0], "common": [NO_LABEL, 0, NO_LABEL]}
    with pytest.raises(RecordingError, match=r"participant A, file a.wav: none of 4 utterances has a label \(emotion\)"):
        cut_utterances(speaker(), [replace(EMOTION, codes={9: 0})], NONE)


def test_lengths_come_back_from_disk(tmp_path: Path) -> None:
    """Windows and lengths are read as they were cut, and the card says which channels are variable."""
    people = [speaker("A"), speaker("B", (2, 8, 7, 1))]
    card = write(Folder(tmp_path), people)
    found = read_windows(Folder(tmp_path))
    assert [(channel.name, channel.length, channel.variable) for channel in card.channels] == [
        ("acoustic", 8, True),
        ("linguistic", 5, True),
    ]
    for number, one in enumerate(people):
        assert_same(cut_utterances(one, [EMOTION], NONE), found, found.index.participant_index == number)


def test_the_fingerprint_follows_the_lengths() -> None:
    """A length that changes changes the fingerprint, though every sample stays."""
    made = cut_utterances(speaker(), [EMOTION], NONE)
    columns = stored_columns([label_card(EMOTION)], channel_cards(speaker(), made))
    other = replace(made, lengths={**made.lengths, "acoustic": made.lengths["acoustic"] + np.array([0, 1, 0], np.int32)})
    first, second = (fingerprint_of(to_table(one, "A", 0, ["emotion"]), columns) for one in (made, other))
    assert first != second


def test_a_window_is_described_by_its_valid_steps() -> None:
    """The stored statistics know nothing of the padding, and a missing modality has zeros."""
    table = to_table(cut_utterances(speaker(), [EMOTION], NONE), "A", 0, ["emotion"])
    found = np.array(table["s_acoustic"].to_pylist(), dtype=np.float32)
    expected = statistics(speaker().segments[1].signals["acoustic"][None].astype(np.float32))[0]
    np.testing.assert_allclose(expected, found[1], rtol=1e-6)
    assert not found[2].any()


def test_per_speaker_is_a_z_score_over_all_of_a_speakers_steps() -> None:
    """Unlabelled utterances count too, padding does not, and what stands for words stays as it is."""
    whole = speaker()
    made = cut_utterances(whole, [EMOTION], PER_SPEAKER)
    joined = np.concatenate([segment.signals["acoustic"] for segment in whole.segments])
    expected = (whole.segments[0].signals["acoustic"] - joined.mean(axis=0)) / joined.std(axis=0)
    np.testing.assert_allclose(expected, made.signals["acoustic"][0], rtol=1e-6)
    assert not made.signals["acoustic"][1, 3:].any()
    np.testing.assert_array_equal(cut_utterances(whole, [EMOTION], NONE).signals["linguistic"], made.signals["linguistic"])


def test_only_per_speaker_looks_at_the_speakers_other_utterances() -> None:
    """By default a window is the same whatever else the speaker said; per speaker it is not, and no label enters either."""
    whole = speaker()
    louder = [{**part.signals, "acoustic": 9 * part.signals["acoustic"]} for part in whole.segments]
    changed = [whole.segments[0], *(replace(part, signals=x) for part, x in zip(whole.segments[1:], louder[1:], strict=True))]
    relabelled = [replace(part, tracks={"emotion": LabelTrack(np.zeros(1), np.ones(1))}) for part in whole.segments]
    for settings, stays in ((NONE, True), (PER_SPEAKER, False)):
        first, other, labels = (
            cut_utterances(replace(whole, segments=tuple(parts)), [EMOTION], settings).signals["acoustic"][0]
            for parts in (whole.segments, changed, relabelled)
        )
        assert np.array_equal(first, other) is stays
        np.testing.assert_array_equal(first, labels)


def test_what_the_speaker_gave_unlabelled_is_said() -> None:
    """Only the normalization that looks at a new speaker's utterances brings a caution, and it names them."""
    assert (NONE.normalization, NONE.caution) == ("none", "")
    assert "of the target too, without its labels" in PER_SPEAKER.caution


@pytest.mark.parametrize(
    ("channel", "samples", "what"),
    [
        ("acoustic", np.full((4, 2), np.nan), "channel acoustic, file a.wav: utterance u1 has 8 of 8 values that are NaN"),
        ("acoustic", np.zeros((9, 2)), "channel acoustic, file a.wav: utterance u1 has 9 steps, a window holds 8"),
        ("both", None, "utterance u1 has no step in any channel"),
    ],
)
def test_a_useless_utterance_is_refused(channel: str, samples: npt.NDArray[np.float64] | None, what: str) -> None:
    """NaN, more steps than a window has, and an utterance without any modality are refused by name."""
    whole = speaker()
    empty = {"acoustic": np.zeros((0, 2)), "linguistic": np.zeros((0, 3))}
    signals = empty if samples is None else {**whole.segments[1].signals, channel: samples}
    parts = (whole.segments[0], replace(whole.segments[1], signals=signals), *whole.segments[2:])
    with pytest.raises(RecordingError, match=f"participant A.*{what}"):
        cut_utterances(replace(whole, segments=parts), [EMOTION], NONE)


def test_a_leak_probe_keeps_the_lengths(tmp_path: Path) -> None:
    """Windows that a probe writes again have their lengths, and its noise stays out of the padding."""
    source, out = Folder(tmp_path / "in"), tmp_path / "out"
    write(source, [speaker("A"), speaker("B")])
    probe("duplicated_person", source, str(out), person="A", noise=0.1)
    before, found = read_windows(source), read_windows(Folder(out))
    np.testing.assert_array_equal(np.tile(before.lengths["acoustic"][:3], 3), found.lengths["acoustic"])
    copied = found.signals["acoustic"][found.index.participant_index == 2]
    assert not np.array_equal(copied[0], before.signals["acoustic"][0])
    assert not copied[1, 3:].any() and not copied[2].any()
