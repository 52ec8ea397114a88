"""A model file's sentences: they come from the declaration of the dataset."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.live import TUNED, key_of
from builders.windows import with_card

from raylab.errors import RaylabError
from raylab.features.text import ENGLISH, GERMAN
from raylab.files import Folder
from raylab.live.core.model_card import ModelCard
from raylab.live.core.model_file import read_model
from raylab.live.export import export, require_exportable, sentences_of
from raylab.live.train_general import train_general
from raylab.models.network import Network
from raylab.runs.folder import RunFolder
from raylab.runs.run import start
from raylab.training.batches import Signals
from raylab.training.loop import predict
from raylab.trials.plan import plan
from raylab.trials.study import parse_study
from raylab.windows.dataset import Windows, read_windows


@pytest.mark.parametrize(
    ("dataset", "unit", "expected"),
    [("ravdess", ENGLISH, 2), ("ravdess", GERMAN, 0), ("emodb", GERMAN, 0), ("emodb", ENGLISH, 0), ("mine", ENGLISH, 0)],
)
def test_sentences_are_those_that_the_dataset_declares(made: Windows, dataset: str, unit: str, expected: int) -> None:
    """Only for a model that sees these words, and only of a dataset that declares sentences for them."""
    a, b = made.index.card.channels
    index = with_card(made, dataset=dataset, channels=(a, b.changed(unit=unit))).index
    assert expected == len(sentences_of(index, ("a", "b")))
    assert () == sentences_of(index, ("a",))


def test_techniques_that_a_model_file_cannot_hold_say_so(made: Windows) -> None:
    """Added parts, predictions that read other windows, and classical models whose decision was replaced; all others can be exported."""
    names = ["non_personalized", "lora", "affine", "reptile", "adabn", "history", "prototypes", "head_map", "tent"]
    study = {
        "name": "s",
        "datasets": [{"windows": "made", "label": "stress", "participants": ["P1"]}],
        "models": [{"encoder": "fcn"}, {"encoder": "lda", "techniques": ["prototypes"]}],
        "techniques": names,
    }
    refused = set()
    for trial in plan(parse_study(study, "s"), {"made": made.index}):
        try:
            require_exportable(trial)
        except RaylabError:
            refused.add((trial.model.encoder, trial.technique, trial.variant.get("unlabelled", "")))
    looks = ("past", "first", "all")
    assert {
        ("fcn", "lora", ""),
        ("fcn", "adabn", "past"),
        *(("fcn", "history", x) for x in looks),
        ("lda", "prototypes", ""),
    } == refused


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, and nothing."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RaylabError, match=r"cannot be read .* `raylab export`"):
            read_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"width": "0.06"},
        {"width": True},
        {"width": -1},
        {"fusion": []},
        {"encoder": 5},
        {"modalities": "eda"},
        {"modalities": [1]},
        {"channels": {}},
    ],
    ids=str,
)
def test_a_models_declaration_of_other_types_is_refused(change: dict[str, Any]) -> None:
    """A width that is a text was accepted, and failed where it was printed."""
    with pytest.raises(ValueError, match="of a model"):
        ModelCard._known_model({"encoder": "svm", "fusion": "late", "width": 1.0, **change})


def test_weights_that_were_not_kept_are_trained_again(live_run: Path, tmp_path: Path) -> None:
    """A run keeps bases alone, and gives the model file of a run that keeps everything, to the bit; it is only read."""
    keeps = parse_study({**TUNED, "keep": "all"}, "keeps")
    start(keeps, str(live_run / "windows"), str(tmp_path / "run"), "local", log=lambda line: None)
    asked = {"model": "fcn w0.0625", "technique": "fine_tuning", "variant": "layers=all budget=3"}
    stores = [RunFolder(str(run)).store for run in (live_run / "tuned", tmp_path / "run")]
    assert (1, 4) == tuple(len(store.hashes()) for store in stores)
    runs = (live_run / "tuned", tmp_path / "run")
    models = [
        export(str(run), key_of(run, **asked), tmp_path / f"{n}.raylab", str(live_run / "windows"))
        for n, run in enumerate(runs)
    ]
    assert 1 == len(stores[0].hashes())
    for name, value in models[0].weights.items():
        assert torch.equal(value, models[1].weights[name])


def test_what_a_stack_did_not_keep_is_trained_again_in_its_stack(live_run: Path, tmp_path: Path) -> None:
    """To the bit the weights that a run which keeps all has; a training alone would give others."""
    models = []
    for keep in ("all", "bases"):
        study = {**TUNED, "keep": keep, "datasets": [{"windows": "simulated", "label": "stress"}]}
        study["protocol"] = {"epochs": 2, "batch_size": 16, "numerics": "stacked"}
        run = tmp_path / keep
        assert start(parse_study(study, keep), str(live_run / "windows"), str(run), "local", log=lambda line: None).complete
        key = key_of(run, technique="user_dependent", participant="P02")
        models.append(export(str(run), key, tmp_path / f"{keep}.raylab"))
    kept, again = models
    assert kept.card.stages == again.card.stages
    assert not RunFolder(str(tmp_path / "bases")).store.has(kept.card.stages[-1])
    assert all(torch.equal(value, again.weights[name]) for name, value in kept.weights.items())


def test_a_model_that_was_trained_in_bf16_is_served_in_float32(live_run: Path, tmp_path: Path) -> None:
    """Its weights are those of the study; its probabilities are near those that the study predicted, and not the same."""
    study = {**TUNED, "techniques": ["non_personalized"], "protocol": {"epochs": 2, "batch_size": 16, "precision": "bf16"}}
    run, windows = tmp_path / "run", live_run / "windows"
    start(parse_study(study, "bf16"), str(windows), str(run), "local", log=lambda line: None)
    key = key_of(run, technique="non_personalized")
    network = export(str(run), key, tmp_path / "bf16.raylab").network()
    assert isinstance(network, Network) and "float32" == network.precision

    table, data = (
        RunFolder(str(run)).folder.read_table(f"predictions/{key}.parquet"),
        read_windows(Folder(str(windows / "simulated"))),
    )
    rows = np.searchsorted(data.index.window, table["window"].to_numpy())
    p = predict(network, Signals(data.signals), rows, torch.device("cpu"))
    predicted = np.array(table["p"].to_pylist())
    assert 0 < np.abs(p - predicted).max() < 0.05


def test_what_was_streamed_is_exported_without_a_copy(live_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a node that has no room for one, also if the weights were not kept and are trained again; and so is a model for everyone."""
    study = {
        **TUNED,
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 3, "unit": "window"}],
        "protocol": {"epochs": 2, "batch_size": 16, "shuffle_buffer": 64},
        "resources": {"windows": "streamed"},
        "keep": "none",
    }
    (tmp_path / "full").write_text("")
    monkeypatch.setenv("RAYLAB_WINDOWS_CACHE", str(tmp_path / "full"))
    run = tmp_path / "run"
    start(parse_study(study, "streamed"), str(live_run / "windows"), str(run), "local", log=lambda line: None)
    model = export(str(run), key_of(run, technique="fine_tuning"), tmp_path / "one.raylab")
    assert 64 == model.card.calibration.hyper["shuffle_buffer"]
    assert train_general(str(run), "fcn w0.0625", "fine_tuning", tmp_path / "all.raylab", {}, log=lambda line: None).weights
