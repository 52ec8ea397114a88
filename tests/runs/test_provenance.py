"""The sentences that every table of a run must carry."""

from typing import Any

import pytest
from builders.windows import make_windows, with_card

from raylab.runs.provenance import notes
from raylab.trials.plan import check_datasets
from raylab.trials.study import parse_study
from raylab.windows.preprocess import Preprocessing
from raylab.windows.utterances import Utterances


def _notes(**card: Any) -> list[str]:
    index = with_card(make_windows({f"P{i}": [0, 1] for i in range(3)}), **card).index
    datasets = [{"windows": "made", "label": "stress"}]
    study = {"name": "s", "datasets": datasets, "models": [{"encoder": "fcn"}], "techniques": ["non_personalized"]}
    read = parse_study(study, "s")
    return notes(read, check_datasets(read, {"made": index}))


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        (
            Preprocessing(),
            "made",
            "windows of 10 s every 5 s, normalized over each participant's whole recording, test part included (the paper's way)",
        ),
        (
            Preprocessing(normalization="past"),
            "made (past)",
            "windows of 10 s every 5 s, normalized by the running minimum and maximum of the past only",
        ),
        (
            Utterances(4.0),
            "made",
            "utterances of at most 4 s, features as they are extracted, no statistic of any person is used",
        ),
        (
            Utterances(4.0, "per_speaker"),
            "made (per speaker)",
            "utterances of at most 4 s, features standardized (z-score) per speaker over all of the speaker's utterances: of the target too, "
            "without its labels, so a result needs unlabelled utterances of a new speaker first",
        ),
    ],
)
def test_each_dataset_says_how_it_became_windows(settings: Preprocessing | Utterances, name: str, expected: str) -> None:
    """People, channels, windows, normalization and fingerprint; a normalization that is not the usual one is in the name too."""
    first, *rest = _notes(preprocessing=settings)
    assert f"{name}: 3 people, 2 channels, {expected}; fingerprint made-0." == first
    *order, seeds = rest
    assert "1 seed(s), averaged per participant before any test." == seeds
    assert all(": stress: class1 comes after class0 for all 3 people" in line for line in order)
    assert len(order) == (settings.kind == "signals")


def test_cautions_and_what_a_choice_of_channels_means_are_told() -> None:
    """The card's caution, and the note that WESAD declares for one device."""
    told = _notes(caution="Careful.", dataset="wesad")
    assert "wesad: warning: Careful." in told
    assert "wesad: one device only, not the paper's input of 14 channels from chest and wrist." in told
    assert not [line for line in _notes() if "device" in line]


def test_a_technique_that_degrades_stands_behind_its_warning() -> None:
    """A study with tent says so under every table, any other does not."""
    index = make_windows({f"P{i}": [0, 1] for i in range(3)}).index

    def warned(*techniques: str) -> list[str]:
        study = {
            "name": "s",
            "datasets": [{"windows": "made", "label": "stress"}],
            "models": [{"encoder": "fcn"}],
            "techniques": list(techniques),
        }
        read = parse_study(study, "s")
        return [line for line in notes(read, check_datasets(read, {"made": index})) if "tent" in line]

    (line,) = warned("non_personalized", "tent")
    assert line.startswith("warning: ")
    assert [] == warned("non_personalized", "adabn")
