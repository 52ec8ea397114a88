"""Runs: the same numbers wherever and in whatever order trials run, no training twice, and what a run folder holds."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders.running import predictions, quiet
from builders.studies import small
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import analysis
import analysis.report.write
from raylab.runs.cluster import connect, slots, worker_resources
from raylab.runs.dataset_check import check_dataset
from raylab.runs.folder import RunFolder
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import Summary, start
from raylab.runs.stage_room import Claim, StageRoom
from raylab.runs.stage_scheduler import StageScheduler
from raylab.runs.status import status_lines
from raylab.trials.resources import Resources
from raylab.trials.stacks import Unit
from raylab.trials.trial import Trial
from raylab.validity.validate import jobs_of, validate


def test_every_way_to_run_gives_the_same_bits(run_on_ray: tuple[Path, Summary], cohort: Path, tmp_path: Path) -> None:
    """Two workers, one worker, in process in another order: predictions are equal to the bit."""
    expected = predictions(run_on_ray[0])
    assert len(expected) == 15
    shuffled = random.Random(1)
    two = [
        {"windows": "simulated", "label": "stress", "participants": ["P01", "P02"]}
    ]  # targets: trials are those of the whole study
    start(small(resources={"cpu": 2}, datasets=two), str(cohort), str(tmp_path / "one-worker"), log=quiet)
    start(
        small(),
        str(cohort),
        str(tmp_path / "order"),
        "local",
        log=quiet,
        reorder=lambda trials: shuffled.sample(trials, len(trials)),
    )
    for name in ("one-worker", "order"):
        found = predictions(tmp_path / name)
        assert expected.keys() >= found.keys() and len(found) == (6 if name == "one-worker" else 15)
        assert all(expected[key].equals(table) for key, table in found.items()), name


def test_no_stage_is_trained_twice(run_on_ray: tuple[Path, Summary]) -> None:
    """15 distinct stages, 15 trainings counted by the loop; the two calibrations of a target reuse its base."""
    summary = run_on_ray[1]
    assert (summary.stages_needed, summary.trainings_completed, summary.trainings_interrupted) == (15, 15, 0)
    assert summary.statuses == {"ok": 15}
    records = RunFolder(str(run_on_ray[0])).records()
    assert sum(row["stages_reused"] for row in records) == 10


def test_the_same_command_again_runs_nothing(run_on_ray: tuple[Path, Summary], cohort: Path, tmp_path: Path) -> None:
    """A finished run is only read; a trial whose record is lost is the only one that runs again, on stored stages."""
    out = tmp_path / "again"
    shutil.copytree(run_on_ray[0], out)
    assert 15 == start(small(), str(cohort), str(out), log=quiet).trainings_completed
    before = predictions(out)
    lost = next(iter(before))
    (out / "trials" / f"{lost}.json").unlink()
    (out / "trials.parquet").unlink()
    resumed = start(small(), str(cohort), str(out), "local", log=quiet)
    assert ({"ok": 15}, 15) == (resumed.statuses, resumed.trainings_completed)
    assert before[lost].equals(predictions(out)[lost])


def test_a_changed_study_keeps_what_still_matches(run_on_ray: tuple[Path, Summary], cohort: Path, tmp_path: Path) -> None:
    """Another budget adds its trials on the bases that are there; trials that the plan no longer asks for are named, not reported."""
    out = tmp_path / "changed"
    start(small(), str(cohort), str(out), "local", log=quiet)
    other = small(techniques=["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 0.3, "unit": "window"}])
    summary = start(other, str(cohort), str(out), "local", log=quiet)
    assert (summary.statuses, summary.stages_needed, summary.trainings_completed) == ({"ok": 10}, 10, 10)
    people = "P01, P02, P03, P04, P05"
    prefix = "simulated / stress / fcn w0.015625 / fine_tuning"
    assert summary.stale == (f"{prefix} / layers=all budget=0.2: {people}", f"{prefix} / layers=last budget=0.2: {people}")
    assert summary.lines()[-2:] == [f"  {line}" for line in summary.stale]
    assert {"-", "layers=last budget=0.3"} == set(analysis.load(out).trials["variant"])


def test_another_primary_metric_is_the_verdicts_and_runs_nothing(
    run_on_ray: tuple[Path, Summary], cohort: Path, tmp_path: Path
) -> None:
    """It is stored with the study, the report is about it unless told otherwise, and no trial depends on it."""
    out = tmp_path / "other-metric"
    shutil.copytree(run_on_ray[0], out)
    assert 15 == start(small(primary_metric="balanced_accuracy"), str(cohort), str(out), "local", log=quiet).trainings_completed
    assert "primary_metric: balanced_accuracy" in (out / "study.yaml").read_text(encoding="utf-8")
    assert {"balanced_accuracy"} == set(analysis.report.write.report_data(out).comparison["metric"])
    assert {"auroc"} == set(analysis.report.write.report_data(out, metric="auroc").comparison["metric"])


def _auroc(trial: Any) -> float:
    return float(trial.last_result["auroc"])


def test_tune_and_tensorboard_read_the_run(run_on_ray: tuple[Path, Summary]) -> None:
    """ResultGrid holds every trial with its AUROC; TensorBoard shows one step per epoch of the stage, under the trial's names."""
    experiment = next((run_on_ray[0] / "tune").iterdir())
    grid = tune.ExperimentAnalysis(str(experiment))
    assert len(grid.trials) == 15
    assert all(0 <= trial.last_result["auroc"] <= 1 for trial in grid.trials)
    assert 1 == len(
        {trial.last_result["auroc"] for trial in (grid.get_best_trial("auroc", "max"), max(grid.trials, key=_auroc))}
    )
    assert [({}, 0)] * 15 == [
        (trial.run_metadata.metric_n_steps, len({"curve", "row"} & trial.last_result.keys())) for trial in grid.trials
    ]
    steps = {}
    for trial in grid.trials:
        row = trial.config["trial"]
        (file,) = (experiment / row["key"]).rglob("events.*")
        assert (row["technique"], row["target"]) == (file.parts[-5], file.parts[-3])
        events = EventAccumulator(str(file.parent))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            steps[tag] = max(steps.get(tag, 0), len(events.Scalars(tag)))
    assert (steps["everyone_else/loss"], steps["everyone_else/val_loss"], steps["calibration/loss"]) == (2, 2, 2)


def test_report_and_status_read_the_run(run_on_ray: tuple[Path, Summary]) -> None:
    """The comparison has both variants with n, difference and p; status counts the same trials; the notes say that it is simulated."""
    made = analysis.report.write.write_report(run_on_ray[0])
    rows = made.comparison.set_index("variant").loc[["layers=all budget=0.2", "layers=last budget=0.2"]]
    assert rows["n_participants"].tolist() == [5, 5]
    assert rows[["difference", "p", "p_adjusted"]].notna().all(axis=None)
    assert any("Simulated" in note for note in made.notes)
    assert made.incomplete == ""
    for name in ("scores.csv", "comparison.csv", "comparison.md", "gains.csv"):
        assert (run_on_ray[0] / "report" / name).stat().st_size > 0
    assert status_lines(str(run_on_ray[0]))[0] == "15/15 ended: 15 ok"


def test_a_fraction_of_a_gpu_where_there_are_any(cluster: None) -> None:
    """`gpu: auto` asks for nothing here; a named fraction is kept, and bounds the slots."""
    assert worker_resources(Resources()) == {"cpu": 1, "gpu": 0.0}
    assert worker_resources(Resources(gpu=0.25)) == {"cpu": 1, "gpu": 0.25}
    assert slots({"cpu": 1, "gpu": 0.0}) == 2
    connect()  # connected already: nothing happens


def test_the_local_ray_listens_on_loopback_only(cluster: None) -> None:
    """No socket of this process or of those that Ray started for it is open to another machine."""
    import psutil  # noqa: PLC0415  Ray carries it, importable once ray is

    mine = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    listening = [c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in mine]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


class Asked(BaseException):
    """``connect`` was called; no other code catches it."""


TWO_MINUTES = {"participants": 3, "minutes": 2}


@pytest.mark.parametrize(
    ("where", "use"),
    [
        ("raylab.runs.prepare", lambda out: prepare(PrepareRequest("simulated", ".", out, options=TWO_MINUTES), say=quiet)),
        (
            "raylab.runs.dataset_check",
            lambda out: check_dataset(PrepareRequest("simulated", ".", out, options=TWO_MINUTES), say=quiet),
        ),
        ("raylab.validity.validate", lambda out: validate(jobs_of(("blocks",), 1, 1), 4, out, log=quiet)),
    ],
)
def test_connects_before_ray_starts_a_cluster_of_its_own(
    where: str, use: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray starts one for whoever uses it unconnected, and that one listens on every interface."""

    def connect_() -> None:
        raise Asked

    monkeypatch.setattr(f"{where}.connect", connect_)
    with pytest.raises(Asked):
        use(str(tmp_path / "out"))


def _trials(*stages: tuple[str, ...]) -> list[Trial]:
    base = {
        "dataset": "d",
        "windows": "w",
        "label": "l",
        "channels": (),
        "technique": "non_personalized",
        "variant": {},
        "seed": 0,
    }
    study = small()
    return [
        Trial(**base, model=study.models[0].spec, target=f"P{i}", protocol=study.protocol, stages=s, key=f"t{i}")  # type: ignore[arg-type]
        for i, s in enumerate(stages)
    ]


def _units(*stages: tuple[str, ...]) -> list[Unit]:
    return [Unit((trial,)) for trial in _trials(*stages)]


def _asked(searcher: StageScheduler, name: str) -> Any:
    config = searcher.suggest(name)
    return config["trial"]["key"] if isinstance(config, dict) else config


def test_searcher_holds_dependents_until_the_stage_is_stored() -> None:
    """The base that most wait for goes first; its dependents start when the stage is reported, before its own trial ends."""
    searcher = StageScheduler(_units(("x",), ("a", "b"), ("a", "c"), ("a", "d")), set())
    assert [_asked(searcher, name) for name in "pqr"] == ["t1", "t0", None]
    searcher.on_trial_result("p", {"stage_done": "a"})
    assert [_asked(searcher, name) for name in "rst"] == ["t2", "t3", None]
    for name in "pqrs":
        assert _asked(searcher, "u") is None  # one that runs may come back
        searcher.on_trial_complete(name, {})
    assert _asked(searcher, "u") == StageScheduler.FINISHED


def test_searcher_hands_out_again_what_came_back() -> None:
    """A trial that Tune gave up on goes first again, its dependents still wait for it and are not blocked."""
    searcher = StageScheduler(_units(("a",), ("a", "b"), ("x",)), set())
    assert [_asked(searcher, name) for name in "pqr"] == ["t0", "t2", None]
    searcher.on_trial_complete("p", error=True)
    searcher.retry("p")
    assert [_asked(searcher, name) for name in "st"] == ["t0", None]
    searcher.on_trial_result("s", {"stage_done": "a"})
    assert _asked(searcher, "u") == "t1"
    assert searcher.blocked == {}


def test_a_unit_is_told_what_nobody_has() -> None:
    """Its own stages need not be looked for; after a worker was lost, or beside other drivers, they are."""
    searcher = StageScheduler(_units(("a", "b"), ("a", "c")), {"b"})
    assert ["a"] == searcher.suggest("p")["absent"]
    searcher.on_trial_complete("p", error=True)
    searcher.retry("p")
    assert [] == searcher.suggest("q")["absent"]
    assert [] == StageScheduler(_units(("a",)), set(), alone=False).suggest("p")["absent"]


def _room(tmp_path: Path, units: list[Unit], quota: int) -> StageRoom:
    """Room for so many stages of one byte; those whose names begin with ``leaf`` are never stored."""
    sizes = {stage: 1 for unit in units for stage in unit.stages}
    claim = Claim(units, frozenset(), frozenset(name for name in sizes if "leaf" in name), frozenset(), sizes, removes=True)
    return StageRoom(RunFolder(str(tmp_path)).store, quota, {}, claim, quiet)


def test_a_unit_waits_for_room(tmp_path: Path) -> None:
    """With room for one base the second waits for the end of the first one's trials, what needs no room goes first, and the first base goes then."""
    units = _units(("a",), ("a", "leaf1"), ("b",), ("b", "leaf3"), ("leaf4",))
    room = _room(tmp_path, units, 1)
    searcher = StageScheduler(units, set(), room=room)
    config = searcher.suggest("p")
    assert ("t0", {"a": 1}, []) == (config["trial"]["key"], config["limits"], config["unstored"])
    assert ["t4", None] == [_asked(searcher, name) for name in "qr"]
    room.store.folder.write("stages/a.safetensors", b"x")
    searcher.on_trial_result("p", {"stage_done": "a", "stage_bytes": 1, "stage_stored": True})
    assert ["t1", None] == [_asked(searcher, name) for name in "rs"]
    for name, key in (("p", "t0"), ("r", "t1")):
        assert _asked(searcher, "s") is None
        searcher.on_trial_result(name, {"finished": True, "status": "ok", "trial": key})
        searcher.on_trial_complete(name, {})
    assert room.store.has("a")
    config = searcher.suggest("s")
    assert ("t2", {"b": 1}) == (config["trial"]["key"], config["limits"])
    assert not room.store.has("a")


def test_where_nothing_can_end_a_unit_goes_on_without_room(tmp_path: Path) -> None:
    """It stores what fits, and the trials that share the other stage train it themselves; a worker that was lost keeps its room."""
    units = _units(("a", "b", "x"), ("b", "y"))
    searcher = StageScheduler(units, set(), room=_room(tmp_path, units, 1))
    config = searcher.suggest("p")
    assert ("t0", {"a": 1}, ["b", "x"]) == (config["trial"]["key"], config["limits"], config["unstored"])
    searcher.on_trial_complete("p", error=True)
    searcher.retry("p")
    assert {"a": 1} == searcher.suggest("q")["limits"]
    searcher.on_trial_result("q", {"stage_done": "b", "stage_bytes": 1, "stage_stored": False})
    assert _asked(searcher, "r") is None
    searcher.on_trial_result("q", {"finished": True, "status": "ok", "trial": "t0"})
    searcher.on_trial_complete("q", {})  # `a` was never told of and has no file, so its room is free again
    config = searcher.suggest("r")
    assert ("t1", {"b": 1}, ["y"]) == (config["trial"]["key"], config["limits"], config["unstored"])


def test_searcher_blocks_what_waits_for_a_trial_given_up() -> None:
    """A base whose worker died too often blocks its dependents with that cause."""
    searcher = StageScheduler(_units(("a",), ("a", "b")), set())
    assert _asked(searcher, "p") == "t0"
    searcher.on_trial_complete("p", error=True)
    searcher.give_up("p", "its worker died, 4 times")
    assert "its worker died, 4 times" in searcher.blocked["t1"]
    assert _asked(searcher, "q") == StageScheduler.FINISHED


def test_searcher_knows_what_is_stored() -> None:
    """With the base in the store nothing waits."""
    searcher = StageScheduler(_units(("a", "b"), ("a", "c")), {"a"})
    assert [_asked(searcher, name) for name in "pqr"] == ["t0", "t1", None]


def test_searcher_blocks_what_waits_for_a_failed_stage() -> None:
    """A base that fails blocks its dependents and theirs, each with the cause; the rest goes on."""
    searcher = StageScheduler(_units(("a",), ("a", "b"), ("b", "c"), ("x",)), set())
    assert _asked(searcher, "p") == "t0"
    searcher.on_trial_complete("p", {"error": "loss is nan"})
    assert {"t1", "t2"} == searcher.blocked.keys()
    assert "loss is nan" in searcher.blocked["t2"]
    assert [_asked(searcher, name) for name in "qr"] == ["t3", None]


@pytest.mark.parametrize("last", [("a", "b"), ("a", "b", "c"), ("b", "a"), ("a", "c", "b")], ids="-".join)
def test_searcher_blocks_what_waits_for_a_failed_stage_and_for_what_follows_it(last: tuple[str, ...]) -> None:
    """Two variants whose calibration is one stage, as budgets of few windows: the second waits for the base and for the first's calibration."""
    searcher = StageScheduler(_units(("a",), ("a", "b"), last, ("a", "b", "d"), ("x",)), set())
    assert _asked(searcher, "p") == "t0"
    searcher.on_trial_complete("p", {"error": "disk full"})
    assert {"t1", "t2", "t3"} == searcher.blocked.keys()
    assert all("disk full" in cause for cause in searcher.blocked.values())
    assert [_asked(searcher, name) for name in "qr"] == ["t4", None]
    searcher.on_trial_complete("q", {})
    assert _asked(searcher, "r") == StageScheduler.FINISHED


def test_a_unit_goes_on_without_the_trials_that_are_blocked_twice() -> None:
    """Of a stack whose trials wait for a failed base, and for a calibration of it, the trial of another person runs."""
    base, shared, *stacked = _trials(("a",), ("a", "b"), ("a", "b"), ("y",))
    stack = tuple(replace(trial, unit="u") for trial in stacked)
    searcher = StageScheduler([Unit((base,)), Unit((shared,)), Unit(stack, stack)], set())
    assert _asked(searcher, "p") == "t0"
    searcher.on_trial_complete("p", {"error": "disk full"})
    assert {"t1", "t2"} == searcher.blocked.keys()
    config = searcher.suggest("q")
    assert ["t3"] == config["stack"]["run"] and searcher.suggest("r") is None


@settings(max_examples=300, deadline=None)
@given(
    plans=st.lists(
        st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True), min_size=1, max_size=3),
        min_size=1,
        max_size=6,
    ),
    data=st.data(),
)
def test_whatever_fails_each_trial_is_handed_out_once_or_blocked(plans: list[list[list[str]]], data: st.DataObject) -> None:
    """Units of several trials that share stages in any way; any stage of any unit may fail. Nothing waits for ever."""
    made = iter(_trials(*(tuple(stages) for unit in plans for stages in unit)))
    units = [Unit(own, own) for n, unit in enumerate(plans) for own in [tuple(replace(next(made), unit=f"u{n}") for _ in unit)]]
    searcher, done, handed = StageScheduler(units, set()), set[str](), list[str]()
    for turn in range(len(units) + 1):
        config = searcher.suggest(str(turn))
        if not isinstance(config, dict):
            break
        mine, failed = [searcher.trials[key] for key in config["stack"]["run"]], set[str]()
        assert all(set(trial.stages) <= done | set(config["absent"]) for trial in mine)
        for stage in dict.fromkeys(stage for trial in mine for stage in trial.stages if stage not in done):
            if data.draw(st.booleans(), label=f"{stage} fails"):
                failed.add(stage)
            else:
                done.add(stage)
                searcher.on_trial_result(str(turn), {"stage_done": stage})
        for trial in mine:
            error = "disk full" if failed & set(trial.stages) else ""
            searcher.on_trial_result(str(turn), {"finished": True, "trial": trial.key, "error": error})
        searcher.on_trial_complete(str(turn), {})
        handed += [trial.key for trial in mine]
    assert config == StageScheduler.FINISHED
    assert sorted(searcher.trials) == sorted([*handed, *searcher.blocked])


def test_an_owner_that_fails_after_its_stage_blocks_nobody() -> None:
    """The base was stored, then the trial's own calibration failed: the others run."""
    searcher = StageScheduler(_units(("a", "b"), ("a", "c")), set())
    assert [_asked(searcher, name) for name in "pq"] == ["t0", None]
    searcher.on_trial_result("p", {"stage_done": "a"})
    searcher.on_trial_complete("p", {"error": "boom"})
    assert _asked(searcher, "q") == "t1"
    assert searcher.blocked == {}
