"""A quota of the stage store: never exceeded, nothing lost, the same predictions; and a sentence where it cannot do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders.running import every, predictions
from builders.studies import study
from builders.windows import make_windows, store

import analysis
from raylab.errors import StudyError
from raylab.runs.cost import estimate
from raylab.runs.folder import RunFolder
from raylab.runs.run import Summary, start
from raylab.runs.shard import Shard
from raylab.runs.stage_lifetime import clean
from raylab.trials.study import Study, parse_study

TARGETS = 3  # of 4 people
TECHNIQUES = [
    "non_personalized",
    {"name": "fine_tuning", "layers": "last", "budget": 0.2, "unit": "window"},
    {"name": "user_dependent", "budget": 0.4, "unit": "window"},
]
MANY = [*TECHNIQUES, {"name": "when_to_personalize", "budget": 0.2, "unit": "window"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    store(make_windows({f"P{i}": [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6 for i in range(4)}), folder / "windows" / "made")
    return folder


def asked(quota: int | None = None, **changes: Any) -> Study:
    resources = {} if quota is None else {"stage_store": f"{quota} B"}
    targets = [f"P{number}" for number in range(TARGETS)]
    content: dict[str, Any] = {
        "datasets": [{"windows": "made", "label": "stress", "participants": targets}],
        "techniques": TECHNIQUES,
        "keep": "bases",
        "protocol": {"epochs": 1, "batch_size": 16},
        **changes,
    }
    return parse_study(study(**content, resources=resources), "s")


def run(root: Path, out: str, what: Study, executor: Any = "local", **options: Any) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    return start(what, str(root / "windows"), str(root / out), executor, log=lines.append, **options), lines


@pytest.fixture(scope="module")
def base(root: Path) -> int:
    """Bytes of a base's file."""
    run(root, "free", asked())
    (size,) = set(RunFolder(str(root / "free")).store.sizes().values())
    return size


def stored(root: Path, out: str) -> int:
    return sum(RunFolder(str(root / out)).store.sizes().values())


def test_a_quota_of_one_base_is_kept(root: Path, base: int) -> None:
    """Each base goes when its trials have ended, before the next one is stored; no training is repeated and predictions are the same."""
    peaks: list[int] = []
    with every(0.005, lambda: peaks.append(stored(root, "one") if (root / "one").exists() else 0)):
        summary, lines = run(root, "one", asked(base))
    free = RunFolder(str(root / "free"))
    assert {"ok": TARGETS * 3} == summary.statuses
    assert (TARGETS * 3, len(free.trainings())) == (summary.trainings_completed, TARGETS * 3)
    assert max(peaks) == stored(root, "one") == base
    assert predictions(root / "free") == predictions(root / "one")
    assert f"{TARGETS - 1} stages removed" in lines[-1] and "0 trainings not stored" in lines[-1]


def test_with_room_nothing_goes(root: Path, base: int) -> None:
    """A quota of exactly what is stored changes nothing."""
    _, lines = run(root, "all_bases", asked(TARGETS * base))
    assert TARGETS * base == stored(root, "all_bases")
    assert "0 stages removed" in lines[-1]


def test_what_does_not_fit_is_trained_again(root: Path, base: int) -> None:
    """A technique that needs many bases at a time has room for one: the others are trained with each trial, with the same predictions."""
    run(root, "many", asked(techniques=MANY))
    summary, lines = run(root, "many_tight", asked(base, techniques=MANY))
    assert {"ok": TARGETS * 4} == summary.statuses
    assert stored(root, "many_tight") <= base
    assert predictions(root / "many") == predictions(root / "many_tight")
    assert summary.trainings_completed > summary.stages_needed
    assert any("was not stored" in line for line in lines)


@pytest.mark.parametrize("numerics", ["reference", "stacked"])
def test_a_quota_on_ray(root: Path, base: int, cluster: None, numerics: str) -> None:
    """On two slots with room for two bases, alone and in stacks: never more than these, the same predictions."""
    protocol = {"epochs": 1, "batch_size": 16, "numerics": numerics}
    run(root, f"{numerics}_free", asked(techniques=MANY, protocol=protocol))
    peaks: list[int] = []
    out = root / f"{numerics}_ray"
    with every(0.01, lambda: peaks.append(stored(root, out.name) if out.exists() else 0)):
        summary, _ = run(root, out.name, asked(2 * base, techniques=MANY, protocol=protocol), "ray")
    assert {"ok": TARGETS * 4} == summary.statuses
    assert max(peaks) <= 2 * base
    assert predictions(root / f"{numerics}_free") == predictions(out)


def test_a_quota_on_an_object_store(root: Path, base: int, bucket_without_ray: Callable[[str], str]) -> None:
    """The same on a URI; the account of trainings is that of a run on a path, trainings that were repeated among it."""
    uri, what = bucket_without_ray("quota"), asked(base, techniques=MANY)
    summary = start(what, str(root / "windows"), uri, "local", log=lambda line: None)
    on_path, _ = run(root, "on_path", what)
    assert sum(RunFolder(uri).store.sizes().values()) <= base
    assert (on_path.statuses, on_path.trainings_completed) == (summary.statuses, summary.trainings_completed)
    found, expected = analysis.load(uri), analysis.load(root / "on_path")
    assert expected.predictions.equals(found.predictions)


def test_a_start_with_less_room_makes_it(root: Path, base: int) -> None:
    """A run that was stopped with a larger quota, and stages of no trial: the next start removes what no trial needs before it trains."""
    run(root, "less", asked(), reorder=lambda trials: [trial for trial in trials if trial.target != "P2"])
    folder = RunFolder(str(root / "less"))
    folder.store.save("0" * 20, {})
    summary, _ = run(root, "less", asked(2 * base))
    assert {"ok": TARGETS * 3} == summary.statuses
    assert stored(root, "less") <= 2 * base and not folder.store.has("0" * 20)
    assert predictions(root / "free") == predictions(root / "less")


def test_keep_all_removes_nothing(root: Path, base: int) -> None:
    """`keep: all` has to fit: the run is refused before it writes anything, with what it takes and what the quota is."""
    with pytest.raises(StudyError, match=r"keep: all stores every stage, .* MiB of them, and the quota is .*keep: bases"):
        run(root, "all", asked(2 * base, keep="all"))
    assert RunFolder(str(root / "all")).stored_plan() is None
    total = sum(RunFolder(str(root / "free")).store.sizes().values())
    with pytest.raises(StudyError):
        run(root, "all", asked(total, keep="all"))
    assert {"ok": TARGETS * 3} == run(root, "all", asked(10 * total, keep="all"))[0].statuses
    assert TARGETS * 3 == len(RunFolder(str(root / "all")).store.hashes())


def test_a_quota_below_one_base_is_refused(root: Path, base: int) -> None:
    """Without room for a base every trial would train its own; a run says so before it starts, a plan beside its estimate."""
    with pytest.raises(StudyError, match=r"the largest base takes .* and the quota is .*all 3 bases take"):
        run(root, "none", asked(base - 1))
    with pytest.raises(StudyError, match="for each of 2 drivers"):
        run(root, "none", asked(2 * base - 1), shard=Shard(1, 2))
    assert "the largest base takes" in estimate(asked(base - 1), str(root / "windows"), None, "local").store[1]


def test_the_plan_tells_the_quota(root: Path, base: int) -> None:
    """Beside the estimate, which is the bytes of the files to the byte: what fits, and what goes."""
    fits = estimate(asked(TARGETS * base), str(root / "windows"), None, "local")
    assert "all that is stored fits" in fits.store[1]
    tight = estimate(asked(TARGETS * base - 1), str(root / "windows"), None, "local")
    assert f"all {TARGETS} bases, so those go whose trials have ended" in tight.store[1]
    assert 1 == len(estimate(asked(), str(root / "windows"), None, "local").store)


def test_two_drivers_share_the_room(root: Path, base: int) -> None:
    """Each shard has its part; together they stay below the quota, and the predictions are those of one driver."""
    for number in (1, 2):
        run(root, "shards", asked(2 * base), shard=Shard(number, 2))
    assert stored(root, "shards") <= 2 * base
    assert predictions(root / "free") == predictions(root / "shards")


def test_classical_models_are_learned_of(root: Path) -> None:
    """The size of a classical model shows when it is fitted: one that is larger than its room is not stored, and the next gets more."""
    models = [{"encoder": "lda"}]
    run(root, "lda", asked(techniques=TECHNIQUES[:1], models=models))
    size = max(RunFolder(str(root / "lda")).store.sizes().values())
    summary, lines = run(root, "lda_tight", asked(3 * size, techniques=TECHNIQUES[:1], models=models))
    assert {"ok": TARGETS} == summary.statuses
    assert 0 < stored(root, "lda_tight") <= 3 * size
    assert "1 trainings not stored" in lines[-1]
    assert predictions(root / "lda") == predictions(root / "lda_tight")


def test_clean_keeps_to_the_quota(root: Path, base: int) -> None:
    """What a study's quota does not hold goes, bases of ended trials too; the line says the quota."""
    run(root, "cleaned", asked(TARGETS * base))
    file = root / "cleaned" / "study.yaml"
    file.write_text(file.read_text().replace(f"{TARGETS * base} B", f"{2 * base} B"))
    lines = clean(str(root / "cleaned"))
    assert 2 * base == stored(root, "cleaned")
    assert "of the quota's" in lines[1]


def test_a_search_leaves_its_room(root: Path, base: int) -> None:
    """When the inner trials have ended their stages go: the quota is for the outer ones then."""
    what = asked(base, techniques=TECHNIQUES[:2], search={"width": [1 / 64], "learning_rate": [0.01, 0.001]})
    summary, _ = run(root, "searched", what)
    assert {"ok": TARGETS * 2} == summary.statuses
    assert stored(root, "searched/search") + stored(root, "searched") <= base
