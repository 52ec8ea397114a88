"""Classifiers of scikit-learn in a whole study: a run predicts what the estimator predicts by hand, on Ray's workers too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builders.plugins import tables_restored
from builders.running import quiet
from builders.scikit_learn_plugin import scikit_learn_plugin
from builders.studies import small
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import analysis
from raylab import plugins
from raylab.files import Folder
from raylab.models.registry import CLASSICAL_MODELS
from raylab.runs.run import start
from raylab.sklearn import LeaveOneParticipantOut, labelled_windows
from raylab.training.stage_store import StageStore
from raylab.trials.study import Study
from raylab.windows.dataset import read_windows

BUDGET = 0.3
TECHNIQUES = [
    "non_personalized",
    {"name": "hybrid", "budget": BUDGET, "unit": "window"},
    {"name": "user_dependent", "budget": BUDGET, "unit": "window"},
]


@pytest.fixture(autouse=True)
def new_process(tmp_path: Path) -> Iterator[None]:
    """The plugin is entered for the test alone."""
    with tables_restored():
        plugins.enter_files([scikit_learn_plugin(tmp_path)])
        yield


def _study(*models: str) -> Study:
    return small(models=[{"encoder": name} for name in models], techniques=TECHNIQUES, protocol={})


def test_an_estimator_predicts_by_hand_what_it_predicts_in_a_run(cohort: Path, tmp_path: Path) -> None:
    """Under the splitter and as a model of a study, for three techniques: windows tested, labels and probabilities are equal."""
    start(_study("neighbours"), str(cohort), str(tmp_path / "run"), "local", log=quiet)
    frames = analysis.load(tmp_path / "run")
    assert {"ok"} == set(frames.trials["status"])
    tested = frames.predictions[~frames.predictions["purged"]].merge(frames.plan[["trial", "technique"]], on="trial")
    windows = read_windows(Folder(str(cohort / "simulated")))
    data = labelled_windows(windows, "stress")
    for technique, budget, alone in (
        ("non_personalized", 0, False),
        ("hybrid", BUDGET, False),
        ("user_dependent", BUDGET, True),
    ):
        theirs = tested[tested["technique"] == technique].set_index("window")
        seen = []
        for train, test in LeaveOneParticipantOut(windows.index, "stress", calibration=budget, alone=alone).split(data.x):
            estimator = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(data.x[train], data.y[train])
            p = estimator.predict_proba(data.x[test])
            np.testing.assert_allclose(p[:, 1], theirs.loc[data.window[test], "p_1"], atol=1e-7)
            np.testing.assert_array_equal(data.y[test], theirs.loc[data.window[test], "y_true"])
            seen += data.window[test].tolist()
        assert sorted(seen) == sorted(theirs.index)


def test_a_pipeline_is_what_it_is_by_hand(cohort: Path, tmp_path: Path) -> None:
    """scikit-learn's logistic regression by a plugin, raylab's ``logistic``, and by hand: one result."""
    (tmp_path / "same.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nfrom raylab.sklearn import ScikitLearnModel\n"
        "CLASSICAL_MODELS = (ScikitLearnModel('theirs', 'the same', estimator=LogisticRegression(max_iter=2000)),)\n"
    )
    plugins.enter_files([tmp_path / "same.py"])
    start(_study("theirs", "logistic"), str(cohort), str(tmp_path / "run"), "local", log=quiet)
    frames = analysis.load(tmp_path / "run")
    labelled = frames.predictions.merge(frames.plan[["trial", "technique", "model"]], on="trial")
    table = labelled.pivot_table(index=["technique", "window"], columns="model", values="p_1")
    np.testing.assert_allclose(table["theirs"], table["logistic"], atol=1e-6)
    windows = read_windows(Folder(str(cohort / "simulated")))
    data = labelled_windows(windows, "stress")
    train, test = next(LeaveOneParticipantOut(windows.index, "stress").split(data.x))
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(data.x[train], data.y[train])
    theirs = table.xs("non_personalized")["theirs"].loc[data.window[test]]
    np.testing.assert_allclose(by_hand.predict_proba(data.x[test])[:, 1], theirs, atol=1e-6)


def test_a_run_is_resumed_from_its_stages(cohort: Path, tmp_path: Path) -> None:
    """The second start trains nothing; another parameter trains the plugin's models anew."""
    study, run, lines = _study("linear_machine", "nearest_mean"), tmp_path / "run", list[str]()
    first = start(study, str(cohort), str(run), "local", log=quiet)
    stages = StageStore(Folder(str(run))).hashes()
    assert first.trainings_completed == start(study, str(cohort), str(run), "local", log=quiet).trainings_completed
    assert stages == StageStore(Folder(str(run))).hashes() and len(stages) == first.stages_needed
    plugin = tmp_path / "estimators.py"
    plugin.write_text(plugin.read_text().replace("C=0.1", "C=0.2"))
    for name in plugins._ENTERED.pop("estimators").adds["CLASSICAL_MODELS"]:  # as a new process
        CLASSICAL_MODELS.pop(name)
    plugins.enter_files([plugin])
    again = start(study, str(cohort), str(run), "local", log=lines.append)
    assert again.trainings_completed == again.stages_needed == len(StageStore(Folder(str(run))).hashes() - stages)
    assert [line for line in lines if line.startswith("plugin estimators has changed since")]


def test_rays_workers_predict_the_same_bits(cluster: None, cohort: Path, tmp_path: Path) -> None:
    """Four estimators of a plugin on Ray and in this process; with prototypes for the one that has a space."""
    study = _study("neighbours", "linear_machine", "components", "nearest_mean")
    assert start(study, str(cohort), str(tmp_path / "ray"), log=quiet).complete
    assert start(study, str(cohort), str(tmp_path / "local"), "local", log=quiet).complete
    tables, local = (analysis.load(tmp_path / where) for where in ("ray", "local"))
    assert 4 * 3 * 5 == len(tables.trials) and {"ok"} == set(tables.trials["status"])
    digests = [frame.trials.set_index("trial")["predictions_digest"].sort_index() for frame in (tables, local)]
    assert digests[0].equals(digests[1])
