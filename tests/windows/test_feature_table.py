"""A user's own table of features: matched to windows by participant and start, missing where it has nothing, refused where it is not clear."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.recordings import MAJORITY, PAPER, recording, segment

from raylab.errors import RecordingError
from raylab.files import Folder
from raylab.recordings import Recording
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import read_windows
from raylab.windows.feature_table import CHANNEL, FeatureTable
from raylab.windows.segmentation import ParticipantWindows, cut

OPTIONS = {"participants": 3, "minutes": 5}


def windows_of(one: Recording) -> ParticipantWindows:
    return cut(one, [MAJORITY], PAPER)


def table(one: Recording, **columns: object) -> pd.DataFrame:
    """One row a window, in no order; the feature ``double`` is twice the start."""
    starts = windows_of(one).start_s
    rows = pd.DataFrame({"participant": one.participant, "start_s": starts, "double": 2 * starts, **columns})
    return rows.sample(frac=1, random_state=0)


def write(rows: pd.DataFrame, path: Path) -> FeatureTable:
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path)
    return FeatureTable(str(path), 30.0)


@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet"])
def test_rows_find_their_windows(tmp_path: Path, name: str) -> None:
    """Whatever the order of the rows; starts rounded to two decimals are found; a window without a row, and an empty cell, are missing."""
    one = recording(segment(90.0))
    rows = table(one, other=1.0).assign(start_s=lambda t: t["start_s"].round(2)).iloc[1:]
    rows.iloc[0, rows.columns.get_loc("other")] = np.nan
    lost = np.setdiff1d(windows_of(one).start_s.round(2), rows["start_s"])
    found = write(rows, tmp_path / name).of(one, windows_of(one), PAPER.window_s)

    starts, values = windows_of(one).start_s, found.signals[CHANNEL][:, 0]
    there = ~np.isin(starts.round(2), lost)
    np.testing.assert_allclose(values[there, 0], 2 * starts[there], atol=0.02)
    assert np.isnan(values[~there]).all()
    assert found.missing == {CHANNEL: {"double": 1, "other": 2}}
    (card,) = found.cards
    assert (card.feature_names, card.modality, card.reach_s, card.sources) == (("double", "other"), "features", 30.0, ())


def test_sessions_keep_equal_starts_apart(tmp_path: Path) -> None:
    one = recording(segment(60.0), segment(60.0, 100.0))
    windows = windows_of(one)
    rows = table(one).assign(session=lambda t: np.where(t["start_s"] < 100, "from 0 s", "from 100 s"))
    again = rows.assign(session="never recorded", double=-1.0)
    found = write(pd.concat([rows, again]), tmp_path / "mine.csv").of(one, windows, PAPER.window_s)
    np.testing.assert_allclose(found.signals[CHANNEL][:, 0, 0], 2 * windows.start_s)


def test_what_is_not_clear_is_refused(tmp_path: Path) -> None:
    """By file, participant and remedy: no row of a participant, two of a window, no start, none that fits, text, no feature, no file."""
    one = recording(segment(90.0))
    rows = table(one)
    wrong = {
        "has no row of the participant": rows.assign(participant="somebody"),
        "has two rows that begin at": pd.concat([rows, rows.iloc[:1]]),
        "has 1 rows without start_s": pd.concat([rows, rows.iloc[:1].assign(start_s=np.nan)]),
        "begins where a window begins": rows.assign(start_s=rows["start_s"] + 2.5),
        "mood": rows.assign(mood="good"),
        "lacks the column": rows.rename(columns={"start_s": "begin"}),
        "has 0 columns of features": rows[["participant", "start_s"]],
        "may be an index": rows.assign(**{"Unnamed: 0": range(len(rows))}),
    }
    for number, (problem, frame) in enumerate(wrong.items()):
        for suffix in ("csv", "parquet"):
            path = tmp_path / f"{number}.{suffix}"
            with pytest.raises(RecordingError, match=problem) as refused:
                write(frame, path).of(one, windows_of(one), PAPER.window_s)
            assert str(path) in str(refused.value)
            assert one.participant in str(refused.value)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RecordingError, match="cannot be read as Parquet"):
        FeatureTable(str(tmp_path / "torn.parquet")).of(one, windows_of(one), PAPER.window_s)
    with pytest.raises(RecordingError, match="is no file"):
        FeatureTable(str(tmp_path / "none.csv")).of(one, windows_of(one), PAPER.window_s)


def test_prepared_windows_hold_the_table(tmp_path: Path) -> None:
    """Prepared twice: starts are read from the first windows, features computed from them come back in the second, and signals are equal."""
    first, second = (PrepareRequest("simulated", ".", str(tmp_path / out), options=OPTIONS) for out in ("first", "second"))
    prepare(first, say=lambda line: None, where="local")
    index = read_windows(Folder(first.out)).index
    names = np.array(index.participants)[index.participant_index]
    rows = pd.DataFrame({"participant": names, "start_s": index.start_s, "mine": index.start_s / 7})
    lines: list[str] = []
    request = PrepareRequest(
        "simulated", ".", second.out, options=OPTIONS, feature_table=write(rows.iloc[1:], tmp_path / "mine.parquet")
    )
    card = prepare(request, say=lines.append, where="local")

    windows = read_windows(Folder(second.out))
    np.testing.assert_allclose(windows.signals[CHANNEL][1:, 0, 0], index.start_s[1:] / 7, rtol=1e-6)
    assert card.missing_share(CHANNEL, "mine") == 1 / len(rows)
    assert any("mine.parquet" in line for line in lines)
    for name, values in read_windows(Folder(first.out)).signals.items():
        np.testing.assert_array_equal(values, windows.signals[name])
