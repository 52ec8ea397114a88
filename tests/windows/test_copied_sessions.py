"""Sessions that stand twice: found by content, whoever's they are."""

from dataclasses import replace

import numpy as np
from builders.recordings import AXIS, FAST, SLOW, recording, segment

from raylab.recordings import Recording, Segment
from raylab.windows.copied_sessions import contents, copied_sessions


def person(name: str, *parts: Segment) -> Recording:
    return replace(recording(*parts), participant=name)


def examined(*people: Recording) -> tuple[list[str], dict[str, list[str]]]:
    return copied_sessions({one.participant: contents(one) for one in people})


def test_different_recordings_have_no_copies() -> None:
    """Noise of other seeds shares nothing; neither do sessions of one participant."""
    assert examined(person("anna", segment(60), segment(60, 100)), person("ben", segment(60, seed=1))) == ([], {})


def test_two_participants_with_one_recording_are_named() -> None:
    """Both, their sessions and files, and what to do; other participants are not."""
    copy = replace(segment(60), session="visit 1", source="/data/cara")
    problems, notes = examined(person("anna", segment(60)), person("ben", segment(60, seed=1)), person("cara", copy))
    assert len(problems) == 1 and notes == {}
    assert "participants anna and cara: 1 session(s)" in problems[0]
    assert "session from 0 s (file P1.csv) and session visit 1 (file /data/cara)" in problems[0]
    assert "What to do: restore the files, or leave one of the two out (--exclude cara)" in problems[0]


def test_one_session_of_many_is_enough() -> None:
    """A copy of the second session as another one's first is found, however the sessions are named."""
    problems, _ = examined(
        person("anna", segment(60), segment(60, 100)),
        person("ben", replace(segment(60, 100), start_s=0.0), segment(60, seed=5)),
    )
    assert len(problems) == 1 and "anna and ben: 1 session(s)" in problems[0]


def test_a_session_that_stands_twice_in_one_participant() -> None:
    """Two session folders with the same files, in which calibration and test would be the same windows."""
    again = replace(segment(60), session="evening", start_s=60.0)
    problems, _ = examined(person("anna", segment(60), again))
    assert len(problems) == 1
    assert "participant anna: 1 session(s) stand twice" in problems[0] and "session evening" in problems[0]


def test_one_sample_makes_another_recording() -> None:
    """Copies are exact; near-identical ones are told when a study runs."""
    part = segment(60)
    other = {name: samples.copy() for name, samples in part.signals.items()}
    for samples in other.values():
        samples[3] += 1e-9
    assert examined(person("anna", part), person("ben", replace(part, signals=other))) == ([], {})


def test_a_channel_that_is_shared_is_noted() -> None:
    """A single channel may be a stimulus that all have, so it is noted and not refused; under another name too."""
    part, other = segment(60), segment(60, seed=1)
    shared = replace(other, signals={**other.signals, "eda": part.signals["eda"]})
    problems, notes = examined(person("anna", part), person("ben", shared))
    assert problems == []
    assert notes == {
        "ben": [
            "the samples of channel(s) eda in session from 0 s are those of session from 0 s of participant anna: check the files"
        ]
    }
    twin = replace(AXIS, name="twin")
    doubled = replace(part, signals={**part.signals, "twin": part.signals["acc"]})
    _, notes = examined(recording(doubled, channels=(FAST, AXIS, SLOW, twin)))
    assert [
        "the samples of channel(s) twin (there acc) in session from 0 s are those of session from 0 s: check the files"
    ] == notes["P1"]


def test_flat_and_switching_signals_tell_nobody_apart() -> None:
    """Signals of fewer than ten values are those of two sessions by chance."""
    switching = np.tile([[0.0], [1.0]], (120, 1))
    parts = [replace(segment(60, seed=seed), signals={**segment(60, seed=seed).signals, "eda": switching}) for seed in (0, 1)]
    assert examined(person("anna", parts[0]), person("ben", parts[1])) == ([], {})
    still = [replace(part, signals=dict.fromkeys(part.signals, np.zeros((240, 1)))) for part in parts]
    assert examined(person("anna", still[0]), person("ben", still[1])) == ([], {})


def test_utterances_are_compared_by_their_sound() -> None:
    """Speakers say the same words: only the sound, before it is cut, tells a copy."""
    words = {"linguistic": np.random.default_rng(0).normal(0, 1, (5, 384))}
    spoken = [Segment(f"u{i}", float(i), words, {}, f"u{i}.wav", content) for i, content in enumerate("aba")]
    assert examined(person("one", spoken[0]), person("two", spoken[1])) == ([], {})
    problems, _ = examined(person("one", spoken[0]), person("two", spoken[2]))
    assert "session u0 (file u0.wav) and session u2 (file u2.wav)" in problems[0]
