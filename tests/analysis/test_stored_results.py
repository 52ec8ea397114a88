"""Stored results are checked when they are read: what was changed, damaged or cannot be is refused by trial and file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.errors import AnalysisError
from analysis.scores.scores import score
from analysis.scores.stored_files import file_digest
from benchmarks.analysis import write_run

Columns = dict[str, list[Any]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A simulated run of 18 trials; results without digests, as older versions of raylab stored them."""
    write_run(tmp_path / "run", rows=600, cells=2, variants=2, participants=3)
    return tmp_path / "run"


def with_digests(run: Path) -> Path:
    """The same run as this version stores it: every record has the digest of its predictions."""
    records = pq.read_table(run / "trials.parquet").to_pylist()
    for record in records:
        record["predictions_digest"] = file_digest((run / "predictions" / f"{record['trial']}.parquet").read_bytes())
    pq.write_table(pa.Table.from_pylist(records), run / "trials.parquet")
    return run


def trial_of(run: Path, number: int = 3) -> str:
    """The key of a trial."""
    return str(pq.read_table(run / "trials.parquet")["trial"][number])


def rewrite(run: Path, key: str, change: Callable[[Columns], None]) -> None:
    """Change the predictions of a trial."""
    path = run / "predictions" / f"{key}.parquet"
    table = pq.read_table(path)
    columns = table.to_pydict()
    change(columns)
    kinds = {"p": pa.list_(pa.float32()), "y_true": pa.int8(), "window": pa.int64()}
    pq.write_table(pa.table({name: pa.array(values, kinds.get(name)) for name, values in columns.items()}), path)


def set_p(p: list[float], row: int = 0) -> Callable[[Columns], None]:
    """Give one window these probabilities."""
    return lambda columns: columns["p"].__setitem__(row, p)


IMPOSSIBLE: dict[str, tuple[Callable[[Columns], None], str]] = {
    "NaN": (set_p([float("nan"), 0.5]), "has NaN among its probabilities for window"),
    "infinite": (set_p([float("inf"), 0.5]), "has NaN among its probabilities for window"),
    "all NaN": (lambda c: c.update(p=[[float("nan")] * 2] * len(c["p"])), "has NaN among its probabilities for window"),
    "NaN at the end": (
        lambda c: c.update(p=[[*p, float("nan")] for p in c["p"]]),
        "has NaN among its probabilities for window",
    ),
    "negative": (set_p([-0.25, 1.25]), r"has the probability -0\.25 for window"),
    "no sum of 1": (set_p([0.2, 0.3]), r"has probabilities that sum to 0\.5 for window"),
    "class": (lambda c: c["y_true"].__setitem__(1, 2), "has the class 2 for window .*, and its classes are 0 to 1"),
    "negative class": (lambda c: c["y_true"].__setitem__(1, -1), "has the class -1 for window"),
    "window twice": (lambda c: c["window"].__setitem__(1, c["window"][0]), "has the window .* twice"),
    "longer row": (set_p([0.2, 0.3, 0.5]), "has rows of 2 to 3 probabilities"),
    "rows that make up for each other": (
        lambda c: c["p"].__setitem__(slice(0, 2), [[1.0], [0.2, 0.3, 0.5]]),
        "has rows of 1 to 3",
    ),
    "missing": (lambda c: c["window"].__setitem__(1, None), "in its column window"),
    "no p": (lambda c: c.pop("p"), "cannot be read .it has no column p"),
    "another trial's": (lambda c: c.update(trial=["other"] * len(c["trial"])), "is of another trial .other"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_predictions_are_refused_by_trial_and_file(run: Path, name: str) -> None:
    """With the participant and what to remove; a table is not made from the rest."""
    change, sentence = IMPOSSIBLE[name]
    key = trial_of(run)
    rewrite(run, key, change)
    with pytest.raises(
        AnalysisError, match=rf"predictions/{key}\.parquet.*{sentence}.*; remove it, trials/{key}\.json and trials\.parquet"
    ):
        analysis.load(run)


def test_several_files_are_named_in_one_message(run: Path) -> None:
    """With all of their participants."""
    keys = [trial_of(run, number) for number in (0, 4, 8)]
    for key in keys:
        rewrite(run, key, set_p([2.0, -1.0]))
    with pytest.raises(AnalysisError) as refused:
        analysis.load(run)
    assert str(refused.value).startswith("3 files of predictions cannot be used:")
    for key, participant in zip(keys, ("P0", "P1", "P2"), strict=True):
        assert f"{key}.parquet of participant {participant} has the probability" in str(refused.value)


def test_a_flipped_bit_is_noticed(run: Path) -> None:
    """Every one of 200 single bits, wherever it is, is refused by trial and file: the digest is over the bytes."""
    with_digests(run)
    key = trial_of(run)
    path = run / "predictions" / f"{key}.parquet"
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for bit in rng.choice(8 * len(content), 200, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(flipped))
        with pytest.raises(
            AnalysisError,
            match=rf"predictions/{key}\.parquet of participant P0 is not the file that the trial's record describes",
        ):
            analysis.load(run)
    path.write_bytes(content)
    assert len(score(analysis.load(run)))


def test_a_changed_class_is_noticed_without_digests(run: Path) -> None:
    """The other trials of the participant have the same windows and say what they are; the trial that differs is named."""
    key = trial_of(run)
    rewrite(run, key, lambda columns: columns.update(y_true=[1 - y for y in columns["y_true"]]))
    with pytest.raises(AnalysisError, match=rf"predictions/{key}\.parquet of participant P0 says that window .* is of class"):
        analysis.load(run)


def test_some_flipped_bits_are_noticed_without_digests(run: Path) -> None:
    """A file from before digests: values beyond the range in its footer. What is not noticed changes nothing that is impossible."""
    key = trial_of(run)
    path = run / "predictions" / f"{key}.parquet"
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for bit in rng.choice(8 * len(content), 100, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(flipped))
        try:
            assert np.isfinite(analysis.load(run).predictions[["p_0", "p_1"]].to_numpy()).all()
        except AnalysisError as error:
            refused += key in str(error)
    assert refused > 30


def test_files_of_other_trials_are_noticed(run: Path) -> None:
    """Two files that changed places."""
    with_digests(run)
    one, other = (run / "predictions" / f"{trial_of(run, number)}.parquet" for number in (0, 1))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    with pytest.raises(AnalysisError, match="2 files of predictions cannot be used"):
        analysis.load(run)


def test_results_without_digests_are_read_with_a_note(run: Path) -> None:
    """The same tables; the note says how many, and is gone when all have one."""
    before = analysis.load(run)
    assert before.notes[-1].startswith("18 of 18 trials were stored before raylab kept digests")
    after = analysis.load(with_digests(run))
    assert ("Simulated predictions.",) == after.notes
    assert score(before).equals(score(after))


def provenance(run: Path, **changes: Any) -> None:
    """Write these fields into the run's provenance."""
    path = run / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_classes_of_the_label_are_compared(run: Path) -> None:
    """Two probabilities for a label of three classes; the number of windows that the record counts."""
    provenance(run, classes={"simulated0": {"label0": ["a", "b", "c"]}})
    with pytest.raises(AnalysisError, match=r"has probabilities of 2 classes, and label0 has 3 \(a, b, c\)"):
        analysis.load(run)


def test_the_number_of_windows_is_compared(run: Path) -> None:
    """A record that counts more than are stored: rows were lost."""
    records = pq.read_table(run / "trials.parquet").to_pylist()
    for record in records:
        record["n_test"] = None
    records[2]["n_test"] = 7
    pq.write_table(pa.Table.from_pylist(records), run / "trials.parquet")
    with pytest.raises(AnalysisError, match=rf"predictions/{records[2]['trial']}.* windows to score, and the trial's record 7"):
        analysis.load(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"notes": "text"},
        {"notes": [1]},
        {"primary_metric": "luck"},
        {"primary_metric": []},
        {"classes": []},
        {"classes": {"d": ["a"]}},
        {"classes": {"d": {"l": "ab"}}},
    ],
)
def test_a_provenance_of_something_else_is_named(run: Path, changes: dict[str, Any]) -> None:
    """With the remedy."""
    provenance(run, **changes)
    with pytest.raises(
        AnalysisError, match=r"provenance.json is damaged, or of another version of raylab: .*; start the run again"
    ):
        analysis.load(run)


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"[" * 100_000, None])
def test_a_provenance_that_is_no_object_is_named(run: Path, content: bytes | None) -> None:
    """Also one that is not there."""
    path = run / "provenance.json"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(AnalysisError, match=r"provenance.json is (damaged|missing)"):
        analysis.load(run)


def as_objects(run: Path) -> dict[str, dict[str, Any]]:
    """The records as small files, as a run has them before it gathers them; by key."""
    records = {record["trial"]: record for record in pq.read_table(run / "trials.parquet").to_pylist()}
    (run / "trials.parquet").unlink()
    (run / "trials").mkdir()
    for key, record in records.items():
        (run / "trials" / f"{key}.json").write_text(json.dumps(record))
    return records


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"seed": "0"}, "its seed is '0', not a whole number"),
        ({"seed": True}, "its seed is 'True', not a whole number"),
        ({"status": "paused"}, "its status is 'paused', not one of ok, failed, blocked, missing"),
        ({"participant": None}, "its participant is 'None', not text"),
        ({"n_test": "many"}, "its n_test is 'many', not a number"),
        ({"trial": "0000"}, "it is the record of another trial"),
        ("without", "it has no variant"),
        ([1], "it is no object"),
        ("text", "is damaged"),
    ],
)
def test_a_record_that_cannot_be_read_is_left_out_with_a_sentence(run: Path, record: Any, sentence: str) -> None:
    """A newer raylab's, or a damaged one; the others are read."""
    records = as_objects(run)
    key = next(iter(records))
    whole = records[key]
    if isinstance(record, dict):
        content = json.dumps(whole | record)
    elif record == "without":
        content = json.dumps({name: value for name, value in whole.items() if name != "variant"})
    else:
        content = "{" if record == "text" else json.dumps(record)
    (run / "trials" / f"{key}.json").write_text(content)
    frames = analysis.load(run)
    assert 17 == len(frames.trials)
    notes = [note for note in frames.notes if note.startswith(f"trials/{key}.json is left out: ")]
    assert len(notes) == 1
    assert sentence in notes[0]


def test_a_record_with_fields_of_a_newer_raylab_is_read(run: Path) -> None:
    """What this one does not know is passed over."""
    records = as_objects(run)
    key = next(iter(records))
    (run / "trials" / f"{key}.json").write_text(json.dumps(records[key] | {"energy": 3, "more": {"a": [1]}}))
    assert 18 == len(analysis.load(run).trials)


def test_records_that_name_another_trial_than_the_plan_are_refused(run: Path) -> None:
    """A flipped letter of a participant would move a trial to another one."""
    records = as_objects(run)
    key = next(iter(records))
    (run / "trials" / f"{key}.json").write_text(json.dumps(records[key] | {"participant": "P1"}))
    with pytest.raises(AnalysisError, match=rf"trials/{key}.json has participant 'P1', the plan 'P0'.*start the run again"):
        analysis.load(run)


@pytest.mark.parametrize("name", ["plan.parquet", "trials.parquet"])
@pytest.mark.parametrize("damage", ["cut", "no table", "other columns"])
def test_damaged_tables_are_named_with_the_remedy(run: Path, name: str, damage: str) -> None:
    """The plan is written anew by the next start; the records are in their small files as well."""
    path = run / name
    if damage == "other columns":
        pq.write_table(pa.table({"x": [1]}), path)
    else:
        path.write_bytes(path.read_bytes()[:100] if damage == "cut" else b"PAR1")
    with pytest.raises(
        AnalysisError, match=rf"{name} cannot be read \(.*\); (start the run again|remove it: the same records are in trials/)"
    ):
        analysis.load(run)


def test_a_plan_with_a_trial_twice_is_refused(run: Path) -> None:
    """Every row of a table would count twice."""
    rows = pq.read_table(run / "plan.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist([*rows, rows[0]]), run / "plan.parquet")
    with pytest.raises(AnalysisError, match=r"plan.parquet has the trial .* twice"):
        analysis.load(run)


def test_damaged_participants_and_transcripts_are_named(run: Path) -> None:
    """Both are written anew by the next start."""
    for content in (
        '[{"dataset": "d"}]',
        "[1]",
        "5",
        '[{"dataset": 1, "label": 2, "participant": 3, "traits": [], "windows": 4}]',
    ):
        (run / "participants.json").write_text(content)
        with pytest.raises(
            AnalysisError, match=r"participants.json is damaged, or of another version of raylab .*start the run again"
        ):
            analysis.load(run)
    (run / "participants.json").unlink()
    pq.write_table(pa.table({"dataset": ["d"]}), run / "transcripts.parquet")
    with pytest.raises(AnalysisError, match=r"transcripts.parquet cannot be read \(it has no column window, transcript"):
        analysis.load(run)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("p_0", float("nan"), "NaN among its probabilities"),
        ("p_0", -0.1, "a probability below 0 or above 1"),
        ("p_0", 0.99999, "probabilities that do not sum to 1"),
        ("y_true", 2, "a class that its label does not have"),
    ],
)
def test_frames_that_came_another_way_are_checked_too(run: Path, column: str, value: float, problem: str) -> None:
    """``score`` takes any predictions."""
    frames = analysis.load(run)
    frames.predictions.loc[5, column] = value
    if column == "p_0":
        frames.predictions.loc[5, "p_1"] = 0.5
    with pytest.raises(AnalysisError, match=f"has {problem} for window"):
        score(frames)


def test_a_trial_of_nan_alone_has_no_score(run: Path) -> None:
    """It was AUROC 0.5 once."""
    frames = analysis.load(run)
    rows = frames.predictions["trial"] == frames.trials["trial"].iloc[0]
    frames.predictions.loc[rows, ["p_0", "p_1"]] = float("nan")
    with pytest.raises(AnalysisError, match=f"trial {frames.trials['trial'].iloc[0]} has NaN among its probabilities"):
        score(frames)


def test_a_window_that_is_predicted_twice_has_no_score(run: Path) -> None:
    """It would count twice."""
    frames = analysis.load(run)
    frames.predictions.loc[1, "window"] = frames.predictions.loc[0, "window"]
    with pytest.raises(AnalysisError, match="has a second prediction for window"):
        score(frames)
