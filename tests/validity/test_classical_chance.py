"""Models without a network under the shuffled labels probe: at chance where labels say nothing, above it where they do."""

from pathlib import Path

import numpy as np
import pytest
from builders.windows import make_windows, store

from raylab.files import Folder
from raylab.models.registry import CLASSICAL_MODELS
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import parse_study
from raylab.validity.probes import probe
from raylab.windows.dataset import Windows, read_windows

MODELS = [name for name in CLASSICAL_MODELS if name != "hmm_gmm"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Windows]:
    """Six people with 40 windows each, and the same with labels that were permuted within each person."""
    root = tmp_path_factory.mktemp("chance")
    people = make_windows({f"P{i}": [0, 1] * 20 for i in range(6)})
    probe("shuffled_labels", str(store(people, root / "made")), str(root / "shuffled"), seed=1)
    return {"made": people, "shuffled": read_windows(Folder(root / "shuffled"))}


def mean_auroc(model: str, windows: Windows, folder: Path) -> float:
    """Over the people, each held out in turn."""
    content = {
        "name": "chance",
        "datasets": [{"windows": "made", "label": "stress"}],
        "models": [{"encoder": model}],
        "techniques": ["non_personalized"],
    }
    trials = plan(parse_study(content, "test"), {"made": windows.index})
    outcomes = [run_trial(trial, windows, StageStore(Folder(folder))) for trial in trials]
    assert {"ok"} == {outcome.status for outcome in outcomes}
    return float(np.mean([outcome.record["auroc"] for outcome in outcomes]))


@pytest.mark.parametrize("model", MODELS)
def test_shuffled_labels_are_at_chance(model: str, both: dict[str, Windows], tmp_path: Path) -> None:
    """Of permuted labels a mean AUROC has an SD of 0.04 here."""
    assert mean_auroc(model, both["made"], tmp_path / "made") > 0.85
    assert abs(mean_auroc(model, both["shuffled"], tmp_path / "shuffled") - 0.5) < 0.12
