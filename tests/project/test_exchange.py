"""Windows in the forms of other libraries hold the windows' own numbers; a card becomes Croissant without a signal or a trait."""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from raylab.errors import InvalidValueError, RaylabError
from raylab.exchange import croissant, to_arrays, to_hugging_face
from raylab.testing import simulated_windows
from raylab.windows.segmentation import NO_LABEL

WINDOWS = simulated_windows(people=3)
INDEX = WINDOWS.index


def test_arrays_are_the_labelled_windows() -> None:
    """X (n, signals, length), y by the names of classes, metadata by window: row by row those of the index, without a window of no label."""
    x, y, metadata = to_arrays(WINDOWS, "stress", ["b"])
    rows = np.flatnonzero(INDEX.labels["stress"] != NO_LABEL)
    assert 0 < len(rows) < len(INDEX.window)
    np.testing.assert_array_equal(WINDOWS.signals["b"][rows].transpose(0, 2, 1), x)
    assert [("rest", "stress")[k] for k in INDEX.labels["stress"][rows]] == y.tolist()
    assert INDEX.window[rows].tolist() == metadata["window"].tolist()
    assert [INDEX.participants[k] for k in INDEX.participant_index[rows]] == metadata["subject"].tolist()


def test_channels_of_different_lengths_are_a_sentence() -> None:
    """It names the lengths; so does a channel that is not there, and a label."""
    with pytest.raises(InvalidValueError, match=r"different lengths \(a 8, b 16\).*channels="):
        to_arrays(WINDOWS, "stress")
    with pytest.raises(InvalidValueError, match="no channel c; it has a, b"):
        to_arrays(WINDOWS, "stress", ["c"])
    with pytest.raises(InvalidValueError, match="no label calm; it has stress"):
        to_arrays(WINDOWS, "calm", ["a"])


def test_croissant_describes_files_and_columns_and_nobody() -> None:
    """Licence, citation, fingerprint, a field for each channel and label; no name and no trait of a participant."""
    made = croissant(INDEX.card)
    names = [field["name"] for field in made["recordSet"][0]["field"]]
    assert ["session", "a", "b", "window", "segment", "start_s", "y_stress"] == names
    assert (INDEX.card.licence, INDEX.card.fingerprint) == (made["license"], made["version"])
    assert "http://mlcommons.org/croissant/1.0" == made["conformsTo"]
    text = json.dumps(made)
    assert not [word for word in ("P1", "age", "gender") if f'"{word}"' in text]
    with pytest.raises(InvalidValueError, match="no licence"):
        croissant(INDEX.card.changed(licence=" "))


@pytest.mark.slow
def test_croissant_is_read_by_its_own_library() -> None:
    """mlcroissant finds no error."""
    library = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant")
    assert INDEX.card.dataset == library.Dataset(jsonld=croissant(INDEX.card)).metadata.name


def test_a_hugging_face_dataset_holds_the_windows() -> None:
    """Signals to the bit, classes by name, -1 for none; without the package a sentence with what to install."""
    if find_spec("datasets") is None:
        with pytest.raises(RaylabError, match="not installed: pip install datasets"):
            to_hugging_face(WINDOWS)
        return
    made = to_hugging_face(WINDOWS).with_format("numpy")
    np.testing.assert_array_equal(WINDOWS.signals["a"], made["a"][:])
    np.testing.assert_array_equal(INDEX.labels["stress"], made["stress"][:])
    assert ["rest", "stress"] == made.features["stress"].names
    steps = np.arange(len(INDEX.window), dtype=np.int32) % 9
    variable = to_hugging_face(replace(WINDOWS, lengths={"a": steps})).with_format("numpy")
    np.testing.assert_array_equal(steps, variable["a_length"][:])
    assert "b_length" not in variable.features
