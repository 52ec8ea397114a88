"""Model files: a trial's model, and the files that are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.live import STUDY, exported, key_of
from safetensors.torch import load, save

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.live.cli import LiveRequest, follow
from raylab.live.core.model_file import CARD, LiveModel, _digest, as_bytes, from_bytes, read_model
from raylab.live.core.pipeline import StreamSettings
from raylab.live.export import export
from raylab.live.sources.source import SourceOptions
from raylab.models.network import PARTS, Network
from raylab.runs.folder import RunFolder
from raylab.runs.run import start
from raylab.training.batches import Signals
from raylab.training.loop import CPU, predict
from raylab.trials.study import parse_study
from raylab.windows.dataset import read_windows
from raylab.windows.preprocess import Preprocessing


def _offline(root: Path, run: str, key: str) -> Any:
    return RunFolder(str(root / run)).folder.read_table(f"predictions/{key}.parquet")


@pytest.mark.parametrize("model", ["fcn w0.0625", "fcn attention w0.0625", "mlp_lstm w0.0625", "svm"])
def test_a_model_file_predicts_what_the_trial_did(live_run: Path, model: str, tmp_path: Path) -> None:
    """Read back without the run, its network gives the stored predictions of the trial."""
    key = key_of(live_run / "run", model=model, technique="non_personalized")
    export(str(live_run / "run"), key, tmp_path / "m.raylab")
    read = read_model(tmp_path / "m.raylab")
    windows = read_windows(Folder(live_run / "windows/simulated"))
    stored = _offline(live_run, "run", key)
    rows = np.searchsorted(windows.index.window, stored["window"].to_numpy())
    signals = Signals(windows.signals).channels([channel.name for channel in read.card.channels])
    np.testing.assert_array_equal(
        predict(read.network(), signals, rows, CPU), np.stack(stored["p"].to_numpy(zero_copy_only=False))
    )


def test_the_card_says_where_a_model_comes_from(live_run: Path) -> None:
    """It has participants, score, classes and calibration, but not the names of those it was trained on."""
    model = exported(live_run)
    card = model.card
    assert ("simulated (past)", "P01", ("calm", "stress"), 3) == (card.dataset, card.participant, card.classes, card.people)
    record = next(row for row in RunFolder(str(live_run / "run")).records() if row["trial"] == card.trial)
    assert (record["auroc"], record["n_test"]) == (card.auroc, card.n_test)
    assert card.calibration is not None
    assert {"all": ("trunk", "head"), "last": ("head",)} == card.calibration.trainable
    assert 3e-4 == card.calibration.hyper["learning_rate"]
    text = card.model_dump_json() + " ".join(card.lines())
    assert not [name for name in ("P02", "P03", "P04") if name in text]


def test_a_tuned_model_has_its_weights_before_and_after(live_run: Path) -> None:
    """Before its calibration a fine-tuned model is the non-personalized one, to the bit."""
    base, tuned = (
        exported(live_run, "tuned"),
        exported(live_run, "tuned", technique="fine_tuning", variant="layers=last budget=3"),
    )
    before = tuned.network(calibrated=False).state_of(PARTS)
    assert all(torch.equal(before[name], value) for name, value in base.weights.items())
    changed = {name for name, value in base.weights.items() if not torch.equal(tuned.weights[name], value)}
    assert {"head.weight", "head.bias"} == changed == set(tuned.weights_before)


def test_what_cannot_be_calibrated_says_why(live_run: Path) -> None:
    """Hybrid trains on the other participants' windows too, and a classical model has no steps."""
    hybrid, svm = exported(live_run, technique="hybrid").card, exported(live_run, model="svm").card
    assert hybrid.calibration is None and "windows alone" in hybrid.no_calibration
    assert svm.calibration is None and "fitted at once" in svm.no_calibration


def test_a_trial_that_is_not_there_is_refused_with_those_that_are(live_run: Path, tmp_path: Path) -> None:
    """An unknown key, and a beginning that several have."""
    with pytest.raises(RaylabError, match=r"no finished trial 'zzz'; give one of:\n  \w{16}: simulated"):
        export(str(live_run / "run"), "zzz", tmp_path / "m")
    with pytest.raises(RaylabError, match="no finished trial ''"):
        export(str(live_run / "run"), "", tmp_path / "m")


def test_windows_that_saw_the_future_are_refused(cohort: Path, tmp_path: Path) -> None:
    """A model of whole-recording normalization cannot follow a stream."""
    study = {**STUDY, "models": [{"encoder": "svm"}], "techniques": ["non_personalized"]}
    start(parse_study(study, "s"), str(cohort), str(tmp_path / "run"), "here", say=lambda line: None)
    with pytest.raises(RaylabError, match=r"normalized by 'recording'.*--normalization past"):
        export(str(tmp_path / "run"), key_of(tmp_path / "run"), tmp_path / "m")


def test_missing_weights_are_named(live_run: Path, tmp_path: Path) -> None:
    """A stage whose file is gone."""
    shutil.copytree(live_run / "run", tmp_path / "run")
    key = key_of(tmp_path / "run", model="svm", technique="non_personalized")
    for path in (tmp_path / "run/stages").glob("*"):
        path.unlink()
    with pytest.raises(RaylabError, match=r"weights of stage everyone_else .* are missing or damaged"):
        export(str(tmp_path / "run"), key, tmp_path / "m")


def _rewritten(model: LiveModel, changes: dict[str, Any]) -> bytes:
    """The file with another card and a digest that fits, as another version would write it."""
    tensors = dict(load(as_bytes(model)))
    card = json.dumps({**model.card.model_dump(mode="json"), **changes})
    return bytes(save(tensors, {CARD: card, "digest": _digest(card, tensors)}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format"),
        ({"novelty": 1}, "novelty"),
        ({"model": {"encoder": "oracle", "fusion": "late", "width": 1.0}}, "'oracle'"),
        ({"preprocessing": {**Preprocessing().as_dict(), "normalization": "recording"}}, "'recording'"),
        ({"preprocessing": {**Preprocessing(normalization="past").as_dict(), "window_s": 20.0}}, "are no window"),
        ({"reader": "dreams"}, "'dreams'"),
        ({"preprocessing": {"normalization": "past", "lowpass_hz": 10.0, "smell": 1}}, "smell"),
    ],
)
def test_unknown_contents_are_refused(live_run: Path, changes: dict[str, Any], message: str) -> None:
    """Another format, an unknown field, encoder or step of preprocessing."""
    data = _rewritten(exported(live_run), changes)
    with pytest.raises(RaylabError, match="does not know") as caught:
        from_bytes(data, "m.raylab")
    assert message in str(caught.value)


def test_a_file_of_before_0_2_is_read(live_run: Path) -> None:
    """Its calibration calls the trained parts ``frees``."""
    model = exported(live_run)
    assert model.card.calibration is not None
    stage = model.card.calibration.model_dump(mode="json")
    stage["frees"] = stage.pop("trainable")
    assert model.card == from_bytes(_rewritten(model, {"calibration": stage}), "m.raylab").card


def test_unknown_hyperparameters_of_a_calibration_are_refused(live_run: Path, tmp_path: Path) -> None:
    """Before the stream begins, whether it calibrates or not."""
    model = exported(live_run)
    assert model.card.calibration is not None
    stage = model.card.calibration.model_dump(mode="json")
    for hyper, name in (({"momentum": 0.9}, "momentum"), ({"augmentation": {"flip": 1.0}}, "flip")):
        (tmp_path / "m.raylab").write_bytes(_rewritten(model, {"calibration": {**stage, "hyper": hyper}}))
        with pytest.raises(RaylabError, match=f"(?s)does not know.*{name}"):
            follow(LiveRequest(tmp_path / "m.raylab", SourceOptions("folder:.", "P01"), StreamSettings()), lambda line: None)


def test_weights_of_another_network_are_refused(live_run: Path) -> None:
    """A width that the weights do not have."""
    model = exported(live_run)
    data = _rewritten(model, {"model": {"encoder": "fcn", "fusion": "late", "width": 0.125}})
    with pytest.raises(RaylabError, match="not those of its network"):
        from_bytes(data, "m.raylab").network()


def test_damage_is_seen(live_run: Path, tmp_path: Path) -> None:
    """A changed byte, a changed card, a cut file, a file of weights alone, and no safetensors at all."""
    data = as_bytes(exported(live_run))
    changed = bytearray(data)
    changed[-3] ^= 1
    header = int.from_bytes(data[:8], "little")
    other = data[:8] + data[8 : 8 + header].replace(b"P01", b"P02") + data[8 + header :]
    for bad in (bytes(changed), other):
        with pytest.raises(RaylabError, match="is damaged"):
            from_bytes(bad, "m")
    for bad, message in ((data[:-5], "no model file"), (b"hello", "no model file"), (save(dict(load(data))), "no card")):
        with pytest.raises(RaylabError, match=message):
            from_bytes(bad, "m")
    assert "card" not in json.loads(data[8 : 8 + header])  # the card is among the metadata, not a tensor
    assert isinstance(from_bytes(data, "m").network(), Network)
