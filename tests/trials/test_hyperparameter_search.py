"""Grid search: nobody takes part in a search that decides about them, and what is chosen is what scored best inside."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.studies import study
from builders.windows import make_windows, store

import analysis
from analysis.report.write import report_data
from raylab.errors import RaylabError, StudyError
from raylab.files import Folder
from raylab.runs.run import start
from raylab.runs.status import status_lines
from raylab.training.stage_hash import PlannedStage
from raylab.training.stage_store import StageStore
from raylab.trials.hyperparameter_search import choose, inner_trials
from raylab.trials.plan import plan, stages_of
from raylab.trials.run_trial import run_trial
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial

PEOPLE = {f"P{i}": [0, 1] * 4 for i in range(1, 6)}
SEVEN = {**PEOPLE, "P6": [0, 1] * 4, "P7": [0, 1] * 4}
SEARCH: dict[str, Any] = {"width": [1 / 128, 1 / 64], "learning_rate": [0.003, 1e-9]}


def _study(**changes: Any) -> Study:
    quick = {
        "techniques": ["non_personalized"],
        "search": SEARCH,
        "protocol": {"epochs": 1, "batch_size": 8, "batch_share": 1.0},
    }
    return parse_study(study(**{**quick, **changes}), "s")


def _inner(read: Study, people: dict[str, list[int]] = PEOPLE) -> list[Trial]:
    assert read.search
    return list(inner_trials(read, read.search, {"made": make_windows(people).index}))


@pytest.mark.parametrize("folds", ["leave_one_participant_out", {"group_k_fold": 3}])
@pytest.mark.parametrize("inner", ["leave_one_participant_out", {"group_k_fold": 2}])
def test_the_outer_participants_are_in_no_inner_fold(folds: Any, inner: Any) -> None:
    """Neither among the training nor the validation nor the test windows of any inner trial of their search."""
    index = make_windows(SEVEN).index
    trials = _inner(_study(folds=folds, search={**SEARCH, "folds": inner}), SEVEN)
    assert not any(trial.problem for trial in trials)
    for trial in trials:
        held = trial.dataset.rpartition("without ")[2].split("+")
        subject, stages = stages_of(trial, index)
        used = np.concatenate([stages[0].train, stages[0].validation, subject.fold.target_windows])
        assert not set(held) & {index.participants[i] for i in np.unique(index.participant_index[used])}
    searches = {trial.dataset for trial in trials}
    assert sorted(SEVEN) == sorted(name for which in searches for name in which.rpartition("without ")[2].split("+"))


def test_no_window_of_the_outer_participant_reaches_an_optimizer_or_a_prediction(tmp_path: Path) -> None:
    """Recorded in the training loop, for the whole search of one person."""
    windows = make_windows(PEOPLE)
    held = windows.index.participant_index == windows.index.participants.index("P2")
    trials = [trial for trial in _inner(_study(search={"width": [1 / 128, 1 / 64]})) if trial.dataset.endswith("without P2")]
    assert 8 == len(trials)  # two widths, four people
    received: list[int] = []

    def watch(stage: PlannedStage, rows: np.ndarray) -> None:
        received.extend(rows)

    for trial in trials:
        outcome = run_trial(trial, windows, StageStore(Folder(tmp_path)), on_batch=watch)
        assert outcome.predictions is not None, outcome.record["error"]
        assert not set(outcome.predictions["window"].to_pylist()) & set(windows.index.window[held])
    assert received and not held[received].any()


def test_what_holds_out_the_same_people_is_trained_once() -> None:
    """Five people have ten pairs: with four combinations, 80 inner trials on 40 trainings."""
    trials = _inner(_study())
    assert (80, 40) == (len({trial.key for trial in trials}), len({trial.stages for trial in trials}))


def test_models_that_a_search_makes_one_are_tried_once() -> None:
    """Two widths of one encoder, while the width is searched: no trial stands in the plan of a sweep two times."""
    models = [{"encoder": "fcn"}, {"encoder": "fcn", "width": 1 / 64}]
    keys = [trial.key for trial in _inner(_study(models=models, seeds=[0, 1], search={"width": [1 / 128, 1 / 64]}))]
    assert keys and len(keys) == len(set(keys))


def _scores(read: Study, best: dict[str, str]) -> pd.DataFrame:
    """0.5 for every inner trial, more for the model that is to be chosen for each search."""
    rows = [
        {**trial.labels, "against": "", "auroc": 0.9 if best.get(trial.dataset) == trial.labels["model"] else 0.5}
        for trial in _inner(read)
    ]
    majority = [{**row, "technique": "majority_class", "auroc": 1.0} for row in rows]
    return pd.DataFrame([*rows, *majority])


def test_each_fold_gets_what_scored_best_inside_it() -> None:
    """The choice differs between people; where all are equal the first one is taken; references do not count. Tables call the model by one name."""
    read, index = _study(), {"made": make_windows(PEOPLE).index}
    assert read.search
    scores = _scores(read, {"made, without P3": "fcn width=0.015625 learning_rate=1e-09"})
    chosen = choose(read, read.search, index, scores)
    trials = {trial.target: trial for trial in plan(read, index, chosen)}
    assert {"P3": "width=0.015625 learning_rate=1e-09"} == {
        name: trial.best_params_text
        for name, trial in trials.items()
        if trial.best_params_text != "width=0.0078125 learning_rate=0.003"
    }
    assert (1 / 64, 1e-9) == (trials["P3"].model.width, trials["P3"].protocol.learning_rate)
    assert {"fcn (searched)"} == {trial.labels["model"] for trial in trials.values()}
    assert trials["P3"] == Trial.from_config(trials["P3"].as_config())


def test_a_search_without_scores_is_refused() -> None:
    read, index = _study(), {"made": make_windows(PEOPLE).index}
    assert read.search
    with pytest.raises(RaylabError, match="made, without P1: no inner fold has a auroc"):
        choose(read, read.search, index, _scores(read, {}).assign(auroc=np.nan))


def test_what_cannot_be_searched_is_refused() -> None:
    """An unknown name, a value that a study could not say outright, one value, and a random split around or inside."""
    for search, said in (
        ({"widht": [1, 2]}, "cannot be searched: widht; there are width, epochs"),
        ({"learning_rate": [0.1, -1]}, "learning_rate -1: it has to be greater than 0"),
        ({"augmentation": [1, 2]}, "cannot be searched: augmentation"),
        ({"width": [1, 9]}, "width 9 is not between 0 and 4"),
        ({"width": [1]}, "nothing to choose from"),
        ({"width": [1, 2], "folds": {"split": [0.8, 0.1, 0.1]}}, "inner folds are by people"),
    ):
        with pytest.raises(StudyError, match=said):
            _study(search=search)
    fixed = {"stages": {"everyone_else": {"learning_rate": 0.01}}}
    with pytest.raises(StudyError, match=r"would try learning_rate in vain: protocol\.stages\.everyone_else sets it"):
        _study(search={"learning_rate": [0.1, 0.2]}, protocol=fixed)
    with pytest.raises(StudyError, match="`search` and `people` are about people"):
        _study(folds={"split": [0.8, 0.1, 0.1]})
    with pytest.raises(StudyError, match="has no plan before"):
        list(plan(_study(), {"made": make_windows(PEOPLE).index}))


def test_a_search_runs_first_and_is_shown(tmp_path: Path) -> None:
    """Inner trials in a run folder of their own, the outer ones with what they chose, stored with each trial and shown in the report;
    the same command trains nothing again."""
    store(make_windows({name: [0, 1] * 4 for name in ("P1", "P2", "P3", "P4")}), tmp_path / "made")
    read = _study(
        search={"learning_rate": [1e-9, 0.003], "folds": {"group_k_fold": 2}}, models=[{"encoder": "fcn", "width": 1 / 128}]
    )
    out = tmp_path / "run"
    done = start(read, str(tmp_path), str(out), "local", log=lambda line: None)
    assert done.complete and done.statuses == {"ok": 4}
    assert not done.stale
    inner = analysis.load(out / "search")
    assert 4 * 2 * 3 == len(inner.trials)
    frames = analysis.load(out)
    assert {"learning_rate=1e-09", "learning_rate=0.003"} >= set(frames.trials["searched"]) == set(frames.plan["searched"])
    made = report_data(out)
    assert list(made.frames["searched"].columns) == ["dataset", "label", "model", "participant", "seed", "searched"]
    assert 4 == len(made.frames["searched"])
    assert (
        0 == start(read, str(tmp_path), str(out), "local", log=lambda line: None).trainings_completed - done.trainings_completed
    )
    (out / "plan.parquet").unlink()
    assert status_lines(str(out))[0] == "hyperparameters are searched:"


@pytest.mark.slow  # half a minute; in process above
def test_a_search_runs_on_ray_and_ends_as_in_process(cluster: None, cohort: Path, tmp_path: Path) -> None:
    """Both parts are sweeps of the same driver; what is chosen and every outer trial are those of a run without Ray."""
    small = {
        "datasets": [{"windows": "simulated", "label": "stress", "participants": ["P01"]}],
        "models": [{"encoder": "fcn", "width": 1 / 128}],
    }
    read = _study(**small, search={"learning_rate": [1e-9, 0.003], "folds": {"group_k_fold": 2}})
    plans = []
    for where in ("ray", "local"):
        assert start(read, str(cohort), str(tmp_path / where), where, log=lambda line: None).complete
        plans.append(analysis.load(tmp_path / where).plan)
    pd.testing.assert_frame_equal(*plans)
