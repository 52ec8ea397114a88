"""Planning: each fold once whatever the number of models and variants, the hashes that it always had, and a plan that is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.studies import study
from builders.windows import make_windows, with_card, with_traits

from raylab.folds import shared as shared_module
from raylab.folds.shared import hash_windows
from raylab.hashing import hash_array, hash_record
from raylab.runs import stored_plan as stored_plan_module
from raylab.runs.folder import RunFolder, plan_table
from raylab.runs.stored_plan import plan_identity, planned_trials
from raylab.techniques.registry import TECHNIQUES
from raylab.trials.plan import plan
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

CLUSTERED = [
    {"name": "multi_task", "by": "data", "task": "user"},
    {"name": "cluster_specific", "by": "both", "k": 2},
    {"name": "cluster_specific", "k": "silhouette"},
]
EVERY = [*(name for name in TECHNIQUES if name not in ("multi_task", "cluster_specific")), *CLUSTERED]
SOME = ["non_personalized", "fine_tuning", "hybrid", "prototypes", "similarity_weighting", CLUSTERED[0]]


def alternating(people: int) -> Windows:
    """People of two orders of the classes, with gaps, and traits that are numbers and texts."""
    rng = np.random.default_rng(0)
    names = [f"P{i:02d}" for i in range(people)]
    classes = {name: [int((j // 6 + i) % 2) if j % 17 else -1 for j in range(36 + i % 3)] for i, name in enumerate(names)}
    traits = {n: {"age": int(rng.integers(20, 60)), "gender": "fm"[i % 2], "hand": "lrb"[i % 3]} for i, n in enumerate(names)}
    return with_traits(make_windows(classes, traits=traits), traits, ["age", "gender", "hand"])


def planned(windows: Windows, **changes: Any) -> list[Trial]:
    return list(plan(parse_study(study(**changes), "s"), {"made": windows.index}))


MADE = {"windows": "made", "label": "stress"}
GOLDEN: dict[str, tuple[dict[str, Any], str]] = {
    "everybody": ({"techniques": EVERY, "seeds": [7]}, "d662927dd8291004db07"),
    "groups": (
        {"techniques": [*SOME, *CLUSTERED[1:], "when_to_personalize"], "folds": {"group_k_fold": 3}},
        "6b44c23f48b1efc7a2e9",
    ),
    "split": ({"techniques": ["non_personalized"], "folds": {"split": [0.7, 0.15, 0.15]}}, "46928205d0c19e99dce7"),
    "matched": ({"techniques": SOME, "datasets": [{**MADE, "match": "clock"}]}, "b14eef9650cd444254c7"),
    "restricted": ({"techniques": SOME, "datasets": [{**MADE, "restrict": {"border_minutes": 0.4}}]}, "62c4a6d4b9b831b0d285"),
    "few": ({"techniques": SOME, "datasets": [{**MADE, "people": [4], "channels": ["b"]}]}, "15bafa220e601369da86"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_trials_and_stages_keep_their_hashes(name: str) -> None:
    """What is in stores is found again: keys, stages and problems as they were when every trial built its own fold."""
    changes, expected = GOLDEN[name]
    trials = planned(alternating(7), **changes)
    assert expected == hash_record([[trial.key, list(trial.stages), trial.problem] for trial in trials])


@pytest.mark.parametrize("towards", [-np.inf, np.inf])
def test_last_bits_of_a_processor_change_no_plan(monkeypatch: pytest.MonkeyPatch, towards: float) -> None:
    """Another type has another exp; weights by similarity are in the hashes."""
    real, techniques = np.exp, ["non_personalized", "similarity_weighting"]
    here = planned(alternating(7), techniques=techniques)
    monkeypatch.setattr(np, "exp", lambda x: np.nextafter(real(x), towards))
    there = planned(alternating(7), techniques=techniques)
    assert any(trial.labels["technique"] == "similarity_weighting" and not trial.problem for trial in here)
    assert [trial.key for trial in here] == [trial.key for trial in there]


def test_hashes_that_go_on_from_others_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows of one person among those of all others, wherever they stand and whichever rows were hashed before."""
    monkeypatch.setattr(shared_module, "BLOCK_ROWS", 8)
    index, rng = alternating(7).index, np.random.default_rng(0)
    others = np.flatnonzero(index.participant_index != 3)
    for _ in range(40):
        own = rng.choice(np.flatnonzero(index.participant_index == 3), rng.choice([2, 3, 8]), replace=False)
        rows = np.insert(others, rng.choice([0, len(others), *rng.integers(0, len(others), 3)]), own)
        assert hash_array(index.window[rows]) == hash_windows(rows, index)


def test_windows_are_hashed_once_per_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three models and three variants of a base take no more digests than one of each."""
    counts, count = [], 0
    real = shared_module.hash_array

    def counted(array: Any) -> str:
        nonlocal count
        count += 1
        return real(array)

    monkeypatch.setattr(shared_module, "hash_array", counted)
    for models in ([1 / 64], [1 / 64, 1 / 32, 1 / 16]):
        count = 0
        planned(alternating(6), models=[{"encoder": "fcn", "width": width} for width in models])
        counts.append(count)
    assert counts[0] == counts[1] > 0


def stored(folder: Path, windows: Windows, lines: list[str], **changes: Any) -> tuple[list[Trial], int]:
    """The plan from this folder, into which it is written; and how many trials were planned for it."""
    asked: Study = parse_study(study(**changes), "s")
    run, indexes = RunFolder(str(folder)), {"made": windows.index}
    identity, count = plan_identity(asked, indexes, None), 0
    real = stored_plan_module.with_stage_hashes

    def counted(trial: Trial, index: Any) -> Trial:
        nonlocal count
        count += 1
        return real(trial, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_plan_module, "with_stage_hashes", counted)
        trials = planned_trials(asked, indexes, run, None, identity, lines.append)
    run.write_start("", {}, trials, [], identity=identity)
    return trials, count


def test_a_plan_is_taken_from_the_folder(tmp_path: Path) -> None:
    """A second start of the same study gets the same trials from plan.parquet, problems too, and plans a sample alone."""
    windows, budget = alternating(6), [{"name": "fine_tuning", "layers": "last", "budget": [0.2, 40]}]
    lines: list[str] = []
    first, none = stored(tmp_path, windows, lines, techniques=budget)
    again, sample = stored(tmp_path, windows, lines, techniques=budget)
    assert (first, 0, 12) == (again, none, sample)
    assert any(trial.problem for trial in first) and not lines


def test_a_plan_of_other_windows_or_another_study_is_made_anew(tmp_path: Path) -> None:
    """The fingerprint, the card and the study are in the plan's identity: nothing is checked against a plan that cannot be right."""
    windows = alternating(6)
    stored(tmp_path, windows, [])
    others = (with_card(windows, fingerprint="other"), with_card(windows, similarity_traits=("age",)))
    assert [0, 0] == [stored(tmp_path, other, [])[1] for other in others]
    assert 0 == stored(tmp_path, windows, [], seeds=[3])[1]


def test_a_stored_plan_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """A plan of other stages under this identity, as other code might leave it, is found by the sample and made anew."""
    windows, lines = alternating(6), []  # type: ignore[var-annotated]  # of lines
    right, _ = stored(tmp_path, windows, lines)
    run = RunFolder(str(tmp_path))
    identity = plan_identity(parse_study(study(), "s"), {"made": windows.index}, None)
    wrong = [trial.planned(["0" * 20]) for trial in right]
    run.folder.write_table("plan.parquet", plan_table(wrong, identity))
    again, _ = stored(tmp_path, windows, lines)
    assert right == again
    assert "18 of 18 trials differ" in lines[0]
