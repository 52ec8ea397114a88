"""What is special to one dataset stands on its declaration."""

import pytest

from raylab.features.text import ENGLISH
from raylab.recordings import DATASETS
from raylab.recordings.emodb import EMODB
from raylab.recordings.ravdess import RAVDESS
from raylab.recordings.wesad import WESAD


def test_speech_corpora_are_utterances_and_say_how_long_they_may_be() -> None:
    """All others are running signals, of which windows are cut."""
    kinds = {name: dataset.kind for name, dataset in DATASETS.items()}
    assert {"emodb", "ravdess"} == {name for name, kind in kinds.items() if kind == "utterances"}
    assert {"signals", "utterances"} == set(kinds.values())
    assert all("longest_s" in DATASETS[name].options for name, kind in kinds.items() if kind == "utterances")


def test_sentences_that_a_recognizer_may_hear_belong_to_a_unit_of_words() -> None:
    """RAVDESS's two, for the English embedding; there is no recognizer of German, and other datasets have no words."""
    assert ("Kids are talking by the door", "Dogs are sitting by the door") == RAVDESS.sentences[ENGLISH]
    assert {"ravdess"} == {name for name, dataset in DATASETS.items() if dataset.sentences}
    assert not EMODB.sentences


@pytest.mark.parametrize(
    ("channels", "noted"),
    [
        (("wrist_bvp", "wrist_eda"), True),
        (("chest_ecg",), True),
        (("chest_ecg", "wrist_eda"), False),
    ],
)
def test_wesad_with_one_device_is_not_the_papers_input(channels: tuple[str, ...], noted: bool) -> None:
    """The paper's input has both; other datasets have no such note."""
    expected = ("one device only, not the paper's input of 14 channels from chest and wrist.",) if noted else ()
    assert expected == WESAD.channel_notes(channels)
    assert {()} == {dataset.channel_notes(channels) for dataset in DATASETS.values() if dataset is not WESAD}
