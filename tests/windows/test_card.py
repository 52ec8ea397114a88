"""The card of prepared windows: what is read back, which old cards are read, and which are refused with which sentence."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.windows import make_card, make_windows, store, with_card
from pydantic import ValidationError

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.hashing import hash_record
from raylab.recordings.recording import Baseline
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.trials.plan import plan
from raylab.trials.study import parse_study
from raylab.windows.card import ProbeCard, WindowsCard, kind_of, parse_card
from raylab.windows.cross_corpus import join_indexes
from raylab.windows.dataset import WindowIndex, read_card, read_index, read_windows
from raylab.windows.preprocess import Preprocessing
from raylab.windows.utterances import Utterances

Content = dict[str, Any]
CLASSES = {"stress": ("calm", "stress"), "mood": ("low", "high")}
TRAITS = {"P1": {"age": 30, "gender": "female"}, "P2": {"age": 31.5, "gender": "male"}}


def card(**changes: Any) -> WindowsCard:
    """Two participants, two channels and two labels."""
    return make_card(["P1", "P2"], {"a": 8, "b": 16}, CLASSES, TRAITS, **changes)


def parsed(content: Content) -> WindowsCard:
    """A card read from a file of this content."""
    return parse_card(json.dumps(content).encode(), "w/card.json")


# What is read back


@pytest.mark.parametrize(
    "settings",
    [
        Preprocessing(),
        Preprocessing(step_s=10, normalization="past"),
        Preprocessing(scale="zscore"),
        Preprocessing(normalization="first_minutes", first_s=120),
        Preprocessing(normalization="baseline_condition", baseline=Baseline("task", 0, first_run=True)),
        Preprocessing(normalization="none"),
        Preprocessing(detrend="high_pass"),
        Preprocessing(normalization="past", detrend="running_median", detrend_s=120),
        Utterances(4.0),
        Utterances(2.5, "per_speaker", 1.0),
    ],
    ids=[
        "recording",
        "past",
        "z-score",
        "first minutes",
        "baseline condition",
        "not normalized",
        "high pass",
        "median",
        "utterances",
        "per speaker",
    ],
)
def test_a_card_comes_back_as_it_was_written(settings: Preprocessing | Utterances) -> None:
    """Every field, and the kind of data, which the settings decide."""
    probes = (ProbeCard(kind="duplicated_person", seed=1, origin="f", person="P1", noise=0.5),)
    written = card(preprocessing=settings, probes=probes, caution="Careful.", options={"devices": "all", "longest_s": 4.0})
    read = parsed(written.as_json())
    assert (written, settings, settings.kind) == (read, read.preprocessing, read.kind)
    assert written.as_json() == read.as_json()


def test_the_file_has_the_keys_it_always_had() -> None:
    """``variable`` and ``probes`` are written if they say something; a probe's origin is called ``from``; the kind follows from the settings."""
    content = card().as_json()
    assert {"a", "b"} == {channel["name"] for channel in content["channels"]}
    assert not any("variable" in channel for channel in content["channels"])
    assert not {"probes", "kind"} & set(content)
    assert Preprocessing().as_dict() == content["preprocessing"]
    channels = tuple(channel.changed(variable=True) for channel in card().channels)
    probes = (ProbeCard(kind="shuffled_traits", seed=2, origin="f", kept_own=0),)
    content = card(channels=channels, probes=probes).as_json()
    assert [True, True] == [channel["variable"] for channel in content["channels"]]
    assert [{"kind": "shuffled_traits", "seed": 2, "from": "f", "kept_own": 0}] == content["probes"]


def test_numbers_stay_as_they_were_written() -> None:
    """5 and 5.0 are different records to a hash, so neither becomes the other."""
    content = card().as_json()
    content["preprocessing"]["step_s"] = 5
    content["channels"][0]["recorded_hz"] = 64
    del content["digest"]
    content["digest"] = hash_record(content)
    read = parsed(content).as_json()
    assert json.dumps(content, sort_keys=True) == json.dumps(read, sort_keys=True)
    assert (int, int, float) == tuple(
        map(type, (read["participants"][0]["traits"]["age"], read["channels"][0]["recorded_hz"], 31.5))
    )


def test_the_first_cards_are_read() -> None:
    """They had no notes, no probes and no channel of variable length."""
    content = card().as_json()
    del content["digest"]
    for entry in content["participants"]:
        del entry["notes"]
    assert ((), (), False) == (
        parsed(content).participants[0].notes,
        parsed(content).probes,
        parsed(content).channels[0].variable,
    )


def test_the_kind_follows_from_the_settings() -> None:
    """Only running signals are filtered."""
    assert ("signals", "utterances") == (kind_of(Preprocessing().as_dict()), kind_of(Utterances(4.0).as_dict()))
    assert ("signals", "utterances") == (card().kind, card(preprocessing=Utterances(4.0)).kind)


def test_a_card_answers_by_name() -> None:
    """Labels, participants, and the channels that hold words or have a length of their own."""
    a, b = card().channels
    speech = card(channels=(a, b.changed(modality="linguistic", variable=True)))
    assert (("low", "high"), 31.5) == (speech.label("mood").classes, speech.participant("P2").traits["age"])
    assert (("b",), ("b",)) == (speech.linguistic_channels, speech.variable_channels)
    assert (True, False) == (card().has_traits, card(similarity_traits=()).has_traits)
    assert not make_card(["P1"], {"a": 8}, CLASSES, similarity_traits=("age",)).has_traits


def test_a_card_is_not_changed_in_place() -> None:
    """Neither the card nor a part of it; ``changed`` gives another one, and checks it."""
    whole = card()
    for part, field in ((whole, "caution"), (whole.channels[0], "length"), (whole.participants[0], "windows"), (whole, "new")):
        with pytest.raises(ValidationError):
            setattr(part, field, 1)
    assert ("", "Careful.") == (whole.caution, whole.changed(caution="Careful.").caution)
    with pytest.raises(ValidationError, match="caution"):
        whole.changed(caution=1)


# What is refused


def _without(*path: Any) -> Callable[[Content], None]:
    def spoil(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        del content[path[-1]]

    return spoil


def _with(value: Any, *path: Any) -> Callable[[Content], None]:
    def spoil(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_without("caution"), "caution is missing"),
        (_without("channels", 1, "length"), "channels.1.length is missing"),
        (_without("participants", 0, "fingerprint"), "participants.0.fingerprint is missing"),
        (_without("preprocessing", "winsor_share"), "preprocessing: winsor_share is missing"),
        (_without("preprocessing", "lowpass_hz"), "preprocessing.winsor_share is no field of it"),
        (_with({"normalization": "past"}, "preprocessing"), "preprocessing: window_s, step_s is missing"),
        (_with("many", "participants", 1, "windows"), "participants.1.windows is 'many': input should be a valid integer"),
        (_with(-1, "participants", 1, "windows"), "participants.1.windows is '-1': input should be greater than or equal to 0"),
        (_with(3.0, "channels", 0, "n_features"), "channels.0.n_features is '3.0': input should be a valid integer"),
        (_with(0, "channels", 0, "length"), "channels.0.length is '0': input should be greater than or equal to 1"),
        (_with("64", "channels", 0, "rate_hz"), "channels.0.rate_hz is '64': has to be a finite number"),
        (_with(0.0, "channels", 0, "rate_hz"), "channels.0.rate_hz is '0.0': has to be above 0"),
        (_with(10**400, "channels", 0, "rate_hz"), "has to be a finite number"),
        (_with(float("nan"), "channels", 0, "rate_hz"), "channels.0.rate_hz is 'nan': has to be a finite number"),
        (_with(float("inf"), "preprocessing", "window_s"), "preprocessing.window_s is 'inf': has to be a finite number"),
        (_with(True, "preprocessing", "step_s"), "preprocessing.step_s is 'True': has to be a finite number"),
        (_with(-3.0, "preprocessing", "skip_s"), "preprocessing.skip_s is '-3.0': has to be 0 or more"),
        (
            _with("future", "preprocessing", "normalization"),
            "preprocessing.normalization is 'future': input should be 'recording', 'past', 'first_minutes', 'baseline_condition' or 'none'",
        ),
        (_with(2, "preprocessing", "smell"), "preprocessing.smell is no field of it"),
        (_with("fast", "preprocessing"), "preprocessing is 'fast': it has to be an object with the settings"),
        (_with("images", "kind"), "kind is no field of it"),
        (
            _with(float("nan"), "participants", 0, "traits", "age"),
            "participants.0.traits.age is 'nan': has to be a finite number",
        ),
        (_with(None, "participants", 0, "traits", "age"), "participants.0.traits.age is 'None': has to be a finite number"),
        (_with(["calm", "calm"], "labels", 0, "classes"), "labels.0: label stress has the class calm twice"),
        (_with("calm", "labels", 0, "classes"), "labels.0.classes is 'calm': input should be a valid"),
        (
            _with("guess", "labels", 0, "decide"),
            "labels.0.decide is 'guess': input should be 'mode', 'majority' or 'above_own_mean'",
        ),
        (_with("a", "channels", 1, "name"), "it has the channel a twice"),
        (_with("P1", "participants", 1, "name"), "it has the participant P1 twice"),
        (_with(["calm", "angry"], "labels", 0, "classes"), "the counts of participant P1 are not of the labels and classes"),
        (_with(1, "mood"), "mood is no field of it"),
        (_with([], "participants", 0), "participants.0: input should be an object"),
        (_with("", "fingerprint"), "fingerprint is '': string should have at least 1 character"),
    ],
)
def test_a_damaged_card_is_refused_with_file_field_and_remedy(spoil: Callable[[Content], None], sentence: str) -> None:
    """A field that is missing, unknown, of another type or impossible, and fields that contradict each other."""
    content = card().as_json()
    spoil(content)
    with pytest.raises(RaylabError) as refused:
        parsed(content)
    message = str(refused.value)
    assert message.startswith("w/card.json is damaged, or was edited into no card: ")
    assert sentence in message
    assert message.endswith("What to do: prepare the dataset again")


def test_every_problem_is_named_up_to_a_handful() -> None:
    """Two problems are two; of twelve the first five are named."""
    content = card().as_json()
    del content["caution"], content["licence"]
    with pytest.raises(RaylabError, match=r"caution is missing; licence is missing\. What"):
        parsed(content)
    with pytest.raises(RaylabError, match=r"; and 7 more\. What"):
        parsed({"format": 1})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "w/card.json is damaged: it is no JSON"),
        (b'{"format": 1, ', "w/card.json is damaged: it is no JSON"),
        (b"\xff\xfe", "w/card.json is damaged: it is no JSON"),
        (b"[1]", "w/card.json has format None, this raylab reads 1; prepare the dataset again"),
        (b'{"format": "1"}', "w/card.json has format '1', this raylab reads 1"),
        (b'{"format": [' + b"0, " * 999 + b"0]}", f"w/card.json has format [{'0, ' * 19}0,..., this raylab reads 1"),
        (b'{"dataset": "made"}', "w/card.json has format None, this raylab reads 1"),
    ],
)
def test_what_is_no_card_is_refused(content: bytes, sentence: str) -> None:
    """A file that was cut, is no text, or holds something else."""
    with pytest.raises(RaylabError) as refused:
        parse_card(content, "w/card.json")
    assert sentence in str(refused.value)


@pytest.mark.parametrize("read", [read_index, read_windows])
def test_a_card_that_does_not_fit_its_files_is_refused(read: Callable[[Folder], Any], tmp_path: Path) -> None:
    """A length or a number of features that the columns do not have, and a label that is no column."""
    folder = Folder(store(make_windows({"P1": [0, 1], "P2": [1, 0]}), tmp_path / "made"))
    whole = folder.read_json("card.json")
    del whole["digest"]
    for changes in ({"n_features": 3}, *([{"length": 9, "rate_hz": 0.9}] if read is read_windows else [])):
        folder.write_json("card.json", {**whole, "channels": [{**whole["channels"][0], **changes}, whole["channels"][1]]})
        with pytest.raises(
            RaylabError, match=r"made: column (s_)?a holds .* values a window, card.json says .*; prepare the dataset again"
        ):
            read(folder)
    counts = [{**entry, "counts": {"joy": {"class0": 0, "class1": 0}}} for entry in whole["participants"]]
    labels = [{**whole["labels"][0], "name": "joy"}]
    folder.write_json("card.json", {**whole, "labels": labels, "participants": counts})
    with pytest.raises(RaylabError, match="windows of participant P1 cannot be read"):
        read(folder)


def test_a_damaged_card_is_named_with_its_folder(tmp_path: Path) -> None:
    """Reading from a folder says which file it was."""
    store(make_windows({"P1": [0, 1]}), tmp_path / "made")
    (tmp_path / "made" / "card.json").write_text('{"format": 1}')
    with pytest.raises(RaylabError, match=rf"{tmp_path}/made/card\.json is damaged.*raylab is missing"):
        read_card(Folder(tmp_path / "made"))


# Hashes of stages are of the card


def _stage_hashes(index: WindowIndex, **entry: Any) -> str:
    """One digest of the stages of a small study on this index."""
    content = {
        "name": "golden",
        "datasets": [{"windows": "w", "label": "stress", **entry}],
        "models": [{"encoder": "fcn", "width": 1 / 16}],
        "techniques": [
            "non_personalized",
            {"name": "fine_tuning", "layers": "all", "budget": 2, "unit": "window"},
            {"name": "hybrid", "budget": 2, "unit": "window"},
        ],
        "protocol": {"epochs": 1},
    }
    read = parse_study(content, "golden")
    trials = list(plan(read, {read.source(read.datasets[0]): index}))
    assert all(trial.stages for trial in trials)
    return hash_record([trial.stages for trial in trials])


def _read_again(settings: Preprocessing | Utterances, name: str = "made", letter: str = "P", seed: int = 0) -> WindowIndex:
    """Made windows whose card was written and read."""
    windows = make_windows({f"{letter}{i}": [0] * 6 + [1] * 6 for i in range(1, 5)}, step_s=10.0, seed=seed)
    index = with_card(windows, dataset=name, preprocessing=settings).index
    return replace(index, card=parsed(index.card.as_json()))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Preprocessing(), "ca7792f88fcbd637979a"),
        (Preprocessing(step_s=10, normalization="past", skip_s=20.0), "505fe7cccf78c08c357c"),
        (Utterances(4.0, "per_speaker"), "ef66f0d16cdf1ef98069"),
    ],
)
def test_stages_have_the_hashes_they_had_before_cards_had_types(settings: Preprocessing | Utterances, expected: str) -> None:
    """Weights that are stored are found again; the digests were taken when the card was a dict."""
    assert expected == _stage_hashes(_read_again(settings))


def test_stages_on_joined_utterances_have_the_hashes_they_had() -> None:
    """Their windows are as long as the longer dataset's, and their step stays that of the first."""
    joined = join_indexes(_read_again(Utterances(1.0), "here"), _read_again(Utterances(2.0), "there", "Q", 1))
    assert (2.0, 1.0) == (joined.window_s, joined.step_s)
    assert "2abb39ba05492bba0de8" == _stage_hashes(joined, folds={"train_on": "there"})


def test_stages_on_a_simulated_cohort_have_the_hashes_they_had(tmp_path: Path) -> None:
    """All of the card but the fingerprint, which follows the last bits of a processor's arithmetic."""
    options = {"participants": 3, "minutes": 2, "seed": 3}
    written = prepare(PrepareRequest("simulated", ".", str(tmp_path), options=options), say=lambda line: None, where="local")
    index = read_index(Folder(tmp_path))
    assert written == index.card
    assert np.bincount(index.participant_index).tolist() == [entry.windows for entry in index.card.participants]
    assert "b94109258d1dca907714" == _stage_hashes(replace(index, card=index.card.changed(fingerprint="golden")))
