"""``protocol: {precision: bf16}``: other stages, near scores, alone and in stacks; and nothing of it without it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.running import predictions, quiet
from builders.studies import small

from analysis.scores.metrics import auroc
from raylab.models.network import Network
from raylab.runs.folder import RunFolder
from raylab.runs.provenance import notes
from raylab.runs.run import indexes_of, start
from raylab.runs.stage_timing import time_stage
from raylab.trials.plan import check_datasets, plan
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

PROTOCOL = {"epochs": 8, "batch_size": 16}
LEARNS = {"encoder": "fcn", "width": 1 / 8}  # narrower ones are moved as far by another order of sums


def study(precision: str = "float32", numerics: str = "reference", **changes: Any) -> Study:
    """A base and a calibration of the last layer for each of the 5 people."""
    technique = {"name": "fine_tuning", "layers": "last", "budget": 0.2, "unit": "window"}
    protocol = {**PROTOCOL, "precision": precision, "numerics": numerics}
    return small(**{"techniques": ["non_personalized", technique], "protocol": protocol, "resources": {"stack": 5}, **changes})


def people(count: int) -> list[dict[str, Any]]:
    """The cohort's first ones, held out one after the other."""
    return [{"windows": "simulated", "label": "stress", "participants": [f"P{k:02d}" for k in range(1, count + 1)]}]


def planned(asked: Study, cohort: Path) -> list[Trial]:
    return list(plan(asked, indexes_of(asked, str(cohort))))


def stages(asked: Study, cohort: Path) -> set[str]:
    return {stage for trial in planned(asked, cohort) for stage in trial.stages}


def test_other_precisions_share_no_stage(cohort: Path) -> None:
    """Alone and in stacks; a study that names the default is one that names none."""
    kinds = [study(precision, numerics) for numerics in ("reference", "stacked") for precision in ("float32", "tf32", "bf16")]
    found = [stages(asked, cohort) for asked in kinds]

    assert sum(map(len, found)) == len(set().union(*found)) == 6 * 10
    assert found[0] == stages(small(techniques=kinds[0].techniques, protocol=PROTOCOL), cohort)
    assert "bf16" == Trial.from_config(planned(kinds[2], cohort)[0].as_config()).protocol.precision


@pytest.mark.parametrize("numerics", ["reference", "stacked"])
def test_classical_models_keep_their_stages(cohort: Path, numerics: str) -> None:
    """A study of a network and of a model without one: the second's trials are the same in every precision."""
    found = []
    for precision in ("float32", "bf16"):
        models = [{"encoder": "lda", "techniques": ["non_personalized"]}, {"encoder": "fcn", "width": 1 / 64}]
        trials = planned(study(precision, numerics, models=models), cohort)
        found.append(({t.key for t in trials if t.model.encoder == "lda"}, {t.key for t in trials if t.model.encoder == "fcn"}))

    assert found[0][0] == found[1][0] and not found[0][1] & found[1][1]


@pytest.fixture(scope="module")
def runs(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """The study of three people in float32 and in bf16, alone and in stacks of three."""
    out = tmp_path_factory.mktemp("precision")
    found = {}
    for precision, numerics in (("float32", "reference"), ("bf16", "reference"), ("bf16", "stacked")):
        folder = found[precision, numerics] = out / precision / numerics
        summary = start(
            study(precision, numerics, models=[LEARNS], datasets=people(3)), str(cohort), str(folder), "local", log=quiet
        )
        assert (summary.statuses, summary.trainings_completed) == ({"ok": 6}, 6)
    return found


def aurocs(run: Path) -> dict[tuple[str, str], float]:
    """By technique and participant, of the stored predictions."""
    tables = predictions(run)
    found = {}
    for row in RunFolder(str(run)).records():
        table = tables[row["trial"]]
        p = np.array([values[1] for values in table["p"].to_pylist()])
        found[row["technique"], row["participant"]] = auroc(
            np.array(table["y_true"].to_pylist(), dtype=np.int64), np.stack([1 - p, p], axis=1)
        )
    return found


@pytest.mark.parametrize("other", [("bf16", "reference"), ("bf16", "stacked")], ids=["alone", "stacked"])
def test_scores_are_near_those_of_float32(runs: dict[tuple[str, str], Path], other: tuple[str, str]) -> None:
    """Weights are others, AUROC moves by little: by no more than another order of sums may move it (docs/decisions/0030-stacks.md)."""
    expected, found = aurocs(runs["float32", "reference"]), aurocs(runs[other])

    assert expected.keys() == found.keys()
    differences = [abs(value - found[key]) for key, value in expected.items()]
    assert 0 < np.mean(differences) < 0.1
    assert min(np.mean(list(scores.values())) for scores in (expected, found)) > 0.75


def test_a_run_in_bf16_is_repeated_to_the_bit(runs: dict[tuple[str, str], Path], cohort: Path, tmp_path: Path) -> None:
    """Equal stage hashes, equal bits: the contract of every precision."""
    start(study("bf16", models=[LEARNS], datasets=people(1)), str(cohort), str(tmp_path), "local", log=quiet)
    before, again = predictions(runs["bf16", "reference"]), predictions(tmp_path)

    assert 2 == len(again) and all(table.equals(before[key]) for key, table in again.items())


@pytest.mark.parametrize("members", [1, 3])
def test_a_plan_is_timed_in_its_precision(made: Windows, members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--plan`` measures what will be run."""
    asked = small(datasets=[{"windows": "made", "label": "stress"}], protocol={**PROTOCOL, "precision": "bf16"})
    seen: set[str] = set()
    real = Network.features

    def noted(network: Network, batch: Any) -> Any:
        seen.add(network.precision)
        return real(network, batch)

    monkeypatch.setattr(Network, "features", noted)
    trial = next(plan(asked, {"made": made.index}))
    assert time_stage(trial, "everyone_else", made, "cpu", members).step_s > 0
    assert {"bf16"} == seen


@pytest.mark.parametrize(
    ("expected", "precision", "encoder"),
    [
        ("precision: bf16: the layers of networks were computed in bfloat16", "bf16", "fcn"),
        ("precision: tf32: networks were trained and evaluated with products by TensorFloat-32 on GPUs", "tf32", "fcn"),
        ("", "float32", "fcn"),
        ("", "bf16", "lda"),
    ],
)
def test_every_table_says_the_precision(expected: str, precision: str, encoder: str, cohort: Path) -> None:
    """If there is a network and it is not the default; it is no departure from the paper's protocol besides."""
    asked = study(precision, models=[{"encoder": encoder}], techniques=["non_personalized"])
    lines = notes(asked, check_datasets(asked, indexes_of(asked, str(cohort))))

    told = [line for line in lines if "precision" in line]
    assert len(told) == bool(expected) and all(line.startswith(expected) for line in told)
