"""A user's own dataset: as csv files without code, and as the page on adding one says with code."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from builders.csv_folder import PAGE, write

from raylab.errors import RecordingError
from raylab.files import Folder
from raylab.recordings import DATASETS
from raylab.recordings.csv_folder import CSV_FOLDER
from raylab.recordings.recording import Baseline, Recording
from raylab.recordings.wesad import WESAD
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import read_windows
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import cut

PAPER = Preprocessing()


def read(root: Path, person: str) -> Recording:
    return CSV_FOLDER.at(root).read(root, person, {})


def test_windows_and_labels_by_hand(tmp_path: Path) -> None:
    """100 s give windows at 0..85; those that end by 50 s are calm, those from 50 s stress, the one at 45 s is a tie and dropped."""
    dataset = CSV_FOLDER.at(write(tmp_path))
    made = cut(read(tmp_path, "anna"), [dataset.label("stress")], PAPER)
    assert [*range(0, 45, 5), *range(50, 90, 5)] == made.start_s.tolist()
    assert [0] * 9 + [1] * 8 == made.labels["stress"].tolist()
    assert {"eda": (17, 40, 1), "pulse": (17, 320, 1)} == {name: values.shape for name, values in made.signals.items()}


def test_sessions_are_segments(tmp_path: Path) -> None:
    """Two session folders are two segments by name; windows start anew in each."""
    recording = read(write(tmp_path), "ben")
    assert [("evening", 0.0), ("morning", 100.0)] == [(s.session, s.start_s) for s in recording.segments]
    assert {"age": 31.0, "gender": "female"} == recording.traits


def test_an_empty_cell_is_no_label(tmp_path: Path) -> None:
    """Between 30 and 60 s nothing is labelled: windows that touch it are dropped."""
    write(tmp_path)
    (tmp_path / "anna" / "labels.csv").write_text("time_s,stress\n0,0\n30,\n60,1\n")
    made = cut(read(tmp_path, "anna"), [CSV_FOLDER.at(tmp_path).label("stress")], PAPER)
    assert [0, 5, 10, 15, 20, 60, 65, 70, 75, 80, 85] == made.start_s.tolist()


BROKEN = {
    "missing channel": (lambda r: (r / "anna" / "eda.csv").unlink(), ["anna", "eda.csv", "is missing"]),
    "text in a channel": (lambda r: (r / "anna" / "eda.csv").write_text("value\n1\nx\n"), ["anna", "eda", "'x' in row 3"]),
    "no rows": (lambda r: (r / "anna" / "pulse.csv").write_text("value\n"), ["anna", "pulse", "no rows"]),
    "empty file": (lambda r: (r / "anna" / "pulse.csv").write_text(""), ["anna", "pulse"]),
    "no time": (lambda r: (r / "anna" / "labels.csv").write_text("stress\n1\n"), ["anna", "labels", "time_s"]),
    "time falls": (lambda r: (r / "anna" / "labels.csv").write_text("time_s,stress\n0,0\n9,1\n5,0\n"), ["row 4", "5 after 9"]),
    "unknown code": (lambda r: (r / "anna" / "labels.csv").write_text("time_s,stress\n0,0\n9,7\n"), ["the value 7", "expected 0, 1"]),
    "described wrongly": (lambda r: (r / "dataset.yaml").write_text("name: x\nchanels: {}\n"), ["dataset.yaml", "chanels", "channels"]),
    "not yaml": (lambda r: (r / "dataset.yaml").write_text("{"), ["dataset.yaml"]),
    "twice in traits": (lambda r: (r / "traits.csv").write_text("participant,age,gender\nanna,1,f\nanna,2,f\n"), ["anna", "2 rows"]),
    "link out": (lambda r: _link(r / "anna" / "eda.csv"), ["anna", "link out of"]),
}  # fmt: skip


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("what", BROKEN)
def test_bad_input_names_what_is_wrong(what: str, tmp_path: Path) -> None:
    """Participant, file, row and value are in the message, and what to do."""
    spoil, expected = BROKEN[what]
    spoil(write(tmp_path))
    with pytest.raises(RecordingError) as caught:
        read(tmp_path, "anna")
    for part in (*expected, "What to do"):
        assert part in str(caught.value)


def test_prepared_under_its_own_name(tmp_path: Path) -> None:
    """`raylab prepare csv_folder` gives windows whose card carries the dataset's own name, labels and traits."""
    card = prepare(
        PrepareRequest("csv_folder", str(write(tmp_path / "in")), str(tmp_path / "out")), say=lambda line: None, where="local"
    )
    assert ("my_data", ("age", "gender")) == (card.dataset, card.similarity_traits)
    assert 17 + 34 == len(read_windows(Folder(tmp_path / "out")).index.window)


@pytest.mark.parametrize(
    ("described", "codes", "expected"),
    [
        ({"label": "stress", "code": 0}, "codes: {0: 0, 1: 1}", Baseline("stress", 0)),
        ({"label": "stress", "code": "calm", "first_run": True}, "codes: {0: 0, 1: 1}", Baseline("stress", 0, first_run=True)),
        ({"label": "stress", "code": "rest"}, "codes: {rest: 0, tsst: 1}", Baseline("stress", 0)),
    ],
)
def test_a_baseline_condition_is_described(tmp_path: Path, described: dict[str, Any], codes: str, expected: Baseline) -> None:
    """By a value of a label's column, a number or a word; without the key there is none."""
    root = write(tmp_path / "in")
    assert CSV_FOLDER.at(root).baseline is None
    text = (root / "dataset.yaml").read_text().replace("codes: {0: 0, 1: 1}", codes)
    (root / "dataset.yaml").write_text(text + yaml.safe_dump({"baseline": described}))
    assert CSV_FOLDER.at(root).baseline == expected


@pytest.mark.parametrize(
    ("described", "problem"),
    [
        ({"label": "mood", "code": 0}, r"baseline: 'mood' is no label of codes \(there is stress\)"),
        ({"label": "stress", "code": 7}, "baseline: 7 is no value of label stress, expected 0, 1, calm, stress"),
        ({"label": "stress"}, "baseline.code: Field required"),
        ({"label": "stress", "code": 0, "last_run": True}, "baseline.last_run: Extra inputs"),
    ],
)
def test_a_baseline_that_is_none_is_refused(tmp_path: Path, described: dict[str, Any], problem: str) -> None:
    """With what the label has."""
    root = write(tmp_path / "in")
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text() + yaml.safe_dump({"baseline": described}))
    with pytest.raises(RecordingError, match=problem):
        CSV_FOLDER.at(root)


def test_the_page_on_adding_a_dataset_works(tmp_path: Path) -> None:
    """The page's python declares a dataset that reads, and whose windows are cut."""
    names: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], names)  # the page's own code
    dataset = names["NPZ"]
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "P1.npz", pulse=rng.normal(0, 1, 64 * 60), label_s=np.arange(60.0), label=np.arange(60) // 30, age=40)
    assert ["P1"] == dataset.participants(tmp_path, {})  # type: ignore[attr-defined]
    made = cut(dataset.read(tmp_path, "P1", {}), list(dataset.labels), PAPER)  # type: ignore[attr-defined]
    assert {"pulse": (9, 320, 1)} == {name: values.shape for name, values in made.signals.items()}


@pytest.mark.real
def test_wesad_wrist_could_have_been_csv_files(real_data: Path, tmp_path: Path) -> None:
    """S2 and S3 written as csv files, labels as changes only, give the same windows and labels as WESAD's own reader."""
    root = tmp_path / "wesad_csv"
    root.mkdir()
    for person in ("S2", "S3"):
        recording = WESAD.read(real_data / "wesad", person, WESAD.options)
        (root / person).mkdir()
        for channel in recording.channels:
            np.savetxt(
                root / person / f"{channel.name}.csv",
                recording.segments[0].signals[channel.name],
                header="value",
                comments="",
                fmt="%.17g",
            )
        track = recording.segments[0].tracks["condition"]
        change = np.flatnonzero(np.diff(track.values, prepend=-1))
        frame = pd.DataFrame({"time_s": track.times_s[change], "stress": track.values[change].astype(int)})
        frame.to_csv(root / person / "labels.csv", index=False, float_format="%.17g")
    description = {
        "name": "wesad_csv",
        "channels": {
            c.name: {"modality": c.modality, "rate_hz": c.rate_hz, "target_rate_hz": c.target_rate_hz}
            for c in recording.channels
        },
        "labels": {"stress": {"decide": "mode", "classes": ["amusement", "stress"], "codes": {3: 0, 2: 1}}},
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    for person in ("S2", "S3"):
        expected = cut(WESAD.read(real_data / "wesad", person, WESAD.options), [WESAD.label("stress")], PAPER)
        found = cut(read(root, person), [CSV_FOLDER.at(root).label("stress")], PAPER)
        np.testing.assert_array_equal(expected.start_s, found.start_s)
        np.testing.assert_array_equal(expected.labels["stress"], found.labels["stress"])
        for name, values in expected.signals.items():
            np.testing.assert_array_equal(values, found.signals[name])


def test_listed() -> None:
    """`csv_folder` is a dataset like any other."""
    assert DATASETS["csv_folder"] is CSV_FOLDER
