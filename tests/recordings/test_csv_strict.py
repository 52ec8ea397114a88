"""A user's own csv files as people write them: what was read wrongly in silence is read rightly, or refused by name."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders.csv_one_channel import HEAD, STRESS, folder, samples, table

from raylab.errors import RaylabError, RecordingError
from raylab.recordings.csv_folder import CSV_FOLDER
from raylab.recordings.csv_samples import rises_steadily
from raylab.recordings.recording import Recording
from raylab.runs.prepare import PrepareRequest, participants_of, prepare
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import NO_LABEL, classes_of, cut, grid_of


def read(root: Path, person: str = "anna") -> Recording:
    return CSV_FOLDER.at(root).read(root, person, {})


def refusal(root: Path, person: str = "anna") -> str:
    with pytest.raises(RecordingError) as caught:
        read(root, person)
    return str(caught.value)


COLUMNS = {
    "a row counter without a name": (",eda", lambda i, v: f"{i},{v}", "column 1 has no name"),
    "a row counter called Unnamed": ("Unnamed: 0,eda", lambda i, v: f"{i},{v}", "'Unnamed: 0' is named like an index"),
    "a row counter of another name": ("n,eda", lambda i, v: f"{i},{v}", "'n' goes steadily from 0 to 479"),
    "a counter that falls": ("left,eda", lambda i, v: f"{480 - i},{v}", "'left' goes steadily from 480 to 1"),
    "seconds": ("eda,t", lambda i, v: f"{v},{i / 4}", "'t' goes steadily"),
    "whole seconds": ("eda,t", lambda i, v: f"{v},{i // 4}", "'t' goes steadily"),
    "unix ms with jitter": ("eda,clock", lambda i, v: f"{v},{1544027337000 + 250 * i + i * 37 % 11}", "'clock' goes steadily"),
    "a clock with a gap": ("eda,clock", lambda i, v: f"{v},{i * 0.25 + 300 * (i > 200)}", "'clock' goes steadily"),
    "a time by name": ("Timestamp,eda", lambda i, v: f"{i * 7 % 480},{v}", "'Timestamp' is named like an index, a time"),
    "a time with a unit": ("time (ms),eda", lambda i, v: f"{i * 7 % 480},{v}", "'time .ms.' is named like"),
    "the label itself": ("eda,stress", lambda i, v: f"{v},{i // 240}", "'stress' is named like a label"),
    "a number as a name": ("eda,0.25", lambda i, v: f"{v},{v}", "named '0.25', which is a value"),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_that_is_no_feature_is_refused(kind: str, tmp_path: Path) -> None:
    """An index or a time tells the label: it must not become a feature of the signal."""
    header, row, message = COLUMNS[kind]
    root = folder(tmp_path)
    (root / "anna" / "eda.csv").write_text(table([row(i, value) for i, value in enumerate(samples())], header))
    text = refusal(root)
    for part in ("participant anna", "channel eda", "eda.csv", "every column of a channel is a feature", "What to do: keep"):
        assert part in text
    assert re.search(message, text), text


def test_measured_signals_do_not_rise_steadily() -> None:
    """A temperature that drifts upwards by noisy steps, a saturating rise, a constant and a short ramp are signals."""
    rng, n = np.random.default_rng(0), 480
    drift = np.round(33 + np.arange(n) / n + rng.normal(0, 0.02, n), 2)
    saturating = 1 - np.exp(-np.arange(n) / 100)
    for values in (drift, saturating, np.full(n, 3.0), np.arange(5.0), np.sin(np.arange(n) / 10)):
        assert not rises_steadily(values)
    assert rises_steadily(np.append(np.nan, np.arange(20.0)))


def test_columns_of_one_channel_have_one_order(tmp_path: Path) -> None:
    """x and y exchanged in one participant's file are refused: features are numbered, not named."""
    root = folder(tmp_path)
    for person, header in (("anna", "x,y"), ("ben", "y,x")):
        (root / person / "eda.csv").write_text(table([f"{a},{b}" for a, b in zip(samples(1), samples(2), strict=True)], header))
    assert read(root, "anna").segments[0].signals["eda"].shape == (480, 2)
    assert "has the columns y, x, and the first participant's file has x, y" in refusal(root, "ben")


LABELS = {
    "one and a half": ("time_s,stress\n0,0\n60,1.5\n", "label stress has the value 1.5 in row 3, expected 0, 1, calm, stress"),
    "below zero": ("time_s,stress\n0,-0.5\n60,1\n", "the value -0.5 in row 2"),
    "another word": ("time_s,stress\n0,calm\n60,angry\n", "the value angry in row 3"),
    "another case": ("time_s,stress\n0,Calm\n60,stress\n", "the value Calm in row 2.*'calm' may be meant"),
    "truth": ("time_s,stress\n0,False\n60,True\n", "the value False in row 2"),
    "trailing comma": ("time_s,stress\n0,0,\n60,1,\n", "row 2 has 3 fields, the header has 2"),
    "a comma more in the middle": ("time_s,stress,note\n0,0,a\n60,1,b,c\n", "row 3 has 4 fields"),
    "another column": ("time_s,Stress\n0,0\n60,1\n", r"lacks the column\(s\) stress; it has time_s, Stress; perhaps Stress"),
    "no time": ("time_s,stress\n0,0\n,1\n", "time_s is empty in row 3"),
    "semicolons": ("time_s;stress\n0;0\n60;1\n", "separated by ';'"),
}


@pytest.mark.parametrize("decide", ["majority", "mode"])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_no_code_and_no_class_are_refused(kind: str, decide: str, tmp_path: Path) -> None:
    """Nothing is rounded to a code, and no cell moves into another column."""
    content, message = LABELS[kind]
    text = refusal(folder(tmp_path, description=HEAD + STRESS.replace("majority", decide), labels=content))
    assert re.search(message, text), text
    assert "participant anna, channel labels" in text


def test_mode_passes_whole_numbers_that_are_no_code(tmp_path: Path) -> None:
    """As with WESAD's codes: a 7 is time without a label."""
    labels = "time_s,stress\n0,0\n30,7\n60,1\n"
    root = folder(tmp_path, description=HEAD + STRESS.replace("majority", "mode"), labels=labels)
    dataset, recording = CSV_FOLDER.at(root), read(root)
    classes = classes_of(recording, grid_of(recording, Preprocessing()), dataset.label("stress"), 10.0)
    assert {0, 1, NO_LABEL} == set(classes.tolist())


WORDS = {
    "names of classes, codes are numbers": ("codes: {0: 0, 1: 1}", ("calm", "stress")),
    "names of classes, no codes": ("", ("calm", "stress")),
    "words as codes": ("codes: {rest: 0, tsst: 1}", ("rest", "tsst")),
    "words and names of classes": ("codes: {rest: 0, stress: 1}", ("calm", "stress")),
    "words and numbers": ("codes: {0: 0, tsst: 1}", ("0", "tsst")),
    "numbers in quotes": ('codes: {"0": 0, "1": 1}', ("0", "1")),
    "numbers as floats": ("codes: {0: 0, 1: 1}", ("0.0", "1.0")),
    "blanks around": ("codes: {0: 0, 1: 1}", (" calm ", " stress")),
    "composed and decomposed": ("codes: {ru\u0308hig: 0, tsst: 1}", ("r\u00fchig", "tsst")),
}


@pytest.mark.parametrize("decide", ["majority", "mode"])
@pytest.mark.parametrize("kind", WORDS)
def test_classes_may_be_words(kind: str, decide: str, tmp_path: Path) -> None:
    """The windows' classes are those of the same labels as numbers."""
    codes, (calm, stress) = WORDS[kind]
    description = HEAD + f"labels:\n  stress: {{decide: {decide}, classes: [calm, stress]{', ' + codes if codes else ''}}}\n"
    root = folder(tmp_path / "words", description=description, labels=f"time_s,stress\n0,{calm}\n30,\n40,{calm}\n60,{stress}\n")
    expected = folder(tmp_path / "numbers", labels="time_s,stress\n0,0\n30,\n40,0\n60,1\n")
    windows = [cut(read(r), [CSV_FOLDER.at(r).label("stress")], Preprocessing()) for r in (root, expected)]
    if decide == "majority":
        assert windows[1].labels["stress"].tolist() == windows[0].labels["stress"].tolist()
    assert {0, 1} == set(windows[0].labels["stress"].tolist())


def test_a_class_may_be_called_none_and_numbers_need_codes(tmp_path: Path) -> None:
    """A word for no value that is a class's name is that class; without codes a number is not taken for the class's index."""
    none = HEAD + "labels:\n  stress: {classes: [None, stress]}\n"
    track = read(folder(tmp_path / "none", description=none, labels="time_s,stress\n0,None\n60,stress\n")).segments[0].tracks
    assert [0.0, 1.0, 1.0] == track["stress"].values.tolist()
    assert "the value 0 in row 2, expected None, stress" in refusal(folder(tmp_path / "numbers", description=none))


YAML = {
    "Latin-1": ((HEAD + STRESS).replace("calm", "ruhig und fröhlich").encode("latin-1"), ["dataset.yaml", "UTF-8", "0xf6"]),
    "UTF-16": ((HEAD + STRESS).encode("utf-16"), ["dataset.yaml", "UTF-16"]),
    "truth values": ((HEAD + STRESS).replace("[calm, stress]", "[no, yes]").encode(), ["dataset.yaml", "labels.stress.classes", "quotes"]),
    "a key twice": ((HEAD + STRESS + "name: other\n").encode(), ["dataset.yaml", "name", "twice"]),
    "infinite rate": ((HEAD + STRESS).replace("rate_hz: 4", "rate_hz: .inf").encode(), ["dataset.yaml", "inf"]),
    "a code of 0.9": ((HEAD + STRESS).replace("{0: 0", "{0.9: 0").encode(), ["dataset.yaml", "codes"]),
    "codes that are no mapping": ((HEAD + STRESS).replace("{0: 0, 1: 1}", "5").encode(), ["dataset.yaml", "labels.stress.codes"]),
    "a code twice": ((HEAD + STRESS).replace("{0: 0, 1: 1}", "{0: 0, \"0\": 1}").encode(), ["labels.stress.codes", "names a code twice"]),
    "sessions that are a number": ((HEAD + STRESS + "sessions: 3\n").encode(), ["dataset.yaml", "sessions"]),
    "a channel outside": ((HEAD + STRESS).replace("  eda:", "  ../eda:").encode(), ["dataset.yaml", "'../eda' cannot be a channel"]),
    "a channel called labels": ((HEAD + STRESS).replace("  eda:", "  labels:").encode(), ["'labels' cannot be a channel"]),
    "a hundred faults": (("traits: [" + "1, " * 100 + "2]\n").encode(), ["dataset.yaml", "traits.1: ", "and 99 more"]),
    "empty": (b"", ["dataset.yaml"]),
    "a list": (b"- a\n", ["dataset.yaml"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", YAML)
def test_description_is_refused_by_file_and_key(kind: str, tmp_path: Path) -> None:
    """The file is named, with the line or the key, and what to do."""
    content, parts = YAML[kind]
    root = folder(tmp_path)
    (root / "dataset.yaml").write_bytes(content)
    with pytest.raises(RaylabError) as caught:
        CSV_FOLDER.at(root)
    for part in (*parts, "What to do"):
        assert part in str(caught.value)


def test_a_description_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """As Windows' editors save it."""
    root = folder(tmp_path)
    (root / "dataset.yaml").write_bytes(b"\xef\xbb\xbf" + (HEAD + STRESS).encode())
    assert CSV_FOLDER.at(root).name == "my_data"


def test_files_of_another_case_are_named(tmp_path: Path) -> None:
    """EDA.csv for eda.csv is told, not only that one is missing."""
    root = folder(tmp_path)
    (root / "anna" / "eda.csv").rename(root / "anna" / "EDA.csv")
    assert "is missing; the folder holds EDA.csv" in refusal(root)


def _write(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda home: (home / name).write_bytes(data)


TEN = {
    "p01": (_write("eda.csv", table([v.replace(".", ",") for v in samples()])), "eda.csv: row 2 has 2 fields"),
    "p02": (_write("eda.csv", table(samples(), "1544027337.000000\n4.000000")), "eda.csv: has no header"),
    "p03": (_write("eda.csv", table([f"{i},{v}" for i, v in enumerate(samples())], ",eda")), "column 1 has no name"),
    "p04": (_write("eda.csv", table([*samples(), "1e308"])), "eda.csv: column eda has '1e+308' in row 482"),
    "p05": (_write("eda.csv", table(samples()).encode("utf-16")), "eda.csv: is UTF-16"),
    "p06": (_write("labels.csv", "time_s,stress\n0,0\n60,1.9\n"), "the value 1.9 in row 3"),
    "p07": (_write("labels.csv", "time_s;stress\n0;0\n60;1\n"), "labels.csv: its columns are separated by ';'"),
    "p08": (lambda home: (home / "eda.csv").unlink(), "eda.csv: is missing"),
    "p09": (_write("eda.csv", table([*samples()[:100], "", *samples()[100:]])), "eda.csv: row 102 is blank"),
    "p10": (_write("labels.csv", "time_s,stress\n0,0\n60,anxious\n"), "the value anxious in row 3"),
}  # fmt: skip


def test_ten_damaged_files_are_named_in_one_message(tmp_path: Path) -> None:
    """Ten participants, one damaged file each, of ten kinds: every one is named with its file, and nothing is prepared."""
    root = folder(tmp_path / "in", (*TEN, "sound"))
    for name, (spoil, _) in TEN.items():
        spoil(root / name)
    with pytest.raises(RaylabError) as caught:
        prepare(PrepareRequest("csv_folder", str(root), str(tmp_path / "out")), say=lambda line: None, where="local")
    message = str(caught.value)
    lines = [line for line in message.splitlines() if line.startswith("  - ")]
    assert len(TEN) == len(lines)
    for line, (name, (_, problem)) in zip(lines, TEN.items(), strict=True):
        assert f"participant {name}" in line
        assert problem in line
    assert "sound" not in message
    assert not (tmp_path / "out" / "card.json").exists()


def test_participants_are_listed_as_before(tmp_path: Path) -> None:
    """By name: the order of participants numbers them in the windows, which must stay as they were."""
    assert ["p1", "p10", "p2"] == participants_of(PrepareRequest("csv_folder", str(folder(tmp_path, ("p2", "p10", "p1"))), ""))
