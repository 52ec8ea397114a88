"""Which techniques are refused before anything runs, and what their names say."""

import pytest

from raylab.errors import StudyError
from raylab.models.network import ModelSpec
from raylab.techniques.registry import TECHNIQUES
from raylab.trials.compatibility import technique_problem, workers_problem
from raylab.trials.study import parse_study


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
        parse_study(
            {
                "name": "two workers",
                "datasets": [{"windows": "made", "label": "stress"}],
                "models": [{"encoder": "fcn"}],
                "techniques": ["non_personalized", "reptile"],
                "resources": {"workers": 2},
            },
            "test",
        )


def test_what_is_looked_at_of_the_target_is_in_every_name() -> None:
    """The axis ``unlabelled`` is named whatever its value; a single default of another axis is not."""
    for technique in TECHNIQUES.values():
        for variant in technique.variants({}):
            if "unlabelled" in variant:
                assert f"unlabelled={variant['unlabelled']}" in technique.variant_name(variant)
    assert "unlabelled=past" == TECHNIQUES["adabn"].variant_name({"unlabelled": "past", "prior": 10})
    assert {"tent"} == {name for name, technique in TECHNIQUES.items() if technique.warning}
