"""Traits and sessions of a user's own dataset: joined by name, told on both sides, and in the order of time."""

from pathlib import Path

import pytest
from builders.csv_one_channel import HEAD, STRESS, folder, samples, table

from raylab.errors import RaylabError, RecordingError
from raylab.files import Folder
from raylab.recordings.csv_folder import CSV_FOLDER
from raylab.recordings.csv_traits import read_trait_table
from raylab.recordings.name_match import likely_same
from raylab.recordings.recording import Recording
from raylab.recordings.session_order import in_order, natural_key
from raylab.recordings.table_lines import TableError
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import read_windows

TRAITS = "traits: [age, gender]\n"


def dataset(root: Path, names: tuple[str, ...], traits: str) -> Path:
    folder(root, names, HEAD + STRESS + TRAITS)
    (root / "traits.csv").write_text(traits)
    return root


def read(root: Path, person: str) -> Recording:
    return CSV_FOLDER.at(root).read(root, person, {})


JOINED = {
    "leading zeros": (("01", "02", "10"), "participant,age,gender\n01,21,f\n02,22,m\n10,30,f\n"),
    "a blank last row": (("1", "2", "10"), "participant,age,gender\n1,21,f\n2,22,m\n10,30,f\n,,\n"),
    "a blank row between": (("1", "2", "10"), "participant,age,gender\n1,21,f\n\n,,\n2,22,m\n10,30,f\n"),
    "words for no value": (("NA", "None", "nan"), "participant,age,gender\nNA,21,f\nNone,22,m\nnan,30,f\n"),
    "numbers with an exponent": (("1E3", "1000", "inf"), "participant,age,gender\n1E3,21,f\n1000,22,m\ninf,30,f\n"),
    "blanks around": (("a", "b", "c"), "participant , age,gender\n a,21, f\nb ,22,m \nc,30,f\n"),
    "decomposed letters": (
        ("J\u00fcrgen", "Zoe\u0308", "e"),
        "participant,age,gender\nJu\u0308rgen,21,f\nZo\u00eb,22,m\ne,30,f\n",
    ),
    "quoted": (("a b", "c,d", "e"), 'participant,age,gender\n"a b",21,f\n"c,d",22,m\n"e",30,f\n'),
    "true and false": (("True", "False", "x"), "participant,age,gender\nTrue,21,f\nFalse,22,m\nx,30,f\n"),
    "byte-order mark": (("a", "b", "c"), "\ufeffparticipant,age,gender\na,21,f\nb,22,m\nc,30,f\n"),
}


@pytest.mark.parametrize("kind", JOINED)
def test_ids_are_text(kind: str, tmp_path: Path) -> None:
    """Every participant has its own row's traits, whatever its name looks like."""
    names, traits = JOINED[kind]
    root = dataset(tmp_path, names, traits)
    people = CSV_FOLDER.participants(root, {})
    found = {person: read(root, person) for person in people}
    assert sorted([(21.0, "f"), (22.0, "m"), (30.0, "f")]) == sorted(
        (r.traits["age"], r.traits["gender"]) for r in found.values()
    )  # type: ignore[type-var]
    assert all(recording.notes == () for recording in found.values())


LIKELY = {
    "leading zeros": ("1", "01"),
    "a spreadsheet's float": ("7", "7.0"),
    "case": ("anna", "Anna"),
    "an underscore": ("sub_1", "sub-1"),
    "a blank inside": ("anna b", "annab"),
    "an invisible character": ("anna", "an\u200bna"),
    "full-width digits": ("s1", "s\uff11"),
}


@pytest.mark.parametrize("kind", LIKELY)
def test_a_row_of_another_spelling_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    """It is not taken for the participant's, and not passed over: both names are in the message."""
    name, row = LIKELY[kind]
    root = dataset(tmp_path, (name, "zoe"), f"participant,age,gender\n{row},21,f\nzoe,30,m\n")
    with pytest.raises(RecordingError) as caught:
        read(root, name)
    for part in (f"participant {name}", "traits.csv", repr(row), "row 2", "What to do: write the same name"):
        assert part in str(caught.value)
    assert read(root, "zoe").traits["age"] == 30.0


def test_both_sides_say_who_did_not_match(tmp_path: Path) -> None:
    """A participant without a row, and rows without a participant, are in what preparing says; the first also in the card."""
    root = dataset(tmp_path / "in", ("anna", "ben", "cara"), "participant,age,gender\nanna,21,f\nben,22,\ndora,33,m\n")
    (root / "notes").mkdir()
    lines: list[str] = []
    card = prepare(PrepareRequest("csv_folder", str(root), str(tmp_path / "out")), say=lines.append, where="local")
    said = "\n".join(lines)
    assert "traits.csv has rows of dora: no folder of this name holds recordings" in said
    assert "left out, no labels.csv in them: the folder(s) notes" in said
    assert {"anna": (), "ben": ("no gender in traits.csv",), "cara": ("has no row in traits.csv, so no age, gender",)} == {
        entry.name: tuple(entry.notes) for entry in card.participants
    }


REFUSED = {
    "nobody has a row": ("participant,age,gender\nS1,21,f\nS2,22,m\n", "has a row of none of the 2 participants .anna, ben.; its rows are S1, S2"),
    "a column of another case": ("participant,Age,gender\nanna,21,f\nben,22,m\n", r"lacks the column\(s\) age; it has .*; perhaps Age"),
    "no column participant": ("id,age,gender\nanna,21,f\nben,22,m\n", r"lacks the column\(s\) participant"),
    "a row without a name": ("participant,age,gender\nanna,21,f\n,22,m\n", "row 3 names no participant"),
    "a word among numbers": ("participant,age,gender\nanna,21,f\nben,thirty,m\nc,3,m\n", "column age has 'thirty' in row 3 .participant ben., exp"),
    "decimal commas": ('participant,age,gender\nanna,"21,5",f\nben,"22,5",m\n', "column age has '21,5' in row 2.*'.' as the decimal sign"),
    "a decimal comma without quotes": ("participant,age,gender\nanna,21,5,f\nben,22,m\n", "row 2 has 4 fields, the header has 3"),
    "beyond float32": ("participant,age,gender\nanna,1e308,f\nben,22,m\n", "column age has '1e308' in row 2"),
    "semicolons": ("participant;age;gender\nanna;21;f\nben;22;m\n", "separated by ';'"),
    "twice": ("participant,age,gender\nanna,21,f\n anna ,22,m\nben,3,m\n", r"names the participant in 2 rows \(2, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_wrong_table_is_refused_by_row(kind: str, tmp_path: Path) -> None:
    """Row, column and value, and what to do."""
    traits, message = REFUSED[kind]
    root = dataset(tmp_path, ("anna", "ben"), traits)
    with pytest.raises(RecordingError, match=rf"participant anna, channel traits, file .*traits\.csv: .*{message}.*What to do"):
        read(root, "anna")


def test_categories_of_another_spelling_are_told(tmp_path: Path) -> None:
    """`F` and `f` count as different, and preparing says so; codes like 18-25 stay text."""
    root = dataset(tmp_path, ("anna", "ben"), "participant,age,gender\nanna,18-25,F\nben,26-35,f\n")
    assert ("traits.csv: the trait gender has 'F', 'f', which count as different",) == CSV_FOLDER.at(root).notes
    assert read(root, "anna").traits == {"age": "18-25", "gender": "F"}


def test_traits_that_are_not_asked_for_are_told(tmp_path: Path) -> None:
    """A table that dataset.yaml does not mention is not passed over without a word."""
    root = folder(tmp_path)
    (root / "traits.csv").write_text("participant,age\nanna,1\n")
    assert ("traits.csv is not read: dataset.yaml names no traits",) == CSV_FOLDER.at(root).notes


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    """Composed and decomposed letters are one name; two folders of it are one too many."""
    root = folder(tmp_path, ("J\u00fcrgen", "Ju\u0308rgen"))
    with pytest.raises(RaylabError, match="several folders named J\u00fcrgen"):
        CSV_FOLDER.participants(root, {})


def test_names_that_differ_more_are_not_likely_the_same() -> None:
    """10 is not 1, and 100 is not 10."""
    assert [] == likely_same("10", ["1", "100", "01", "010a"])
    assert ["010", "10.0"] == likely_same("10", ["10", "010", "10.0", "1"])


def test_truth_values_stay_numbers(tmp_path: Path) -> None:
    """As pandas read them: a column of true and false is 1 and 0."""
    (tmp_path / "traits.csv").write_text("participant,smoker\na,True\nb,False\nc,\n")
    assert {"smoker": {"a": 1.0, "b": 0.0}} == read_trait_table(tmp_path / "traits.csv", ["smoker"]).values


def sessions(root: Path, names: list[str], key: str = "") -> Path:
    """Two participants with these session folders of 40 s, in each of which stress begins at 20 s."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.yaml").write_text(HEAD + STRESS + key)
    for seed, person in enumerate(("anna", "ben")):
        for number, name in enumerate(names):
            home = root / person / name
            home.mkdir(parents=True)
            (home / "eda.csv").write_text(table(samples(100 * seed + number, 40)))
            (home / "labels.csv").write_text("time_s,stress\n0,0\n20,1\n")
    return root


def test_sessions_are_in_natural_order(tmp_path: Path) -> None:
    """session_2 comes before session_10, in the recording and in the windows: calibration takes the first ones."""
    root = sessions(tmp_path / "in", [f"session_{number}" for number in range(1, 12)])
    recording = read(root, "anna")
    assert [f"session_{number}" for number in range(1, 12)] == [segment.session for segment in recording.segments]
    assert [40.0 * number for number in range(11)] == [segment.start_s for segment in recording.segments]
    assert recording.notes == ()
    prepare(PrepareRequest("csv_folder", str(root), str(tmp_path / "out")), say=lambda line: None, where="local")
    index = read_windows(Folder(tmp_path / "out")).index
    own = index.participant_index == 0
    assert sorted(index.start_s[own]) == index.start_s[own].tolist()
    assert sorted(index.segment[own]) == index.segment[own].tolist()
    assert set(range(11)) == set(index.segment[own].tolist())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["s10", "s2", "s1"], ["s1", "s2", "s10"]),
        (["10_b", "9_a", "1_z"], ["1_z", "9_a", "10_b"]),
        (["2020-11-02", "2020-9-30", "2019-12-31"], ["2019-12-31", "2020-9-30", "2020-11-02"]),
        (["00_262957", "01_107", "10_5"], ["00_262957", "01_107", "10_5"]),
        (["day1_s10", "day1_s9", "day10_s1", "day2_s1"], ["day1_s9", "day1_s10", "day2_s1", "day10_s1"]),
    ],
)
def test_natural_order(names: list[str], expected: list[str]) -> None:
    """Whole numbers count as numbers wherever they are in the name; then the order is known, and nothing is said."""
    assert (expected, "") == in_order(names, (), "anna")


def test_an_order_that_names_do_not_tell_is_told(tmp_path: Path) -> None:
    """Sessions without numbers are in the order of their names; a note says so, and how to list them."""
    root = sessions(tmp_path, ["morning", "evening"])
    recording = read(root, "anna")
    assert ["evening", "morning"] == [segment.session for segment in recording.segments]
    assert "evening, morning" in recording.notes[0]
    assert "sessions in dataset.yaml" in recording.notes[0]


def test_sessions_are_in_the_order_of_the_description(tmp_path: Path) -> None:
    """A list for all participants, or one for each; a session that is not listed is refused, a listed one may be absent."""
    root = sessions(tmp_path / "all", ["morning", "evening"], "sessions: [morning, noon, evening]\n")
    recording = read(root, "anna")
    assert ["morning", "evening"] == [segment.session for segment in recording.segments]
    assert recording.notes == ()
    each = sessions(tmp_path / "each", ["a", "b"], "sessions:\n  anna: [b, a]\n  ben: [a, b]\n")
    assert [["b", "a"], ["a", "b"]] == [[s.session for s in read(each, person).segments] for person in ("anna", "ben")]
    wrong = sessions(tmp_path / "wrong", ["morning", "evening"], "sessions: [morning]\n")
    with pytest.raises(
        RecordingError, match=r"participant anna.*evening are not under sessions in dataset\.yaml, which lists morning"
    ):
        read(wrong, "anna")


def test_sessions_without_an_order_are_refused(tmp_path: Path) -> None:
    """s1 and s01 are one number; labels beside session folders are read as neither."""
    root = sessions(tmp_path / "same", ["s1", "s01"])
    with pytest.raises(RecordingError, match="the session folders s01 and s1 have no order"):
        read(root, "anna")
    both = sessions(tmp_path / "both", ["s1", "s2"])
    (both / "anna" / "labels.csv").write_text("time_s,stress\n0,0\n")
    with pytest.raises(RecordingError, match=r"holds a labels\.csv, and so do its session folders s1, s2"):
        read(both, "anna")


def test_natural_keys_compare() -> None:
    """Any two names have an order."""
    names = ["", "1", "a", "1a", "a1", "²", "a01b2", "\u0661"]
    assert len(names) == len(sorted(names, key=natural_key))


def test_a_table_of_traits_names_missing_columns(tmp_path: Path) -> None:
    """Without rows there is nothing to join."""
    (tmp_path / "traits.csv").write_text("participant,age\n")
    with pytest.raises(TableError, match="has no rows below"):
        read_trait_table(tmp_path / "traits.csv", ["age"])
