"""Every fusion with every encoder and every technique: listed here, each runs on a small cohort or is refused with its reason."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.windows import make_windows, with_card

from raylab.errors import StudyError
from raylab.files import Folder
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS, model_names
from raylab.runs.folder import RunFolder
from raylab.techniques.registry import TECHNIQUES
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import Study, parse_study
from raylab.windows.dataset import Windows
from raylab.windows.preprocess import Preprocessing

# Of each technique the variants that make models differ: which parts a stage frees.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "non_personalized": [{}],
    "fine_tuning": [{"layers": "all", "budget": 2}, {"layers": "last", "budget": 2}],
    "hybrid": [{"budget": 2}],
    "cluster_specific": [{"k": 2}],
    "multi_task": [{"task": "user"}],
    "user_dependent": [{"budget": 3}],
    "prototypes": [{"budget": 2}],
    "adabn": [{"unlabelled": "past"}, {"unlabelled": "all"}],
    "head_map": [{"budget": 2}],
    "similarity_weighting": [{}],
    "lora": [{"budget": 2}],
    "affine": [{"budget": 2}],
    "history": [{"unlabelled": "past"}],
    "robust": [{"penalty": "vrex"}],
    "reptile": [{"budget": 2}],
    "pretrain": [{"unlabelled": "none", "budget": 2}],
    "tent": [{"unlabelled": "all"}],
    "adaptive": [{"stop": "test", "pool": 2}],
    "when_to_personalize": [{"budget": 2}],
    "oracle": [{"blocks": 2}],
}
MODELS = list(product(FUSIONS, model_names()))
SOUND = [(fusion, encoder) for fusion, encoder in MODELS if fusion == "late" or encoder not in CLASSICAL_MODELS]


@pytest.fixture(scope="module")
def people() -> Windows:
    """Five people with traits, 12 windows each."""
    traits = {f"P{i}": {"age": float(20 + 5 * i)} for i in range(1, 6)}
    made = make_windows({name: [0] * 6 + [1] * 6 for name in traits}, traits=traits)
    a, b = made.index.card.channels
    return with_card(made, channels=(a.changed(modality="pulse"), b.changed(modality="voice")))


def shortened(windows: Windows) -> Windows:
    """The same with ``b`` of variable length, and without it in every seventh window."""
    count = len(windows.index.window)
    steps = np.where(np.arange(count) % 7 == 3, 0, 6 + np.arange(count) % 11).astype(np.int32)
    b = windows.signals["b"] * (np.arange(16) < steps[:, None])[:, :, None]
    channels = tuple(channel.changed(variable=channel.name == "b") for channel in windows.index.card.channels)
    return Windows(with_card(windows, channels=channels).index, {**windows.signals, "b": b}, {"b": steps})


def study(model: dict[str, Any], *techniques: Any) -> Study:
    content = {
        "name": "combinations",
        "datasets": [{"windows": "made", "label": "stress", "participants": ["P1"]}],
        "models": [model],
        "techniques": list(techniques),
        "protocol": {"epochs": 1, "batch_size": 16, "batch_share": 1.0, "stages": {"pretrain": {"epochs": 1}}},
    }
    return parse_study(content, "test")


def model_of(fusion: str, encoder: str) -> dict[str, Any]:
    return {"encoder": encoder, "fusion": fusion, **({} if encoder in CLASSICAL_MODELS else {"width": 1 / 64})}


def expected_refusal(fusion: str, encoder: str, technique: str) -> str:
    """The part of the sentence that says why; empty for what runs."""
    if encoder in CLASSICAL_MODELS and fusion != "late":
        return "nothing for fusion"
    if encoder in CLASSICAL_MODELS:
        return _classical_refusal(encoder, technique)
    norm = ENCODERS[encoder].norm
    refused = {
        f"{encoder} has no batch norm": technique in ("adabn", "tent") and norm != "batch",
        f"{encoder} has none": technique == "affine" and not norm,
        "there is nothing between": fusion == "weighted" and technique == "multi_task",
        "sets a linear head": fusion == "weighted" and technique in ("prototypes", "head_map"),
        "are the channels' votes": fusion in ("weighted", "stacked") and technique in ("history", "robust", "pretrain", "tent"),
    }
    return next((why for why, applies in refused.items() if applies), "")


def _classical_refusal(encoder: str, technique: str) -> str:
    """What is fitted at once runs, class means where classes have a mean, and weights where the fit has a place for them."""
    if technique == "prototypes":
        return "" if CLASSICAL_MODELS[encoder].has_space else f"{encoder} has no feature space"
    if technique == "similarity_weighting":
        return "" if CLASSICAL_MODELS[encoder].weighs else f"{encoder} has no place for"
    return "" if technique in ("non_personalized", "hybrid", "cluster_specific", "user_dependent") else f"{encoder} is"


def test_every_technique_is_in_the_list() -> None:
    """A technique that is added is combined with every model."""
    assert set(TECHNIQUES) == set(VARIANTS)


@pytest.mark.parametrize(("fusion", "encoder"), MODELS, ids=[f"{fusion}-{encoder}" for fusion, encoder in MODELS])
def test_every_combination_runs_or_says_why_not(fusion: str, encoder: str, people: Windows, tmp_path: Path) -> None:
    """Each technique with this model either predicts the target's windows or is refused before anything runs."""
    store = StageStore(Folder(tmp_path))
    for technique, variants in VARIANTS.items():
        refusal = expected_refusal(fusion, encoder, technique)
        for variant in variants:
            asked = {"name": technique, **variant}
            if refusal:
                with pytest.raises(StudyError, match=refusal):
                    study(model_of(fusion, encoder), asked)
                continue
            (trial,) = plan(study(model_of(fusion, encoder), asked), {"made": people.index})
            outcome = run_trial(trial, people, store)
            assert "ok" == outcome.status, (technique, outcome.record["error"])
            assert outcome.predictions is not None and outcome.predictions.num_rows >= 6
            assert (outcome.attention is not None) == (fusion == "attention")


@pytest.mark.parametrize(("fusion", "encoder"), SOUND, ids=[f"{fusion}-{encoder}" for fusion, encoder in SOUND])
def test_windows_of_variable_length_run_or_are_refused(fusion: str, encoder: str, people: Windows, tmp_path: Path) -> None:
    """Every model takes a channel of variable length that some windows lack, but those declared not to, which say why."""
    windows = shortened(people)
    asked = study(model_of(fusion, encoder), "non_personalized")
    if not (ENCODERS.get(encoder) or CLASSICAL_MODELS[encoder]).variable:
        with pytest.raises(StudyError, match=f"{encoder} takes windows of one length only, and made has b of variable length"):
            list(plan(asked, {"made": windows.index}))
        return
    (trial,) = plan(asked, {"made": windows.index})
    outcome = run_trial(trial, windows, StageStore(Folder(tmp_path)))
    assert "ok" == outcome.status, outcome.record["error"]


@pytest.mark.parametrize("encoder", [name for name in model_names() if name not in CLASSICAL_MODELS])
def test_networks_are_refused_on_signals_in_their_units(encoder: str, people: Windows) -> None:
    """A network does not scale what it sees: the sentence names the normalizations and the models without a network."""
    raw = with_card(people, preprocessing=Preprocessing(normalization="none"))
    with pytest.raises(
        StudyError, match=rf"{encoder} cannot use made \(not normalized\): .*another --normalization, or use a model without"
    ):
        list(plan(study({"encoder": encoder}, "non_personalized"), {"made": raw.index}))


@pytest.mark.parametrize("encoder", ["lda", "rule", "svm", "hmm_gmm"])
def test_models_without_a_network_take_signals_in_their_units(encoder: str, people: Windows, tmp_path: Path) -> None:
    """They standardize by their training windows, so a signal in another unit gives the same."""
    raw = with_card(people, preprocessing=Preprocessing(normalization="none"))
    scaled = replace(raw, signals={name: values * np.float32(2.0**12) for name, values in raw.signals.items()})
    found = []
    for number, windows in enumerate((raw, scaled)):
        (trial,) = plan(study({"encoder": encoder}, "non_personalized"), {"made": windows.index})
        outcome = run_trial(trial, windows, StageStore(Folder(tmp_path / str(number))))
        assert outcome.status == "ok", outcome.record["error"]
        found.append(outcome.record["auroc"])
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_model_may_be_trained_by_some_of_the_techniques(people: Windows) -> None:
    """A study of a network and a model that cannot be fine-tuned is refused, unless the model names the techniques that it can."""
    techniques = ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 2}]
    network, rule = {"encoder": "fcn", "width": 1 / 64}, {"encoder": "rule", "techniques": ["non_personalized"]}
    with pytest.raises(StudyError, match="rule is fitted at once"):
        study({"encoder": "rule"}, *techniques)
    both = parse_study({**study(network, *techniques).as_dict(), "models": [network, rule]}, "test")

    trials = list(plan(both, {"made": people.index}))

    expected = [("fcn", "non_personalized"), ("fcn", "fine_tuning"), ("rule", "non_personalized")]
    assert expected == [(trial.model.encoder, trial.technique) for trial in trials]


def test_attention_weights_stand_beside_the_predictions(people: Windows, tmp_path: Path) -> None:
    """A run folder gets one row for each channel of each predicted window; they sum to 1, and what a window lacks has exactly 0."""
    windows = shortened(people)
    (trial,) = plan(study(model_of("attention", "fcn"), "non_personalized"), {"made": windows.index})
    run = RunFolder(str(tmp_path))

    outcome = run_trial(trial, windows, run.store)
    run.write_outcome(outcome, "here")

    found = run.folder.read_table(f"attention/{trial.key}.parquet").to_pandas()
    predicted = run.folder.read_table(f"predictions/{trial.key}.parquet")["window"].to_pylist()
    assert ["trial", "window", "channel", "weight"] == list(found)
    assert predicted == found["window"].drop_duplicates().tolist()
    weights = found.pivot_table(index="window", columns="channel", values="weight")
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    lacking = windows.index.window[windows.lengths["b"] == 0]
    assert {0.0} == set(weights.loc[[w for w in predicted if w in lacking], "b"])
    assert (weights.loc[[w for w in predicted if w not in lacking]] > 0).all(axis=None)


def test_modalities_are_an_axis_of_a_study(people: Windows) -> None:
    """A model of one modality sees its channels, is called by it, and shares its stages with a study that names these channels."""
    every, one = {"encoder": "fcn"}, {"encoder": "fcn", "modalities": ["voice"]}
    (all_of_them,), (voice,) = (plan(study(model, "non_personalized"), {"made": people.index}) for model in (every, one))
    named = study(every, "non_personalized").model_copy(
        update={"datasets": [study(every, "non_personalized").datasets[0].model_copy(update={"channels": ["b"]})]}
    )
    (by_channel,) = plan(named, {"made": people.index})

    assert (("a", "b"), ("b",)) == (all_of_them.channels, voice.channels)
    assert ("fcn", "fcn voice") == (all_of_them.labels["model"], voice.labels["model"])
    assert by_channel.stages == voice.stages != all_of_them.stages
    assert voice.key != by_channel.key


@pytest.mark.parametrize(
    ("modalities", "why"),
    [
        (["voice", "face"], r"made has no modality face for fcn voice\+face \(it has pulse, voice\)"),
        ([], "models.0.modalities: it has to name at least one"),
        (["voice", "voice"], "modalities: it names voice twice"),
    ],
)
def test_modalities_that_are_not_there_are_refused(modalities: list[str], why: str, people: Windows) -> None:
    """An unknown modality, none at all, or one twice."""
    with pytest.raises(StudyError, match=why):
        list(plan(study({"encoder": "fcn", "modalities": modalities}, "non_personalized"), {"made": people.index}))


def test_a_modality_whose_channels_the_study_leaves_out_is_not_there(people: Windows) -> None:
    """A subset with nothing in it: the channels that are named hold no voice."""
    asked = study({"encoder": "fcn", "modalities": ["voice"]}, "non_personalized")
    without = asked.model_copy(update={"datasets": [asked.datasets[0].model_copy(update={"channels": ["a"]})]})

    with pytest.raises(StudyError, match=r"made has no modality voice for fcn voice \(it has pulse\)"):
        list(plan(without, {"made": people.index}))
