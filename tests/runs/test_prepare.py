"""What `raylab prepare` leaves on disk, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.recordings import MAJORITY, PAPER, recording, segment
from builders.wesad_subject import wesad_content, write_wesad
from ray.data import DataContext

from raylab.errors import RaylabError, RecordingError
from raylab.files import Folder, within
from raylab.recordings.simulated import SIMULATED
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import PER_PARTICIPANT, fingerprint_of, read_card, read_index, read_windows, to_table
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut


def quiet(line: str) -> None:
    """Takes what prepare says."""


SMALL = {"participants": 5, "minutes": 3, "seed": 3}  # the options of the cohort fixture


def _cut_person(name: str) -> ParticipantWindows:
    person = SIMULATED.read(Path(), name, {**SIMULATED.options, **SMALL})
    return cut(person, [SIMULATED.label("stress")], PAPER)


def test_prepared_windows_are_the_cut_ones(cluster: None, cohort: Path, tmp_path: Path) -> None:
    """What prepare stored through Ray equals, to the bit, what cutting each person here gives, and its card what is prepared here.

    The settings of Ray Data stay those of whoever uses it in this process.
    """
    settings = vars(DataContext.get_current().copy())
    card = prepare(PrepareRequest("simulated", ".", str(tmp_path), options=SMALL), say=quiet)
    assert card == read_card(Folder(cohort / "simulated"))
    assert settings == vars(DataContext.get_current())
    windows = read_windows(Folder(tmp_path))
    assert windows.index.participants == ("P01", "P02", "P03", "P04", "P05")
    for number in (0, 3):
        made, rows = _cut_person(windows.index.participants[number]), windows.index.participant_index == number
        np.testing.assert_array_equal(windows.index.start_s[rows], made.start_s, strict=True)
        np.testing.assert_array_equal(windows.index.segment[rows], made.segment, strict=True)
        np.testing.assert_array_equal(windows.index.labels["stress"][rows], made.labels["stress"], strict=True)
        assert list(windows.signals) == list(made.signals)
        for name, signal in made.signals.items():
            np.testing.assert_array_equal(windows.signals[name][rows], signal, strict=True)


def test_index_alone_equals_the_windows_index(cohort: Path) -> None:
    """Planning reads the same index as training does."""
    alone, whole = read_index(Folder(cohort / "simulated")), read_windows(Folder(cohort / "simulated")).index
    assert (alone.card, alone.participants) == (whole.card, whole.participants)
    for name in ("window", "participant_index", "segment", "start_s"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name), strict=True)
    np.testing.assert_array_equal(alone.labels["stress"], whole.labels["stress"], strict=True)


def test_window_ids_name_person_and_position(cohort: Path) -> None:
    """A window's id is its participant's position times a million plus its position in time."""
    index = read_index(Folder(cohort / "simulated"))
    expected = [person * PER_PARTICIPANT + i for person, n in enumerate(np.bincount(index.participant_index)) for i in range(n)]
    assert index.window.tolist() == expected
    assert all((np.diff(index.start_s[index.participant_index == person]) > 0).all() for person in range(5))


def test_card_describes_what_is_stored(cohort: Path) -> None:
    """The card names dataset, preprocessing, classes and traits, and counts the windows that are there."""
    index = read_index(Folder(cohort / "simulated"))
    assert (index.name, index.window_s, index.classes("stress")) == ("simulated", 10.0, ("calm", "stress"))
    assert (index.card.preprocessing, index.card.kind) == (PAPER, "signals")
    assert set(index.traits("P02")) == set(SIMULATED.traits)
    assert [entry.windows for entry in index.card.participants] == np.bincount(index.participant_index).tolist()
    counts = [entry.counts["stress"] for entry in index.card.participants]
    stress = [int(index.labels["stress"][index.participant_index == person].sum()) for person in range(5)]
    assert [count["stress"] for count in counts] == stress
    lengths = {channel.name: (channel.length, channel.rate_hz) for channel in index.card.channels}
    assert lengths == {"ecg": (640, 64.0), "ppg": (640, 64.0), "eda": (40, 4.0), "rsp": (80, 8.0)}


def test_fingerprint_follows_every_column() -> None:
    """The digest repeats, and any changed signal, label, time or session changes it."""
    made = cut(recording(segment(60)), [MAJORITY], PAPER)
    columns = ["window", "session", "segment", "start_s", "y_stress", "bvp", "acc", "eda"]

    def digest(one: ParticipantWindows, number: int = 0) -> str:
        return fingerprint_of(to_table(one, "P1", number, ["stress"]), columns)

    moved = made.signals["eda"].copy()
    moved[0, 0, 0] += np.float32(1e-6)
    changed = [
        replace(made, signals={**made.signals, "eda": moved}),
        replace(made, labels={"stress": 1 - made.labels["stress"]}),
        replace(made, start_s=made.start_s + 1),
        replace(made, sessions=["other", *made.sessions[1:]]),
    ]
    found = [digest(made), digest(made, number=1), *(digest(one) for one in changed)]
    assert digest(made) == found[0]
    assert len(set(found)) == len(found)


@pytest.fixture
def copied(cohort: Path, tmp_path: Path) -> Path:
    """A copy of the cohort's windows to spoil."""
    return Path(shutil.copytree(cohort / "simulated", tmp_path / "simulated"))


def _files(folder: Path, participant: str) -> list[Path]:
    return sorted((folder / f"participant={participant}").glob("*.parquet"))


def _replaced(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


@pytest.mark.parametrize("how", ["value", "label", "row lost", "row added", "file lost", "damaged"])
def test_changed_windows_are_refused_by_name(copied: Path, how: str) -> None:
    """A changed, added, lost or damaged row or file is noticed, and the participant is named."""
    file = _files(copied, "P03")[0]
    table = pq.ParquetFile(file).read()
    if how == "value":
        values = table["eda"].to_pylist()
        values[2][5] += 1e-3
        table = _replaced(table, "eda", values)
    elif how == "label":
        table = _replaced(table, "y_stress", [1 - value for value in table["y_stress"].to_pylist()])
    if how == "file lost":
        file.unlink()
    elif how == "damaged":
        file.write_bytes(file.read_bytes()[:200])
    elif how == "row added":
        pq.write_table(table.slice(0, 1), file.with_name("more.parquet"))
    else:
        pq.write_table(table.slice(1) if how == "row lost" else table, file)
    with pytest.raises(RaylabError, match=r"participant P03.*prepare the dataset again"):
        read_windows(Folder(copied))


def test_missing_participant_is_named(copied: Path) -> None:
    """A participant's folder that is gone is named, by the windows and by an index that is read from them for want of its own file."""
    shutil.rmtree(copied / "participant=P04")
    (copied / "index.parquet").unlink()
    for read in (read_index, read_windows):
        with pytest.raises(RaylabError, match="windows of participant P04 are missing; prepare the dataset again"):
            read(Folder(copied))


def test_missing_card_says_how_to_prepare(copied: Path) -> None:
    """A folder without a card was not prepared, or half; the message is the command to run."""
    (copied / "card.json").unlink()
    with pytest.raises(RaylabError, match=r"holds no prepared windows \(no card\.json\); run: raylab prepare"):
        read_card(Folder(copied))


def test_other_format_is_refused(copied: Path) -> None:
    """A card of another format is refused with the format that this raylab reads."""
    card = json.loads((copied / "card.json").read_text())
    (copied / "card.json").write_text(json.dumps({**card, "format": 2}))
    with pytest.raises(RaylabError, match="has format 2, this raylab reads 1"):
        read_card(Folder(copied))


# --- preparing ---------------------------------------------------------------------------------------------------


def simulated(out: Path, **more: Any) -> PrepareRequest:
    return PrepareRequest("simulated", ".", str(out), **{"options": SMALL, **more})


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    """Preparing into a folder that holds something else is refused and removes nothing, even with overwrite."""
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RaylabError, match="is not empty and holds no windows; give another --out"):
            prepare(simulated(tmp_path), overwrite=overwrite, say=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_prepared_once(copied: Path) -> None:
    """Preparing again into finished windows is refused, and leaves them readable."""
    with pytest.raises(RaylabError, match=r"holds prepared windows already.*--overwrite"):
        prepare(simulated(copied), say=quiet)
    assert len(read_windows(Folder(copied)).index.participants) == 5


def test_overwriting_replaces_everything(copied: Path) -> None:
    """With overwrite, other options replace all windows; nobody of the old cohort stays and no notes are left."""
    said: list[str] = []
    order = simulated(copied, options={**SMALL, "participants": 4, "minutes": 2}, exclude=("P02",))
    card = prepare(order, overwrite=True, say=said.append, where="local")
    assert read_windows(Folder(copied)).index.participants == ("P01", "P03", "P04")
    assert sorted(path.name for path in copied.iterdir()) == [
        "card.json",
        "index.parquet",
        "participant=P01",
        "participant=P03",
        "participant=P04",
    ]
    assert card.fingerprint in said[-1] and "over 3 people" in said[-1]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"exclude": ("P09", "P01")}, "--exclude names P09; simulated has P01, P02, P03, P04, P05"),
        ({"options": {"people": 3}}, r"simulated has no option people \(it has participants, minutes"),
        ({"labels": ("joy",)}, "simulated has no label 'joy'; it offers stress"),
        ({"preprocessing": Preprocessing(normalization="baseline_condition")}, "simulated declares no baseline condition"),
        ({"exclude": tuple(f"P0{i}" for i in range(1, 6))}, "exclude"),
    ],
)
def test_impossible_orders_are_refused(tmp_path: Path, more: dict[str, Any], what: str) -> None:
    """An unknown participant, option or label, or nobody left, is refused with what there is; nothing is written."""
    with pytest.raises((RaylabError, ValueError), match=what):
        prepare(simulated(tmp_path / "out", **more), say=quiet)
    assert not (tmp_path / "out").exists()


def test_a_baseline_condition_is_the_datasets_own(tmp_path: Path) -> None:
    """WESAD's code 1 scales the windows of the other conditions, and the card says so; the label that is about it is refused, before anything is
    written."""
    content = wesad_content(seconds=60)
    content["label"] = np.repeat(np.array([1, 3, 2], dtype=np.int32), 20 * 700)
    write_wesad(tmp_path / "in", content)
    way = Preprocessing(normalization="baseline_condition")
    order = PrepareRequest("wesad", str(tmp_path / "in"), str(tmp_path / "out"), preprocessing=way)
    card = prepare(order, say=quiet, where="local")
    assert card.preprocessing.as_dict()["baseline"] == {"track": "condition", "code": 1, "first_run": False}
    assert "needs to know when the held-out person was at rest" in card.caution
    windows = read_windows(Folder(tmp_path / "out"))
    assert windows.index.start_s.tolist() == [20, 25, 30, 35, 40, 45]
    eda = content["signal"]["wrist"]["EDA"]
    low, span = eda[:80].min(), np.ptp(eda[:80])
    np.testing.assert_allclose(windows.signals["wrist_eda"][2], (eda[120:160] - low) / span, atol=1e-6)
    for label in ("stress_baseline", "three_class"):
        with pytest.raises(RaylabError, match=rf"class baseline of label {label} is the baseline condition itself"):
            prepare(replace(order, labels=(label,), out=str(tmp_path / label)), say=quiet)
        assert not (tmp_path / label).exists()


def test_missing_root_is_refused(tmp_path: Path) -> None:
    """A dataset that needs files says so when its folder is missing."""
    with pytest.raises(RecordingError, match=r"absent: is no folder.*--root"):
        prepare(PrepareRequest("wesad", str(tmp_path / "absent"), str(tmp_path / "out")), say=quiet)


def test_every_problem_is_named_at_once(cluster: None, tmp_path: Path) -> None:
    """Two broken participants of three are both named, no card is written, and after repair the same command works."""
    root, out = tmp_path / "wesad", tmp_path / "out"
    for number, name in enumerate(("S2", "S3", "S4")):
        write_wesad(root, wesad_content(name, seed=number), name)
    whole = (root / "S3/S3.pkl").read_bytes()
    (root / "S3/S3.pkl").write_bytes(whole[:5000])
    spoilt = wesad_content("S4", seed=2)
    spoilt["signal"]["wrist"]["EDA"][7] = np.nan
    write_wesad(root, spoilt, "S4")
    order = PrepareRequest("wesad", str(root), str(out))
    with pytest.raises(RaylabError) as refusal:
        prepare(order, say=quiet)
    message = str(refusal.value)
    assert message.startswith("nothing was prepared:")
    assert "participant S3, file" in message and "cannot be unpickled" in message
    assert "participant S4, channel wrist_eda" in message and "the first at 1.75 s" in message
    assert "participant S2" not in message
    with pytest.raises(RaylabError, match="holds no prepared windows"):
        read_card(Folder(out))
    (root / "S3/S3.pkl").write_bytes(whole)
    write_wesad(root, wesad_content("S4", seed=2), "S4")
    prepare(order, say=quiet)
    index = read_index(Folder(out))
    assert np.bincount(index.participant_index).tolist() == [6, 6, 6]
    assert index.labels["stress"].tolist() == [0, 0, 0, 1, 1, 1] * 3, "the tied window takes code 2"


def test_participants_with_other_channels_are_named(tmp_path: Path) -> None:
    """A cohort where one person has other devices is refused with that person and the option that helps."""
    for name, devices in (("S2", ("wrist",)), ("S3", ("chest", "wrist"))):
        write_wesad(tmp_path / "wesad", wesad_content(name, devices=devices), name)
    order = PrepareRequest("wesad", str(tmp_path / "wesad"), str(tmp_path / "out"))
    with pytest.raises(RaylabError, match=r"participant\(s\) S3 have other channels.*than S2.*--option"):
        prepare(order, say=quiet, where="local")


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "s3://bucket/x", "link", "link/x", "deep/link"]
)
def test_within_refuses_what_leaves_the_root(tmp_path: Path, name: str) -> None:
    """Absolute paths, URIs, ``..`` and links out of the root are refused by name."""
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    (root / "deep" / "link").symlink_to("/etc")
    with pytest.raises(ValueError, match=name):
        within(root, name)


def test_within_gives_paths_inside(tmp_path: Path) -> None:
    """A name inside is joined to the root, on disk as in an object store, and names that only look like ``..`` pass."""
    assert within(tmp_path, "a/b.txt") == f"{tmp_path.resolve()}/a/b.txt"
    assert within(tmp_path, "a..b/c") == f"{tmp_path.resolve()}/a..b/c"
    assert within("s3://bucket/data/", "a/b.txt") == "s3://bucket/data/a/b.txt"
    with pytest.raises(ValueError, match="leaves its folder"):
        within("s3://bucket/data", "../other")


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A write that fails half way leaves what was there, and no partial file."""
    folder = Folder(tmp_path)
    folder.write("notes/a.json", b"old")
    not_bytes: Any = object()
    for spoilt in (lambda: folder.write("notes/a.json", not_bytes), lambda: folder.write_table("notes/a.json", not_bytes)):
        with pytest.raises((TypeError, AttributeError)):
            spoilt()
    assert {path.name: path.read_bytes() for path in (tmp_path / "notes").iterdir()} == {"a.json": b"old"}


def test_json_without_nan(tmp_path: Path) -> None:
    """JSON comes back as written, and NaN, which no other reader knows, is refused before anything is written."""
    folder = Folder(tmp_path)
    folder.write_json("a.json", {"b": [1, 2.5, None], "a": "ü"})
    assert folder.read_json("a.json") == {"b": [1, 2.5, None], "a": "ü"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("b.json", float("nan"))
    assert folder.names("") == ["a.json"]


def test_folder_lists_and_removes(tmp_path: Path) -> None:
    """Files and sub-folders are listed apart and sorted, by suffix; removing what is absent does nothing."""
    folder = Folder(f"file://{tmp_path}")
    for name in ("b.json", "a.json", "c.txt", "sub/d.json"):
        folder.write(name, b"x")
    assert folder.names("", ".json") == ["a.json", "b.json"]
    assert (folder.folders(""), folder.names("absent"), folder.folders("absent")) == (["sub"], [], [])
    assert folder.sub("sub").read("d.json") == b"x"
    for name in ("sub", "a.json", "absent"):
        folder.remove(name)
    assert (folder.names(""), folder.exists("sub")) == (["b.json", "c.txt"], False)


# --- golden: the real WESAD --------------------------------------------------------------------------------------


@pytest.mark.real
def test_wesad_windows_are_the_golden_ones(cluster: None, real_data: Path, tmp_path: Path) -> None:
    """3,108 windows over 15 people (S2 196, S17 219), and S2's equal the golden ones to 1e-5, channel by channel."""
    prepare(PrepareRequest("wesad", str(real_data / "wesad"), str(tmp_path / "wesad")), say=quiet)
    windows = read_windows(Folder(tmp_path / "wesad"))
    counts = dict(zip(windows.index.participants, np.bincount(windows.index.participant_index).tolist(), strict=True))
    assert (sum(counts.values()), len(counts), counts["S2"], counts["S17"]) == (3108, 15, 196, 219)
    rows = windows.index.participant_index == windows.index.participants.index("S2")
    with np.load(real_data / "golden" / "wesad_wrist_S2.npz") as golden:
        np.testing.assert_array_equal(windows.index.labels["stress"][rows], golden["y"])
        names = [channel.name for channel in windows.index.card.channels]
        assert names == ["wrist_acc_x", "wrist_acc_y", "wrist_acc_z", "wrist_bvp", "wrist_eda", "wrist_temp"]
        for number, name in enumerate(names):
            np.testing.assert_allclose(windows.signals[name][rows][:, :, 0], golden[f"x_{number}"], rtol=0, atol=1e-5)
