"""Every listed technique with every listed model: which parameters move, which windows are seen, what is shared, what is refused."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.techniques import TRAITS, one_amount, small_k
from builders.windows import make_windows, with_traits

import raylab.techniques.selection
import raylab.techniques.stage
from raylab.errors import StudyError
from raylab.files import Folder
from raylab.folds.fold import Fold, FoldError, RowIds
from raylab.models.network import ADDED, PARTS, WITHIN_TRUNK, ModelSpec
from raylab.models.registry import ENCODERS
from raylab.techniques import registry
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import Cluster, EveryoneElse, EveryoneElseAndCalibration, Nearest, within_people
from raylab.testing import State, check_stages
from raylab.training.protocol import Protocol
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import StageStore
from raylab.trials.compatibility import technique_problem
from raylab.trials.plan import plan, stages_of
from raylab.trials.run_trial import StagePlanner, run_trial
from raylab.trials.study import parse_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows, read_windows


def _variant(technique: str, axes: dict[str, Any]) -> dict[str, Any]:
    """The first variant that has these values."""
    variants = TECHNIQUES[technique].variants({})
    found = {**next(v for v in variants if axes.items() <= v.items()), **small_k(technique)}
    return found | ({"unit": "window"} if "unit" in found else {})  # `auto` is resolved when trials are planned


@pytest.fixture
def people() -> Windows:
    """Eight people with traits, 20 windows each."""
    return make_windows({name: [0] * 10 + [1] * 10 for name in TRAITS}, traits=TRAITS)


@pytest.fixture(scope="module")
def simulated(cohort: Path) -> Windows:
    """The simulated cohort's slow channels: the fast ones only take longer."""
    windows = read_windows(Folder(cohort / "simulated"))
    return replace(windows, signals={name: windows.signals[name] for name in ("eda", "rsp")})


@pytest.fixture(scope="module")
def trained() -> dict[str, State]:
    """Weights of stages by their hash, as a run's store has them."""
    return {}


LOOKS = ("unlabelled", "penalty", "task", "by", "layers")  # axes whose values are other mechanisms, not other amounts
VARIANTS = [
    (name, dict(values))
    for name, technique in TECHNIQUES.items()
    for values in {
        tuple((axis, value) for axis, value in variant.items() if axis in LOOKS): None for variant in technique.variants({})
    }
]
CASES = [
    pytest.param(name, axes, encoder, id=f"{name}-{'-'.join(str(value) for value in axes.values())}-{encoder}")
    for name, axes in VARIANTS
    for encoder in ENCODERS
    # each technique with each encoder that it fits, and each of its mechanisms with fcn
    if not technique_problem(ModelSpec(encoder), name, _variant(name, axes))
    if encoder == "fcn" or axes == next(first for other, first in VARIANTS if other == name)
]


@pytest.mark.parametrize(("technique", "axes", "encoder"), CASES)
def test_a_stage_moves_what_it_frees_and_sees_what_it_names(
    technique: str, axes: dict[str, Any], encoder: str, simulated: Windows, trained: dict[str, State]
) -> None:
    """On the simulated cohort: after each stage exactly the freed parts have moved, it received exactly the windows that it names, and no label of
    the target beyond the calibration windows."""
    check_stages(TECHNIQUES[technique], _variant(technique, axes), encoder, simulated, "P02", trained)


def _changed(windows: Windows, rows: RowIds) -> Windows:
    """The windows with other signals in these rows."""
    signals = {name: values.copy() for name, values in windows.signals.items()}
    for values in signals.values():
        values[rows] = 3 - 2 * values[rows][:, ::-1]
    return replace(windows, signals=signals)


def _planned(context: TrainingContext, stages: tuple[PlannedStage, ...]) -> StagePlanner:
    return lambda trial, index: (context, stages)


@pytest.mark.parametrize(
    ("technique", "axes"), [(name, axes) for name, axes in VARIANTS if TECHNIQUES[name].attainable], ids=str
)
def test_no_prediction_depends_on_what_is_not_declared(
    technique: str, axes: dict[str, Any], people: Windows, tmp_path: Path
) -> None:
    """Other signals in the later half of the target's windows change no prediction of an earlier one, and other labels of windows that are no
    calibration windows change nothing: unless the variant declares that it looks at all windows, and then the signals do."""
    study = _study(
        datasets=[{"windows": "made", "label": "stress", "participants": ["P1"]}],
        models=[{"encoder": "fcn", "width": 1 / 32}],
        techniques=[{"name": technique, **axes, **one_amount(technique)}],
        protocol={"epochs": 1, "batch_size": 16, "stages": {"pretrain": {"epochs": 1}, "history": {"epochs": 3}}},
    )
    (trial,) = plan(study, {"made": people.index})
    context, stages = stages_of(trial, people.index)
    fold = context.fold
    # P1's windows are 0 to 9 of class 0 and 10 to 19 of class 1: calibration takes 0, 1, 10, 11, a first share 0 to 3
    later = np.setdiff1d(fold.target_windows[12:], np.concatenate([stage.labelled for stage in stages]))
    outcomes = [
        run_trial(trial, version, StageStore(Folder(tmp_path / name)), planner=_planned(context, stages))
        for name, version in (("as-is", people), ("later", _changed(people, later)))
    ]
    assert ["ok", "ok"] == [outcome.status for outcome in outcomes], [outcome.record["error"] for outcome in outcomes]
    frames = [outcome.predictions.to_pandas().set_index("window")["p"] for outcome in outcomes]
    earlier = [window for window in frames[0].index if window not in people.index.window[later]]
    same = all(frames[0][window].tolist() == frames[1][window].tolist() for window in earlier)
    assert same == (axes.get("unlabelled") != "all")
    flipped = people.index.labels["stress"].copy()
    hidden = np.setdiff1d(fold.target_windows, np.concatenate([stage.labelled for stage in stages]))
    flipped[hidden] = 1 - flipped[hidden]
    other = replace(people, index=replace(people.index, labels={"stress": flipped}))
    told = replace(context, fold=replace(fold, index=other.index))
    again = run_trial(trial, other, StageStore(Folder(tmp_path / "flipped")), planner=_planned(told, stages))
    assert again.predictions.to_pandas()["p"].map(list).tolist() == frames[0].map(list).tolist()


def _study(**changes: Any) -> Any:
    content = {
        "name": "all",
        "datasets": [{"windows": "made", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 128}],
        "techniques": list(TECHNIQUES),
        "protocol": {"epochs": 1, "batch_size": 16},
        **changes,
    }
    return parse_study(content, "test")


def _run_all(trials: list[Trial], windows: Windows, folder: Path) -> Iterator[Any]:
    store = StageStore(Folder(folder))
    for trial in trials:
        yield run_trial(trial, windows, store)


def test_trainings_executed_equal_distinct_stages(people: Windows, tmp_path: Path) -> None:
    """A study of all techniques with all their variants trains every distinct stage once."""
    study = _study(
        datasets=[{"windows": "made", "label": "stress", "participants": ["P1"]}],
        protocol={"epochs": 1, "batch_size": 16, "stages": {"pretrain": {"epochs": 1}}},
    )
    trials = list(plan(study, {"made": people.index}))
    outcomes = list(_run_all(trials, people, tmp_path))
    # ten windows of each label are all that P1 has
    assert {"budget=10"} == {trial.labels["variant"] for trial in trials if trial.problem}
    assert all(
        outcome.status == ("missing" if trial.problem else "ok") for trial, outcome in zip(trials, outcomes, strict=True)
    )
    needed = {stage for trial in trials for stage in trial.stages}
    executed = [stage for outcome in outcomes for stage in outcome.trained]
    assert sorted(needed) == sorted(executed)


def test_the_second_multi_task_variant_adds_no_trunk(people: Windows) -> None:
    """Cluster-as-task beside user-as-task adds one stage per target: the trunk's is there already."""
    one = list(plan(_study(techniques=[{"name": "multi_task", "task": "user"}]), {"made": people.index}))
    both = list(plan(_study(techniques=["multi_task"]), {"made": people.index}))
    count = {
        name: len({stage for trial in trials for stage in trial.stages}) for name, trials in (("one", one), ("both", both))
    }
    assert {"one": 16, "both": 24} == count
    assert {trial.stages[0] for trial in one} == {trial.stages[0] for trial in both}


def test_all_techniques_share_their_first_stage_where_it_is_the_same(people: Windows) -> None:
    """Fine-tuning's base is the non-personalized model; multi-task's is not (it has the adapter); a budget of 0 is the baseline."""
    wanted = [
        "non_personalized",
        {"name": "fine_tuning", "layers": "all", "budget": [0, 2]},
        {"name": "hybrid", "budget": [0, 2]},
        "multi_task",
    ]
    by: dict[tuple[str, str], Trial] = {}
    for trial in plan(_study(techniques=wanted), {"made": people.index}):
        if trial.target == "P1":
            by[trial.technique, trial.labels["variant"]] = trial
    base = by["non_personalized", "-"].stages
    assert base == by["fine_tuning", "layers=all budget=0"].stages == by["hybrid", "budget=0"].stages
    assert base == by["fine_tuning", "layers=all budget=2"].stages[:1]
    assert base[0] not in (by["multi_task", "task=user"].stages[0], by["hybrid", "budget=2"].stages[0])


def test_user_dependent_without_windows_is_missing(people: Windows) -> None:
    """A budget of 0 leaves user_dependent nothing to train on: missing, with a sentence."""
    trial = next(plan(_study(techniques=[{"name": "user_dependent", "budget": 0}]), {"made": people.index}))
    assert "no window to train on" in trial.problem


def test_traits_missing_for_a_dataset_are_refused_before_anything_runs(made: Windows) -> None:
    """Every technique that needs traits is named; by data it may run."""
    with pytest.raises(StudyError) as caught:
        list(plan(_study(techniques=["cluster_specific", "multi_task"]), {"made": made.index}))
    assert "cluster_specific needs traits" in str(caught.value)
    assert "multi_task needs traits" in str(caught.value)
    assert 5 == len(list(plan(_study(techniques=[{"name": "multi_task", "task": "user", "by": "data"}]), {"made": made.index})))


def test_a_trait_missing_for_one_person_is_carried_as_missing(people: Windows) -> None:
    """Nobody can be compared with a person whose age is unknown: the trials are planned with that sentence."""
    people = with_traits(people, {"P3": {"gender": "male"}}, ["age"])
    trials = list(plan(_study(techniques=[{"name": "cluster_specific", "k": 2}]), {"made": people.index}))
    assert {"participant P3 has no value for the trait(s) age"} == {trial.problem for trial in trials}


def test_k_larger_than_the_people_is_carried_as_missing(people: Windows) -> None:
    """Eight clusters of the seven people that are left cannot be made."""
    trial = next(plan(_study(techniques=[{"name": "cluster_specific", "k": 8}]), {"made": people.index}))
    assert "k=8 is larger than the 7 different people" in trial.problem


def test_a_cluster_of_one_person_is_trained_and_counted(people: Windows, tmp_path: Path) -> None:
    """With one person far from the rest, k=2 isolates them; a target like them trains on that person, validated on the last fifth."""
    ages = {name: 90.0 if name in ("P1", "P2") else 20.0 + int(name[1]) for name in people.index.participants}
    people = with_traits(people, {name: {"age": age} for name, age in ages.items()}, ["age"])
    trial = next(
        t for t in plan(_study(techniques=[{"name": "cluster_specific", "k": 2}]), {"made": people.index}) if t.target == "P1"
    )
    outcome = run_trial(trial, people, StageStore(Folder(tmp_path)))
    assert ("ok", 1) == (outcome.status, outcome.record["people"])
    chosen = Cluster("traits", 2).choose(Fold(people.index, "stress", "P1", 0))
    assert {1} == set(people.index.participant_index[chosen.train])
    assert [28, 29, 38, 39] == chosen.validation.tolist()


def test_a_budget_that_leaves_one_class_has_no_auroc(tmp_path: Path) -> None:
    """Where calibration takes every window of a class, the trial runs and its AUROC is missing, never 0.5."""
    windows = make_windows({"P1": [0] * 10 + [1] * 2, **{f"P{i}": [0, 1] * 5 for i in range(2, 5)}})
    trial = next(
        plan(
            _study(techniques=[{"name": "fine_tuning", "layers": "last", "budget": 2, "unit": "window"}]),
            {"made": windows.index},
        )
    )
    outcome = run_trial(trial, windows, StageStore(Folder(tmp_path)))
    assert ("ok", None) == (outcome.status, outcome.record["auroc"])
    assert outcome.record["n_test"] > 0


def test_hybrid_is_everyone_else_and_the_calibration(people: Windows) -> None:
    """Its training windows are the base's and the calibration's; its validation windows the base's."""
    fold = Fold(people.index, "stress", "P1", 0)
    base, both = EveryoneElse().choose(fold), EveryoneElseAndCalibration(0.2).choose(fold)
    assert sorted([*base.train, 0, 1, 10, 11]) == both.train.tolist()
    assert base.validation.tolist() == both.validation.tolist()


def test_everyone_tied_for_nearest_is_trained_on(people: Windows) -> None:
    """Two people at the same distance are both the most similar."""
    ages = zip(people.index.participants, (30, 28, 32, 50, 60, 70, 80, 90), strict=True)
    people = with_traits(people, {name: {"age": float(age)} for name, age in ages}, ["age"])
    fold = Fold(people.index, "stress", "P1", 0)
    assert {1, 2} == set(people.index.participant_index[Nearest("traits").choose(fold).train])


def test_the_last_fifth_of_each_label_validates_and_overlaps_are_purged(people: Windows) -> None:
    """Of windows 0-9 and 10-19: 8, 9, 18, 19 validate; 7, 10 and 17 overlap them and are not trained on."""
    chosen = within_people(Fold(people.index, "stress", "P1", 0), ("P2",))
    assert [28, 29, 38, 39] == chosen.validation.tolist()
    assert [20, 21, 22, 23, 24, 25, 26, 31, 32, 33, 34, 35, 36] == chosen.train.tolist()


def test_people_is_a_random_subset_that_grows(people: Windows) -> None:
    """Training on 3 people uses 3, they are among the 5 of a larger study, and never the target; more than there are is missing."""
    folds = {n: Fold(people.index, "stress", "P4", 0, n) for n in (3, 5, 8)}
    assert (3, 5) == (len(folds[3].others), len(folds[5].others))
    assert set(folds[3].others) < set(folds[5].others)
    assert "P4" not in folds[5].others
    with pytest.raises(FoldError, match="8 people to train on were asked for, there are 7"):
        _ = folds[8].others
    entry = {"windows": "made", "label": "stress", "people": 3}
    assert {"made (3 people)"} == {t.dataset for t in plan(_study(datasets=[entry]), {"made": people.index})}


@pytest.mark.parametrize("unit", ["window", "block"])
@pytest.mark.parametrize("draw", ["initial", "random"])
def test_draw_and_unit_are_axes(draw: str, unit: str) -> None:
    """Each technique with a budget can draw its windows in four ways, and the table names those that are not the paper's."""
    windows = make_windows({name: [0, 0, 0, 0, 1, 1, 1, 1] * 4 for name in TRAITS})
    for name in ("fine_tuning", "hybrid", "user_dependent"):
        trial = next(
            plan(_study(techniques=[{"name": name, "budget": 0.2, "draw": draw, "unit": unit}]), {"made": windows.index})
        )
        assert not trial.problem
        assert (draw != "initial") == (f"draw={draw}" in trial.labels["variant"])
        assert (unit != "window") == (f"unit={unit}" in trial.labels["variant"])


def test_the_page_on_adding_a_technique_works(people: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The declaration in docs/add-a-technique.md, listed, runs: three stages, the first shared with the baseline."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "add-a-technique.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert 1 == len(code)
    names = {**vars(raylab.techniques.selection), **vars(raylab.techniques.stage), **vars(registry)}
    exec(code[0], names)  # the page's own code
    monkeypatch.setitem(TECHNIQUES, "like_me", names["LIKE_ME"])
    trials = list(plan(_study(techniques=["non_personalized", {"name": "like_me", "budget": 2}]), {"made": people.index}))
    first = {trial.technique: trial for trial in trials if trial.target == "P1"}
    assert first["non_personalized"].stages[0] == first["like_me"].stages[0]
    outcomes = list(_run_all([first["like_me"]], people, tmp_path))
    assert ("ok", 3) == (outcomes[0].status, len(outcomes[0].trained))


def test_every_stage_has_windows_of_its_own_kind() -> None:
    """Each declaration names stages, frees known parts, and overrides only fields of the protocol."""
    fields = set(Protocol.model_fields)
    for technique in TECHNIQUES.values():
        for variant in technique.variants({}):
            for stage in technique.stages(variant):
                assert stage.name.isidentifier()
                assert set(stage.trainable) <= {*PARTS, *ADDED, *WITHIN_TRUNK}
                assert set(stage.adds) <= set(ADDED) & set(stage.trainable)
                assert set(stage.overrides) <= fields
