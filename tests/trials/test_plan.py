"""Studies, plans and trials: records that say what will run, and refuse what cannot."""

from pathlib import Path

import pytest
from builders.studies import study
from builders.windows import make_windows

from raylab.errors import StudyError
from raylab.files import Folder
from raylab.techniques.registry import TECHNIQUES
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import parse_study, read_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

STUDIES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_example_studies_are_valid(path: Path) -> None:
    """Every study file that ships can be read."""
    assert read_study(path).techniques


def test_every_problem_of_a_study_is_named_at_once() -> None:
    """An unknown encoder, technique, axis, value and field are all in one message."""
    wrong = study(
        models=[{"encoder": "fnc"}],
        techniques=["fine_tunning", {"name": "fine_tuning", "layer": "all"}, {"name": "fine_tuning", "budget": [1.5]}],
        epoch=3,
    )
    with pytest.raises(StudyError) as caught:
        parse_study(wrong, "s.yaml")
    for expected in ("'fnc'", "'fine_tunning'", "no axis 'layer'", "budget=1.5 is not allowed", "epoch", "s.yaml"):
        assert expected in str(caught.value)


def test_protocol_for_a_stage_that_does_not_exist_is_refused() -> None:
    """A misspelt stage in protocol.stages would silently change nothing: it is refused, with the names there are."""
    with pytest.raises(StudyError, match=r"calibraton; there are .*calibration"):
        parse_study(study(protocol={"stages": {"calibraton": {"learning_rate": 1e-9}}}), "s.yaml")


def test_the_primary_metric_is_one_that_no_constant_answer_wins() -> None:
    """AUROC unless named; an unknown one, the calibration error, and sensitivity alone are refused with those there are."""
    assert parse_study(study(primary_metric="brier"), "s.yaml").primary_metric == "brier"
    assert parse_study(study(), "s.yaml").primary_metric == "auroc"
    assert parse_study(study(primary_metric="balanced_accuracy"), "s.yaml").primary_metric == "balanced_accuracy"
    assert parse_study(study(primary_metric="uar"), "s.yaml").primary_metric == "balanced_accuracy"
    for wrong in ("ua", "ece", "sensitivity", "specificity"):
        with pytest.raises(
            StudyError,
            match=f"primary_metric '{wrong}' cannot .*accuracy, .*auroc, auroc_balanced, balanced_accuracy, mcc, brier, log_loss$",
        ):
            parse_study(study(primary_metric=wrong), "s.yaml")


def test_a_study_must_fit_its_windows(made: Windows) -> None:
    """Label, channel and participant that the windows do not have are all named before anything runs."""
    entry = {"windows": "made", "label": "arousal", "channels": ["a", "z"], "participants": ["P1", "P9"]}
    with pytest.raises(StudyError) as caught:
        list(plan(parse_study(study(datasets=[entry]), "s"), {"made": made.index}))
    for expected in ("'arousal'", "z", "P9"):
        assert expected in str(caught.value)


def test_the_same_dataset_twice_needs_a_name(made: Windows) -> None:
    """Two entries that tables could not tell apart are refused; a name for one of them settles it."""
    twice = [{"windows": "made", "label": "stress"}] * 2
    with pytest.raises(StudyError, match="stands twice"):
        list(plan(parse_study(study(datasets=twice), "s"), {"made": made.index}))
    named = [twice[0], {**twice[0], "name": "again"}]
    assert {"made", "again"} == {t.dataset for t in plan(parse_study(study(datasets=named), "s"), {"made": made.index})}


def test_the_plan_shares_one_base_per_target(made: Windows) -> None:
    """5 targets x (1 + 2 variants) are 15 trials on 5 bases and 10 calibrations; every key differs."""
    trials = list(plan(parse_study(study(), "s"), {"made": made.index}))
    assert (len(trials), len({t.key for t in trials}), len({s for t in trials for s in t.stages})) == (15, 15, 15)
    assert len({t.stages[0] for t in trials}) == 5


def test_a_variant_named_twice_is_one_trial(made: Windows) -> None:
    """Overlapping entries of one technique do not run or count twice."""
    twice = [
        {"name": "fine_tuning", "layers": "last", "budget": [0.2, 0.3]},
        {"name": "fine_tuning", "layers": "last", "budget": 0.2},
    ]
    assert 10 == len(list(plan(parse_study(study(techniques=twice), "s"), {"made": made.index})))


def test_a_trial_survives_its_config(made: Windows) -> None:
    """A worker rebuilds the very trial from plain values."""
    for trial in plan(parse_study(study(protocol={"stages": {"calibration": {"epochs": 1}}}), "s"), {"made": made.index}):
        assert trial == Trial.from_config(trial.as_config())


def test_a_fold_that_cannot_be_built_is_carried_as_missing(tmp_path: Path) -> None:
    """A participant with fewer windows of a label than the budget is planned with its sentence, and ends as missing, not failed."""
    windows = make_windows({"P1": [0] * 5 + [1], "P2": [0, 1] * 3, "P3": [0, 1] * 3})
    wanted = study(techniques=[{"name": "fine_tuning", "budget": 2, "layers": "last"}])
    trials = {t.target: t for t in plan(parse_study(wanted, "s"), {"made": windows.index})}
    outcome = run_trial(trials["P1"], windows, StageStore(Folder(tmp_path)))
    assert (outcome.status, outcome.predictions) == ("missing", None)
    assert "P1 has 1 windows of 'class1', the budget asks for 2" in outcome.record["error"]


def test_an_error_inside_a_trial_is_its_outcome(made: Windows, tmp_path: Path) -> None:
    """NaN in a training window fails the trials that train on it, by name, and no other; nothing is stored for the stage."""
    made.signals["a"][made.index.participant_index == 0] = float("nan")
    store = StageStore(Folder(tmp_path))
    trials = list(plan(parse_study(study(techniques=["non_personalized"]), "s"), {"made": made.index}))
    outcomes = {t.target: run_trial(t, made, store) for t in trials}
    failed = {name for name, outcome in outcomes.items() if outcome.status == "failed"}
    assert {"P1", "P2", "P3", "P4", "P5"} == failed
    assert "NaN" in outcomes["P1"].record["error"]
    assert "loss is nan" in outcomes["P2"].record["error"]
    assert not store.has(trials[1].stages[0])


def test_a_worker_with_another_plan_refuses(made: Windows, tmp_path: Path) -> None:
    """Windows or versions that differ between driver and worker are noticed before anything is trained."""
    trial = next(plan(parse_study(study(), "s"), {"made": made.index}))
    other = make_windows({f"P{i}": [0] * 10 + [1] * 10 for i in range(1, 6)}, seed=9)
    outcome = run_trial(trial, other, StageStore(Folder(tmp_path)))
    assert "plan differs" in outcome.record["error"]


def test_techniques_refuse_unknown_axes_by_name() -> None:
    """Every listed technique names its axes when asked for one it does not have."""
    for technique in TECHNIQUES.values():
        with pytest.raises(ValueError, match=f"{technique.name} has no axis 'nonsense'"):
            technique.variants({"nonsense": [1]})


def test_several_numbers_of_people_are_an_axis(made: Windows) -> None:
    """Each is an entry of its own with its number in its name, also behind a given name; ``all`` is the entry without a number."""
    for name, shown in ((None, "made"), ("ours", "ours")):
        entry = {"windows": "made", "label": "stress", "people": [2, 3, "all"], **({"name": name} if name else {})}
        trials = list(plan(parse_study(study(datasets=[entry]), "test"), {"made": made.index}))
        assert [f"{shown} (2 people)", f"{shown} (3 people)", shown] == list(dict.fromkeys(trial.dataset for trial in trials))
        assert {2, 3, None} == {trial.people for trial in trials}
        plain = plan(parse_study(study(datasets=[{**entry, "people": 3}]), "test"), {"made": made.index})
        assert {t.stages for t in plain} <= {t.stages for t in trials}  # the same trainings as of one number
