"""Which techniques go with which models, what is refused with which sentence, and what every name tells."""

from pathlib import Path
from typing import Any

import pytest
from builders.techniques import TRAITS, one_amount
from builders.windows import make_windows

from raylab.errors import StudyError
from raylab.files import Folder
from raylab.models.network import ModelSpec
from raylab.models.registry import CLASSICAL_MODELS
from raylab.techniques.registry import TECHNIQUES
from raylab.training.stage_store import StageStore
from raylab.trials.compatibility import technique_problem, workers_problem
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import parse_study
from raylab.windows.dataset import Windows


@pytest.fixture
def people() -> Windows:
    """Eight people with traits, 20 windows each."""
    return make_windows({name: [0] * 10 + [1] * 10 for name in TRAITS}, traits=TRAITS)


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


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_classical_models_run_what_they_can_and_refuse_the_rest(name: str, people: Windows, tmp_path: Path) -> None:
    """Every technique with each classical model: it runs, also from the store, or the study is refused with a sentence that names both."""
    if CLASSICAL_MODELS[name].missing:
        pytest.skip(CLASSICAL_MODELS[name].missing)
    ran = set()
    for technique in TECHNIQUES:
        changes: dict[str, Any] = {
            "datasets": [{"windows": "made", "label": "stress", "participants": ["P1"]}],
            "models": [{"encoder": name}],
            "techniques": [{"name": technique, **one_amount(technique)}],
            "protocol": {},
        }
        problems = [technique_problem(ModelSpec(name), technique, variant) for variant in TECHNIQUES[technique].variants({})]
        if any(problems):
            assert all(technique in problem and name in problem for problem in problems)
            with pytest.raises(StudyError, match=technique):
                _study(**changes)
            continue
        ran.add(technique)
        if technique not in (
            "prototypes",
            "similarity_weighting",
        ):  # the others are the study's, whose tests are those of the models
            continue
        (trial,) = plan(_study(**changes), {"made": people.index})
        outcome, again = (run_trial(trial, people, StageStore(Folder(tmp_path))) for _ in range(2))
        assert ("ok", "ok", []) == (outcome.status, again.status, again.trained), outcome.record["error"]
        assert again.predictions == outcome.predictions
    classical = CLASSICAL_MODELS[name]
    expected = {"prototypes"} if classical.has_space else set()
    expected |= {"similarity_weighting"} if classical.weighs else set()
    assert {"non_personalized", "hybrid", "cluster_specific", "user_dependent", *expected} == ran


def test_what_cannot_work_is_refused_with_its_reason() -> None:
    """Networks without batch norm, heads that are not linear, features that are votes, and workers that would share a loss over people."""
    variants = {name: technique.variants({})[0] for name, technique in TECHNIQUES.items()}

    def why(technique: str, encoder: str = "fcn", fusion: str = "late") -> str:
        return technique_problem(ModelSpec(encoder, fusion), technique, variants[technique])

    assert "mlp_lstm has no batch norm" in why("adabn", "mlp_lstm")
    assert "transformer has no batch norm" in why("tent", "transformer")
    assert "rnn has none" in why("affine", "rnn")
    assert not why("affine", "transformer")
    assert "linear head" in why("prototypes", fusion="weighted")
    assert "linear head" in why("head_map", fusion="weighted")
    assert not why("prototypes", fusion="stacked")
    for technique in ("history", "robust", "pretrain", "tent"):
        assert "votes" in why(technique, fusion="stacked")
    refused = {name for name in TECHNIQUES if workers_problem(name, variants[name])}
    assert {"robust", "reptile", "pretrain"} == refused
    with pytest.raises(StudyError, match=r"resources.workers: reptile is trained by one worker"):
        _study(techniques=["non_personalized", "reptile"], resources={"workers": 2})


def test_what_is_looked_at_of_the_target_is_in_every_name() -> None:
    """The axis ``unlabelled`` is named whatever its value; a single default of another axis is not."""
    for technique in TECHNIQUES.values():
        for variant in technique.variants({}):
            if "unlabelled" in variant:
                assert f"unlabelled={variant['unlabelled']}" in technique.variant_name(variant)
    assert "unlabelled=past" == TECHNIQUES["adabn"].variant_name({"unlabelled": "past", "prior": 10})
    assert {"tent"} == {name for name, technique in TECHNIQUES.items() if technique.warning}
