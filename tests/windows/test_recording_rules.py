"""What is refused in every recording, whichever reader it comes from."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders.recordings import AXIS, FAST, MAJORITY, OWN_MEAN, PAPER, SLOW, recording, segment, track

from raylab.errors import InvalidValueError, RecordingError
from raylab.recordings import DATASETS, Channel, Label, Recording, Segment
from raylab.recordings.recording import column_problems
from raylab.windows.preprocess import check
from raylab.windows.recording_rules import checked
from raylab.windows.segmentation import NO_LABEL, decide
from raylab.windows.utterances import Utterances, classes_of_utterances, cut_utterances


def with_signals(part: Segment, **signals: Any) -> Segment:
    return replace(part, signals={**part.signals, **signals})


def with_tracks(part: Segment, **tracks: Any) -> Segment:
    return replace(part, tracks={**part.tracks, **tracks})


def refusal(made: Recording, labels: tuple[Label, ...] = (MAJORITY,)) -> str:
    with pytest.raises(RecordingError) as caught:
        checked(made, labels, PAPER)
    assert "What to do: " in str(caught.value)
    return str(caught.value)


def test_a_good_recording_passes_as_it_is() -> None:
    """Nothing is changed or noted, also if a channel ends a second early and the last label begins at the end."""
    part = segment(60)
    part = with_signals(part, eda=part.signals["eda"][:-4])
    part = with_tracks(part, task=track([0, 30, 60], [0, 1, 1]))
    made = recording(part, segment(40, 100))
    assert checked(made, [MAJORITY], PAPER) == made


@pytest.mark.parametrize(("samples", "lasts"), [(120, 30.0), (480, 120.0), (235, 58.75), (0, 0.0)])
def test_channels_of_a_session_end_together(samples: int, lasts: float) -> None:
    """A channel of half or twice the length, cut short by more than a second or empty is refused with both lengths and rates."""
    part = with_signals(segment(60), eda=np.random.default_rng(0).normal(0, 1, (samples, 1)))
    text = refusal(recording(segment(60, 100), part))
    assert "participant P1" in text and "file P1.csv" in text
    assert f"lasts {lasts:.2f} s at 4 Hz" in text and "lasts 60.00 s at" in text
    assert "may differ by 1 s" in text and "session from 0 s" in text


def test_a_rate_that_would_fit_is_named() -> None:
    """A pulse recorded at half the rate that was promised would fit at that."""
    part = segment(60)
    text = refusal(recording(with_signals(part, bvp=part.signals["bvp"][::2])))
    assert "channel bvp" in text and "bvp would fit at 32 Hz" in text


def test_a_slow_channel_may_end_within_its_step() -> None:
    """At one sample in 5 s a channel of 118 s has 23 samples, 115 s: no difference that could be told."""
    slow = Channel("mood", "mood", 0.2, 0.2, "")
    part = segment(118, channels=(FAST,))
    made = recording(with_signals(part, mood=np.arange(23.0)[:, None]), channels=(FAST, slow))
    assert checked(made, [MAJORITY], PAPER) == made


def test_published_unevenness_is_noted_and_bounded() -> None:
    """Stress-Predict's wristbands end up to 7 s apart: noted in the card; far more than that is refused as everywhere."""
    part = segment(60)
    made = replace(recording(with_signals(part, eda=part.signals["eda"][: 4 * 55])), uneven_s=10.0)
    assert checked(made, [MAJORITY], PAPER).notes == (
        "channels of one session end apart, the shortest counts: from 0 s: 55.0 s (eda) to 60.0 s (acc)",
    )
    worse = replace(made, segments=(with_signals(part, eda=part.signals["eda"][: 4 * 45]),))
    assert "may differ by 10 s" in refusal(worse)
    noted_by_the_reader = replace(worse, uneven_s=math.inf)
    assert checked(noted_by_the_reader, [MAJORITY], PAPER) == noted_by_the_reader


@pytest.mark.parametrize(
    ("times", "values", "expected"),
    [
        (
            [0, 30, 80],
            [0, 1, 0],
            "label task has 1 of 3 values after the end of the recording, which lasts 60.00 s: the last at 80 s",
        ),
        ([1.6e9, 1.6e9 + 30], [0, 1], "label task has 2 of 2 values after the end of the recording"),
        ([0, 30, 30], [0, 1, 0], "label task does not rise in time: 30 s after 30 s"),
        ([0, 30, 20], [0, 1, 0], "label task does not rise in time: 20 s after 30 s"),
        ([0, math.nan], [0, 1], "label task has the time nan"),
        ([0, 30], [0, math.inf], "label task has the value inf at 30 s"),
        ([0, 30], [-1e300, 1], "label task has the value -1e+300 at 0 s"),
        ([0, 30], [1], "label task has 1 values at 2 times"),
    ],
)
def test_labels_belong_to_the_recording(times: list[float], values: list[float], expected: str) -> None:
    """Labels beyond the end, unix times, times that do not rise, and values that are no numbers are refused, with the session."""
    text = refusal(recording(segment(60, 100), with_tracks(segment(60), task=track(times, values))))
    assert f"session from 0 s, {expected}" in text and "participant P1" in text


def test_labels_that_are_not_asked_for_do_not_count() -> None:
    """Only the tracks of the labels that are prepared are looked at."""
    made = recording(with_tracks(segment(60), other=track([500], [1])))
    assert checked(made, [MAJORITY], PAPER) == made
    assert "session from 0 s has no labels rating" in refusal(made, (MAJORITY, OWN_MEAN))


def test_sessions_have_the_same_parts() -> None:
    """A channel that a session lacks, or has with other columns, is refused by name, and so is a participant without a session."""
    part, other = segment(60), segment(60, 100)
    lacking = replace(other, signals={"bvp": other.signals["bvp"], "acc": other.signals["acc"]})
    assert "channel eda, file P1.csv: session from 100 s does not have it" in refusal(recording(part, lacking))
    wider = with_signals(other, acc=np.repeat(other.signals["acc"], 3, axis=1))
    assert "channel acc" in refusal(recording(part, wider)) and "3 column(s), session from 0 s has 1" in refusal(
        recording(part, wider)
    )
    flat = with_signals(other, acc=other.signals["acc"][:, 0])
    assert "has samples of shape (1920,)" in refusal(recording(part, flat))
    assert "participant P1, file P1.csv: has no session" in refusal(recording())
    assert "participant P1: has no channel" in refusal(recording(part, channels=()))


def test_many_problems_are_counted() -> None:
    """The first five are told, and how many more there are."""
    parts = [with_signals(segment(60, 100.0 * i), eda=np.zeros((4, 1))) for i in range(8)]
    text = refusal(recording(*parts))
    assert text.count("may differ by 1 s") == 5 and "; and 3 more" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_traits_are_numbers_or_text(value: float) -> None:
    """A trait that is NaN or infinite would end in the card; it is refused by name."""
    made = replace(recording(segment(60)), traits={"age": value, "gender": "female"})
    assert "trait age is" in refusal(made)


def test_a_window_holds_samples() -> None:
    """At one sample in 100 s, a window of 10 s would be empty."""
    rare = Channel("mood", "mood", 0.01, 0.01, "")
    part = segment(600, channels=(FAST,))
    made = recording(with_signals(part, mood=np.arange(6.0)[:, None]), channels=(FAST, rare))
    assert "channel mood, file P1.csv: a window of 10 s holds no sample at 0.01 Hz" in refusal(made)


# --- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1e308, -1e308, 3.5e38, -3.5e38])
def test_values_beyond_single_precision_are_refused(value: float) -> None:
    """They would overflow on the way to windows: refused by value, sample and time."""
    part = segment(60)
    samples = part.signals["eda"].copy()
    samples[9] = value
    pattern = rf"channel eda, file P1\.csv: has 1 of 240 samples beyond 3\.40282e\+38.* the first is {re.escape(f'{value:g}')}, sample 10 at 2\.25 s"
    with pytest.raises(RecordingError, match=pattern):
        check(recording(with_signals(part, eda=samples)))


def test_features_of_utterances_beyond_single_precision_are_refused() -> None:
    """Utterances are stored as they are, where 1e39 would be infinite."""
    sound = Channel("acoustic", "acoustic", 100.0, 100.0, "", "a.wav", longest=8)
    part = Segment("u1", 0.0, {"acoustic": np.array([[1.0], [1e39]])}, {"emotion": track([0], [1])})
    label = Label("emotion", "emotion", "mode", ("neutral", "sad"), {1: 0, 4: 1})
    with pytest.raises(RecordingError, match=r"channel acoustic, file a\.wav: utterance u1 has the value 1e\+39"):
        cut_utterances(Recording("P1", (sound,), (part,), {}), [label], Utterances(4.0))


@pytest.mark.parametrize("value", [1.9, 1.0001, 0.5, -0.5])
def test_a_number_between_codes_is_no_code(value: float) -> None:
    """It carries no label, in running signals as in utterances; it was cut to the code below."""
    label = replace(MAJORITY, codes={0: 0, 1: 1})
    assert decide(track(range(10), [value] * 10), 0, 10, label, 0.0) == NO_LABEL
    part = Segment("u1", 0.0, {}, {"task": track([0], [value])})
    assert classes_of_utterances(Recording("P1", (), (part,), {}), label).tolist() == [NO_LABEL]


# --- names and classes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"codes": {1: 1, 2: 2}}, r"code 2 -> class 2, there are classes 0\.\.1 \(calm, stress\)"),
        ({"codes": {0: 0, 1: 5}}, "code 1 -> class 5"),
        ({"codes": {0: -1, 1: 1}}, "code 0 -> class -1"),
        ({"classes": ("calm", "calm")}, "the class 'calm' stands twice"),
        ({"classes": ("calm", "calm ")}, "the class 'calm' stands twice"),
        ({"classes": ("calm", "")}, "a class has no name"),
        ({"classes": ()}, "a class has no name"),
        ({"classes": tuple(f"c{i}" for i in range(128))}, "it has 128 classes, at most 127"),
        ({"decide": "above_own_mean", "classes": ("low", "mid", "high")}, "decides between 2 classes"),
        ({"own_mean": "clip"}, "own_mean: clip is for decide: above_own_mean, not for majority"),
        ({"decide": "above_own_mean", "own_mean": "rating"}, "own_mean is 'rating', expected time or clip"),
    ],
)
def test_impossible_labels_are_refused(changes: dict[str, Any], expected: str) -> None:
    """A class index outside the classes, class names that repeat, and rules that do not fit the classes, by the label's name."""
    with pytest.raises(InvalidValueError, match=f"label stress: .*{expected}"):
        replace(MAJORITY, **changes)


@pytest.mark.parametrize("rate", [0.0, -4.0, math.nan, math.inf])
def test_impossible_rates_are_refused(rate: float) -> None:
    """No channel has them."""
    with pytest.raises(InvalidValueError, match=r"channel eda: rate_hz is .* expected samples per second above 0"):
        replace(SLOW, rate_hz=rate)
    with pytest.raises(InvalidValueError, match="channel eda: target_rate_hz is"):
        replace(SLOW, target_rate_hz=rate)


@pytest.mark.parametrize("name", ["window", "participant", "session", "segment", "start_s", "y_stress", "s_bvp", "n_bvp"])
def test_channels_are_not_named_like_columns_of_the_windows(name: str) -> None:
    """raylab's own columns, and those of a label or a channel that exists, cannot be a channel's too."""
    channels = (FAST, replace(AXIS, name=name))
    part = segment(60, channels=channels)
    assert f"channel {name} is named like" in refusal(recording(part, channels=channels))


def test_names_that_only_look_like_columns_are_kept() -> None:
    """``y_axis`` is the column of no label, so it is a channel's name as any other."""
    assert column_problems(["y_axis", "s_eda", "n_back"], ["stress"]) == []
    assert column_problems(["eda", "eda"], ["stress"]) == ["channel eda stands twice"]


def test_every_listed_dataset_keeps_the_rules() -> None:
    """Its declaration has been made, so labels and rates are possible; no channel of its own is named in it."""
    assert all(label.classes for dataset in DATASETS.values() for label in dataset.labels)
