"""A model for new people: trained on everyone, with the study's own estimate and the recipe of its calibration."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders.live import STUDY

import analysis
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.live.calibrate import check_calibration
from raylab.live.core.model_file import read_model
from raylab.live.train_general import NOBODY, general_stage, train_general
from raylab.runs.run import indexes_of
from raylab.trials.plan import plan
from raylab.trials.study import parse_study
from raylab.windows.dataset import read_windows

FCN = "fcn w0.0625"
TUNED_LAST = {"variant": "layers=last budget=3"}


def _trained(root: Path, out: Path, run: str, technique: str, **wanted: str) -> list[str]:
    lines: list[str] = []
    train_general(str(root / run), FCN, technique, out, wanted, log=lines.append)
    return lines


def test_everyone_is_trained_on_and_nobody_held_out(live_run: Path) -> None:
    """Training and validation windows together are those of all people, each of a person on one side only."""
    study = parse_study(STUDY, "run")
    trial = next(plan(study, indexes_of(study, str(live_run / "windows"))))
    windows = read_windows(Folder(str(live_run / "windows/simulated")))
    context, stage = general_stage(trial, windows)
    assert NOBODY == context.fold.target and len(windows.index.participants) == len(context.fold.others)
    labelled = np.flatnonzero(windows.index.labels["stress"] >= 0)
    assert labelled.tolist() == np.union1d(stage.train, stage.validation).tolist()
    sides = [set(windows.index.participant_index[rows]) for rows in (stage.train, stage.validation)]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert stage.hash not in {
        other for each in plan(study, indexes_of(study, str(live_run / "windows"))) for other in each.stages
    }


def test_the_file_has_the_estimate_of_the_study(live_run: Path, tmp_path: Path) -> None:
    """As its scores have it; the model predicts, a second training gives the same bits, and the card says that nobody was held out."""
    lines = _trained(live_run, tmp_path / "a.raylab", "run", "non_personalized")
    assert lines[0].startswith(f"{FCN}: 4 people of simulated (past), ")
    first = read_model(tmp_path / "a.raylab")
    scores = analysis.score(analysis.load(live_run / "run"))
    own = scores[scores["model"].eq(FCN) & scores["technique"].eq("non_personalized") & scores["against"].eq("")]
    (estimate,) = first.card.estimates
    assert (1, pytest.approx(own["auroc"].mean()), None) == (estimate.n, estimate.mean, estimate.sd)
    assert (NOBODY, 4) == (first.card.participant, first.card.people)
    text = "\n".join(first.card.lines())
    assert "held out: nobody" in text and "a new person, non_personalized: auroc " in text
    _trained(live_run, tmp_path / "b.raylab", "run", "non_personalized")
    second = read_model(tmp_path / "b.raylab")
    assert first.weights and all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())


def test_a_technique_with_calibration_brings_its_recipe(live_run: Path, tmp_path: Path) -> None:
    """Its own layers, the hyperparameters of the study, and what both did on people held out; a wearer can calibrate the file."""
    _trained(live_run, tmp_path / "tuned.raylab", "tuned", "fine_tuning", **TUNED_LAST)
    card = read_model(tmp_path / "tuned.raylab").card
    assert card.calibration is not None and {"last": ("head",)} == card.calibration.trainable
    assert ["non_personalized", "fine_tuning"] == [estimate.technique for estimate in card.estimates]
    check_calibration(card)


@pytest.mark.parametrize(
    ("run", "technique", "wanted", "problem"),
    [
        ("run", "hybrid", {}, "hybrid learns from each target before it is tested"),
        ("tuned", "user_dependent", {}, "user_dependent learns from each target"),
        (
            "tuned",
            "fine_tuning",
            {},
            r"2 entries of the study fit \(model .*[^\n]*\n  simulated \(past\) / stress / .*layers=all budget=3",
        ),
        ("run", "reptile", {}, "no entry of the study fits"),
    ],
)
def test_what_is_no_one_model_is_refused(
    live_run: Path, tmp_path: Path, run: str, technique: str, wanted: dict[str, str], problem: str
) -> None:
    """With the entries that there are."""
    with pytest.raises(RaylabError, match=problem):
        _trained(live_run, tmp_path / "x.raylab", run, technique, **wanted)
    assert not (tmp_path / "x.raylab").exists()
