"""Model files: a trial's model, and the files that are refused."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from builders.live import STUDY, exported, key_of
from safetensors.torch import load, save

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.folds.seeding import FoldSeeds
from raylab.live.calibrate import check_calibration
from raylab.live.cli import LiveRequest, follow
from raylab.live.core.model_bounds import other_weights
from raylab.live.core.model_file import CARD, LiveModel, _digest, as_bytes, from_bytes, read_model
from raylab.live.core.pipeline import StreamSettings
from raylab.live.export import export, require_causal
from raylab.live.sources.source import SourceOptions
from raylab.models.batch import Batch
from raylab.models.build import build_model
from raylab.models.network import AUTO, PARTS, ModelSpec, Network
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS
from raylab.runs.folder import RunFolder
from raylab.runs.run import start
from raylab.training.batches import Signals
from raylab.training.loop import CPU, predict
from raylab.trials.study import parse_study
from raylab.windows.dataset import read_index, read_windows
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


@pytest.mark.parametrize("normalization", ["first_minutes", "none", "past"])
def test_only_a_running_minimum_and_maximum_are_exported(
    live_run: Path, normalization: Literal["first_minutes", "none", "past"], tmp_path: Path
) -> None:
    """Windows that were scaled in another way, by the past's z-score too, are no stream's."""
    index = read_index(Folder(live_run / "windows/simulated"))
    way = Preprocessing(normalization=normalization, scale="zscore" if normalization == "past" else "minmax")
    expected = "scaled by its z-score" if normalization == "past" else f"normalized by '{normalization}'"
    with pytest.raises(RaylabError, match=rf"{expected}.*--normalization past"):
        require_causal(replace(index, card=index.card.changed(preprocessing=way)), ())


def test_windows_that_saw_the_future_are_refused(cohort: Path, tmp_path: Path) -> None:
    """A model of whole-recording normalization cannot follow a stream."""
    study = {**STUDY, "models": [{"encoder": "svm"}], "techniques": ["non_personalized"]}
    start(parse_study(study, "s"), str(cohort), str(tmp_path / "run"), "local", log=lambda line: None)
    with pytest.raises(RaylabError, match=r"normalized by 'recording'.*--normalization past"):
        export(str(tmp_path / "run"), key_of(tmp_path / "run"), tmp_path / "m")


def test_missing_weights_are_trained_again(live_run: Path, tmp_path: Path) -> None:
    """A stage whose file is gone: the model file is the same, and the run folder stays as it is."""
    run = Path(shutil.copytree(live_run / "run", tmp_path / "run"))
    key = key_of(run, model="svm", technique="non_personalized")
    before = export(str(run), key, tmp_path / "before")
    shutil.rmtree(run / "stages")
    after = export(str(run), key, tmp_path / "after")
    assert before.card == after.card and all(torch.equal(value, after.weights[name]) for name, value in before.weights.items())
    assert not (run / "stages").exists()


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
        ({"preprocessing": Preprocessing(normalization="past", scale="zscore").as_dict()}, "scale 'zscore'"),
        ({"preprocessing": Preprocessing(normalization="first_minutes").as_dict()}, "'first_minutes' is none that a stream"),
        ({"preprocessing": Preprocessing(normalization="none").as_dict()}, "'none' is none that a stream"),
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
    for hyper, name in (
        ({"momentum": 0.9}, "momentum"),
        ({"augmentation": {"flip": 1.0}}, "flip"),
        ({"regularization": {"drop": 1.0}}, "drop"),
    ):
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


CARD_BOUNDS: list[tuple[dict[str, Any], str]] = [
    ({"model": {"encoder": "fcn", "fusion": "late", "width": width}}, "not those of its network|does not know")
    for width in (64.0, 1e9, 1e300, -1.0, "wide", None)
]
CARD_BOUNDS += [
    ({"model": {"encoder": "mlp_lstm", "fusion": "late", "width": 1e5}}, "not those of its network"),
    ({"model": {"encoder": "transformer", "fusion": "attention", "width": 1e5}}, "not those of its network"),
    ({"model": {"encoder": "svm", "fusion": "late", "width": 1.0}}, "not those of its network"),
    ({"model": {"encoder": ["fcn"]}}, "does not know"),
    ({"model": []}, "does not know"),
    ({"adapter": True}, "not those of its network"),
    ({"classes": ["calm", "stress", "third"]}, "not those of its network"),
    ({"classes": ["calm", "calm"]}, "class calm stands twice"),
    ({"classes": []}, "0 of kind class"),
    ({"classes": [str(number) for number in range(5000)]}, "5000 of kind class"),
    ({"channels": []}, "0 of kind channel"),
    ({"sentences": [None] * 1000}, "sentences.4 is 'None': input should be a valid string; and 995 more$"),
    ({"sentences": None, "x" * 20_000: 1}, "xxx ... .19,8.. characters. ... xxx"),
]


def _same_card(data: bytes, changes: dict[str, Any]) -> str:
    card = json.loads(data)
    for name, value in changes.items():
        card[name] = {**card[name], **value} if isinstance(value, dict) and name != "model" else value
    return json.dumps(card)


def _with_card(model: LiveModel, changes: dict[str, Any]) -> bytes:
    """As ``_rewritten``, with mappings merged."""
    tensors = dict(load(as_bytes(model)))
    card = _same_card(model.card.model_dump_json().encode(), changes)
    return bytes(save(tensors, {CARD: card, "digest": _digest(card, tensors)}))


@pytest.mark.parametrize(("changes", "says"), CARD_BOUNDS)
def test_a_card_of_another_size_is_refused_before_a_network_is_built(
    live_run: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    """Width, classes and channels: by the card and the file's own weights, without allocating a layer."""
    data = _with_card(exported(live_run), changes)
    monkeypatch.setattr("raylab.live.core.model_file._blank", lambda *_: pytest.fail("a network was built"))
    with pytest.raises(RaylabError, match=says) as caught:
        from_bytes(data, "m.raylab")
    assert str(caught.value).startswith("m.raylab")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"length": 10_000_000, "n_features": 100_000}, "a window of 1000000000760"),
        ({"length": 640_000_000}, "length"),
        ({"recorded_hz": 1e6, "rate_hz": 1e-6}, "are no window|recorded ones"),
        ({"name": "ppg"}, "channel ppg stands twice"),
        ({"n_features": 2}, "not those of its network"),
    ],
)
def test_windows_of_impossible_size_are_refused(live_run: Path, changes: dict[str, Any], says: str) -> None:
    """Of one channel of the card."""
    model = exported(live_run)
    channels = [channel.model_dump() for channel in model.card.channels]
    channels[0] |= changes
    with pytest.raises(RaylabError, match=says):
        from_bytes(_rewritten(model, {"channels": channels}), "m.raylab")


@pytest.mark.parametrize(
    "hyper", [{"epochs": 10**9}, {"epochs": "many"}, {"learning_rate": -1}, {"decay": 1e300}, {"batch_size": 0}, {"tail": 1}]
)
def test_a_calibration_that_no_study_may_have_is_refused(live_run: Path, hyper: dict[str, Any]) -> None:
    """Endless training, and hyperparameters of another type, before anything is captured."""
    card = exported(live_run).card
    assert card.calibration is not None
    calibration = card.calibration.model_copy(update={"hyper": {**card.calibration.hyper, **hyper}})
    check_calibration(card)
    with pytest.raises(RaylabError, match="calibration holds what this raylab does not know"):
        check_calibration(card.model_copy(update={"calibration": calibration}))


def test_parts_and_draws_that_this_raylab_does_not_know_are_refused(live_run: Path) -> None:
    """A part that no network has, when the file is read; draws of another fold, before a calibration."""
    model = exported(live_run)
    assert model.card.calibration is not None
    calibration = model.card.calibration.model_dump(mode="json")
    calibration["trainable"] |= {"all": ["trunk", "tail"]}
    with pytest.raises(RaylabError, match=r"m\.raylab holds what this raylab does not know"):
        from_bytes(_rewritten(model, {"calibration": calibration}), "m.raylab")
    for draws in ({"seed": 1}, {**model.card.draws, "more": 1}):
        with pytest.raises(RaylabError, match="draws"):
            check_calibration(model.card.model_copy(update={"draws": draws}))


@pytest.mark.parametrize(
    "values",
    [{"window_s": "10"}, {"window_s": None}, {"lowpass_order": 10**9}, {"lowpass_hz": -1.0}, {"skip_s": []}, {"step_s": 1e300}],
)
def test_odd_preprocessing_is_refused(live_run: Path, values: dict[str, Any]) -> None:
    """Values of another type or beyond use."""
    how = {**Preprocessing(normalization="past").as_dict(), **values}
    with pytest.raises(RaylabError, match="does not know"):
        from_bytes(_rewritten(exported(live_run), {"preprocessing": how}), "m.raylab")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float16, torch.float64])
def test_numbers_of_another_type_are_refused(live_run: Path, dtype: torch.dtype) -> None:
    """Types that numpy has not, and those that this network has not."""
    model = exported(live_run)
    tensors = {name: value.to(dtype) if value.is_floating_point() else value for name, value in load(as_bytes(model)).items()}
    card = model.card.model_dump_json()
    known = dtype in (torch.float16, torch.float64)
    data = bytes(save(tensors, {CARD: card, "digest": _digest(card, tensors) if known else ""}))
    with pytest.raises(
        RaylabError, match="not those of its network" if known else r"type that raylab does not write \(now\.head"
    ):
        from_bytes(data, "m.raylab")


def test_a_classical_model_of_other_arrays_is_refused(live_run: Path) -> None:
    """A class beyond the classes, a missing machine, statistics of another width: KeyError and IndexError in the middle of a stream otherwise."""
    model = exported(live_run, model="svm")
    weights = dict(model.weights)
    first = next(name for name in weights if name.endswith(".vectors"))
    broken = [
        {**weights, "classes": torch.tensor([0.0, 7.0], dtype=torch.float64)},
        {**weights, "classes": torch.tensor([0.5, 1.0], dtype=torch.float64)},
        {**weights, "classes": torch.zeros(10, dtype=torch.float64)},
        {name: value for name, value in weights.items() if name != first},
        {name: value for name, value in weights.items() if name != "gamma"},
        {**weights, "mean": weights["mean"][:-1]},
        {**weights, first: weights[first][:, :-1].contiguous()},
        {**weights, first: weights[first][:-1].contiguous()},
    ]
    for case in broken:
        with pytest.raises(RaylabError, match="not those of its network"):
            from_bytes(as_bytes(LiveModel(model.card, case, {})), "m.raylab")
    from_bytes(as_bytes(LiveModel(model.card, weights, {})), "m.raylab")


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_network_is_known_by_its_shapes(encoder: str, fusion: str) -> None:
    """What is expected without memory is what is built, for every encoder and fusion."""
    shapes = {"a": (64, 1), "b": (32, 3)}
    specs = [ModelSpec(encoder, fusion, 0.0625, channels=channels) for channels in ("", AUTO)]
    adapters = (False, True) if FUSIONS[fusion].accepts_adapter else (False,)
    for spec, adapter in product(specs, adapters):
        weights = build_model(spec, shapes, 3, adapter, FoldSeeds(0, "d", "l", "t")).state_of(PARTS)
        before = torch.random.get_rng_state()
        assert other_weights(spec, shapes, 3, adapter, weights) == []
        assert torch.equal(before, torch.random.get_rng_state())
        assert other_weights(spec, shapes, 4, adapter, weights)


@pytest.mark.skipif(bool(CLASSICAL_MODELS["hmm_gmm"].missing), reason="hmmlearn is not installed")
def test_a_hidden_markov_model_is_known_by_its_shapes() -> None:
    """The arrays of a fitted one."""
    rng = np.random.default_rng(0)
    model = build_model(ModelSpec("hmm_gmm"), {"a": (64, 2)}, 2, False, FoldSeeds(0, "d", "l", "t"))
    assert not isinstance(model, Network)
    model.fit(Batch({"a": torch.from_numpy(rng.normal(size=(8, 64, 2)))}, {}), np.array([0, 1] * 4))
    assert other_weights(ModelSpec("hmm_gmm"), {"a": (64, 2)}, 2, False, model.state_of(PARTS)) == []
    assert other_weights(ModelSpec("hmm_gmm"), {"a": (64, 3)}, 2, False, model.state_of(PARTS))


def _refusal(data: bytes) -> str:
    """The sentence that refuses a file; empty if it is read."""
    try:
        from_bytes(data, "m.raylab")
    except RaylabError as error:
        return str(error)
    return ""


def test_no_damage_of_a_header_does_more_than_be_refused(live_run: Path) -> None:
    """Headers that are no mapping, too long, too deep, or name odd shapes."""
    data = as_bytes(exported(live_run))
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(key for key in header if key != "__metadata__")
    odd = [[], 5, {}, {"a": 5}, {"__metadata__": []}, {**header, "__metadata__": 5}]
    odd += [
        {**header, name: {**header[name], key: value}}
        for key in ("dtype", "shape", "data_offsets")
        for value in (None, [5], [2**62, 2**62], {}, "F32")
    ]
    odd += [{**header, "extra": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}]
    headers = [json.dumps(value).encode() for value in odd] + [b"[" * 100_000, b"", b"\xff\xfe"]
    files = [len(value).to_bytes(8, "little") + value + data[8 + length :] for value in headers]
    files += [b"", data[:7], (2**63).to_bytes(8, "little") + data[8:], (9_000_000).to_bytes(8, "little") + bytes(10_000_000)]
    for number, bad in enumerate(files):
        refusal = _refusal(bad)
        assert refusal.startswith("m.raylab "), number
