"""The paper's whole study on five fixtures in the published layouts: a cut of it, and all of it, in `make slow`.

What it scores says nothing: the signals are simulated. It shows that every dataset, target, model and technique runs end to end.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.amigos import write_amigos
from builders.ascertain import write_ascertain
from builders.case import write_case
from builders.kemocon import write_kemocon
from builders.wesad import write_wesad

import analysis
import analysis.report.write
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import Study, parse_study

PAPER = Path(__file__).resolve().parents[2] / "studies" / "paper.yaml"
WRITERS: dict[str, Any] = {
    "amigos": lambda root, people: write_amigos(root, range(1, people + 1)),
    "ascertain": lambda root, people: write_ascertain(root, range(1, people + 1)),
    "wesad": lambda root, people: write_wesad(root, range(2, people + 2)),
    "case": lambda root, people: write_case(root, range(1, people + 1), seconds=40.0),
    "kemocon": lambda root, people: write_kemocon(root, range(1, people + 1)),
}
OPTIONS: dict[str, dict[str, Any]] = {"kemocon": {"subset": "all"}}


def prepared(root: Path, people: int) -> Path:
    """The windows of all five, each written in its published layout for so many people and read by its own reader."""
    for name, write in WRITERS.items():
        write(root / "raw" / name, people)
        order = PrepareRequest(name, str(root / "raw" / name), str(root / "windows" / name), options=OPTIONS.get(name, {}))
        card = prepare(order, say=lambda line: None, where="local")
        assert people == len(card.participants)
    return root / "windows"


def paper(**changes: Any) -> Study:
    """The paper's study file, tiny: a fiftieth of the width, one epoch, one seed."""
    content = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    models = [{**model, "width": 0.02} for model in content["models"]]
    return parse_study(
        {**content, "models": models, "seeds": [0], "protocol": {"epochs": 1, "batch_size": 16}, **changes}, "paper"
    )


def run(study: Study, windows: Path, out: Path, where: Any) -> Any:
    """Run and compare; nothing may fail, and what is missing says why."""
    summary = start(study, str(windows), str(out), where, log=print if where == "ray" else lambda line: None)
    assert summary.complete
    assert summary.trainings_completed == summary.stages_needed
    frames = analysis.load(out)
    sentences = Counter(frames.trials.loc[frames.trials["status"] == "missing", "error"])
    print("\n".join(f"{count} missing: {sentence}" for sentence, count in sentences.items()))  # noqa: T201
    return frames, analysis.report.write.report_data(out).comparison


@pytest.mark.slow  # a minute of training
def test_a_cut_of_the_paper_runs_on_all_nine_targets(tmp_path: Path) -> None:
    """Nine (dataset, label) targets, one model, five techniques, one of four people held out: each gets a row, and nothing fails."""
    content = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    people = {"wesad": ["S2"], "case": ["S01"]}
    datasets = [{**entry, "participants": people.get(entry["windows"], ["P01"])} for entry in content["datasets"]]
    techniques = [
        "non_personalized",
        {"name": "fine_tuning", "layers": "last", "budget": 0.2},
        {"name": "hybrid", "budget": 0.2},
        {"name": "cluster_specific", "k": 2},
        {"name": "multi_task", "task": "cluster"},
    ]
    few = {"epochs": 1, "batch_size": 64}
    study = paper(datasets=datasets, techniques=techniques, models=[{"encoder": "mlp_lstm", "width": 0.02}], protocol=few)
    frames, comparison = run(study, prepared(tmp_path, 4), tmp_path / "run", "local")
    assert 9 * 5 == len(frames.plan)
    shown = comparison[~comparison["technique"].isin(["majority_class", "random_guess"])]
    assert {9} == set(shown.groupby("technique").size())


@pytest.mark.slow
def test_the_whole_paper_runs(cluster: None, tmp_path: Path) -> None:
    """5 datasets, 9 targets, 3 models, 5 techniques with all variants, seven people each, on Ray."""
    out = Path(os.environ.get("RAYLAB_PAPER_RUN", str(tmp_path / "run")))
    frames, comparison = run(paper(), prepared(tmp_path, 7), out, "ray")
    analysis.report.write.write_report(out)
    assert 9 * 3 * 20 * 7 == len(frames.plan)
    assert 27 == len(comparison.groupby(["dataset", "label", "model"]))
    print(f"{len(frames.plan)} trials: {dict(frames.trials['status'].value_counts())}")  # noqa: T201
