"""raylab's folds for scikit-learn and PyTorch: the same windows, and for an equal estimator the same predictions as a run's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders.running import quiet
from builders.studies import small
from builders.windows import make_windows
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import analysis
from raylab import frame
from raylab.errors import InvalidValueError
from raylab.files import Folder
from raylab.folds.fold import Fold
from raylab.runs.run import start
from raylab.sklearn import LeaveOneParticipantOut, labelled_windows
from raylab.techniques.selection import EveryoneElse
from raylab.torch import WindowsDataset, fold_loaders
from raylab.windows.dataset import Windows, read_windows

BUDGET = 0.3


def pipeline() -> LinearDiscriminantAnalysis:
    return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))


def test_an_estimator_predicts_what_the_run_predicts(cohort: Path, tmp_path: Path) -> None:
    """LDA under the splitter and as raylab's model, non-personalized, hybrid and user-dependent: windows tested and probabilities are equal."""
    techniques = [
        "non_personalized",
        {"name": "hybrid", "budget": BUDGET, "unit": "window"},
        {"name": "user_dependent", "budget": BUDGET, "unit": "window"},
    ]
    study = small(models=[{"encoder": "lda"}], techniques=techniques, protocol={})
    start(study, str(cohort), str(tmp_path / "run"), "local", log=quiet)
    frames = analysis.load(tmp_path / "run")
    tested = frames.predictions[~frames.predictions["purged"]].merge(frames.plan[["trial", "technique"]], on="trial")
    windows = read_windows(Folder(str(cohort / "simulated")))
    data = labelled_windows(windows, "stress")
    for technique, budget, alone in (
        ("non_personalized", 0, False),
        ("hybrid", BUDGET, False),
        ("user_dependent", BUDGET, True),
    ):
        theirs = tested[tested["technique"] == technique].set_index("window")
        cv = LeaveOneParticipantOut(windows.index, "stress", calibration=budget, alone=alone)
        assert cv.get_n_splits() == theirs["participant"].nunique() == 5
        seen = []
        for train, test in cv.split(data.x):
            p = pipeline().fit(data.x[train], data.y[train]).predict_proba(data.x[test])
            np.testing.assert_allclose(p[:, 1], theirs.loc[data.window[test], "p_1"], atol=1e-6)
            np.testing.assert_array_equal(data.y[test], theirs.loc[data.window[test], "y_true"])
            seen += data.window[test].tolist()
        assert sorted(seen) == sorted(theirs.index)


def test_it_is_a_splitter_of_scikit_learn(cohort: Path) -> None:
    """``cross_val_predict`` takes it as it is."""
    windows = read_windows(Folder(str(cohort / "simulated")))
    data, cv = labelled_windows(windows, "stress"), LeaveOneParticipantOut(windows.index, "stress")
    p = cross_val_predict(pipeline(), data.x, data.y, cv=cv, method="predict_proba")
    by_hand = np.full(len(data.y), np.nan)
    for train, test in cv.split(data.x):
        assert not set(data.participants[train]) & set(data.participants[test])
        by_hand[test] = pipeline().fit(data.x[train], data.y[train]).predict_proba(data.x[test])[:, 1]
    np.testing.assert_array_equal(p[:, 1], by_hand)


def made() -> Windows:
    return make_windows(
        {"A": [0, 0, 1, 1, 0, 0, 1, 1], "B": [1, 0, 1, 0, -1, 1], "C": [0, 1, 0, 1], "D": [-1, -1], "E": [1, 0, 1]}
    )


def test_what_has_no_label_is_in_no_fold_and_overlaps_are_purged() -> None:
    """Windows of 10 s every 5 s: each calibration window takes its neighbours from the test; without the purge they are tested."""
    index = made().index
    data = labelled_windows(made(), "stress")
    assert (len(data.y), set(data.participants)) == (8 + 5 + 4 + 3, {"A", "B", "C", "E"})
    folds = {purge: LeaveOneParticipantOut(index, "stress", calibration=1, alone=True, purge=purge) for purge in (True, False)}
    assert folds[True].participants == ("A", "B", "C", "E")
    with pytest.raises(ValueError, match="leaves participant"):  # of C every window overlaps a calibration window
        list(folds[True].split())
    train, test = next(folds[True].split())
    assert (train.tolist(), test.tolist()) == ([0, 2], [4, 5, 6, 7])
    assert next(folds[False].split())[1].tolist() == [1, 3, 4, 5, 6, 7]


def test_wrong_arguments_are_refused() -> None:
    index = made().index
    with pytest.raises(InvalidValueError, match="no label joy; it has stress"):
        list(LeaveOneParticipantOut(index, "joy").split())
    with pytest.raises(InvalidValueError, match="alone=True"):
        LeaveOneParticipantOut(index, "stress", alone=True)
    with pytest.raises(InvalidValueError, match="x has 3 rows, 20 windows carry stress"):
        list(LeaveOneParticipantOut(index, "stress").split(np.zeros((3, 1))))
    with pytest.raises(InvalidValueError, match="no channel c; it has a, b"):
        WindowsDataset(made(), "stress", channels=["c"])
    with pytest.raises(InvalidValueError, match="no participant Z; it has A, B"):
        fold_loaders(made(), "stress", "Z")
    with pytest.raises(InvalidValueError, match="1 of the rows carry no stress"):
        WindowsDataset(made(), "stress", np.array([0, 12]))


def test_loaders_have_the_windows_of_the_fold() -> None:
    """Each window once, its channels as prepared; training and validation people are those of a study, and the order is that of the seed."""
    windows = made()
    fold = Fold(windows.index, "stress", "A", 0)
    split = EveryoneElse().choose(fold)
    first, again = (fold_loaders(windows, "stress", "A", batch_size=3) for _ in range(2))
    for loader, rows in zip(first, (split.train, split.validation, fold.target_windows), strict=True):
        dataset = loader.dataset
        assert isinstance(dataset, WindowsDataset)
        np.testing.assert_array_equal(dataset.rows, rows)
        signals, y = dataset[len(rows) - 1]
        np.testing.assert_array_equal(signals["b"], windows.signals["b"][rows[-1]])
        assert y == windows.index.labels["stress"][rows[-1]]
        assert sum(len(batch[1]) for batch in loader) == len(rows)
    orders = [
        torch.cat([batch[0]["a"][:, 0, 0] for batch in loaders[0]])
        for loaders in (fold_loaders(windows, "stress", "A", 3), again)
    ]
    assert torch.equal(*orders)


def test_windows_as_a_table(made: Windows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row per window with its person, class by name and traits; the statistics are those that an estimator gets, whatever the batch."""
    monkeypatch.setattr(frame, "BATCH", 7)
    table = frame.to_frame(made)
    index = made.index
    assert len(index.window) == len(table) and index.window.tolist() == table["window"].tolist()
    data = labelled_windows(made, "stress")
    labelled = table[table["stress"].notna()]
    assert data.window.tolist() == labelled["window"].tolist()
    assert data.participants.tolist() == labelled["participant"].tolist()
    assert [index.classes("stress")[number] for number in data.y] == labelled["stress"].tolist()
    statistics = [name for name in table.columns if name.split(" ")[0] in index.card.signal_channels]
    np.testing.assert_array_equal(data.x, labelled[statistics].to_numpy())
    assert "a mean" in statistics
    person = index.card.participants[0]
    own = table[table["participant"].eq(person.name)]
    assert all({value} == set(own[f"trait_{name}"]) for name, value in person.traits.items())
