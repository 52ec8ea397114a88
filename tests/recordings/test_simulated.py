"""The simulated cohort: the same bits again, whole recordings, options."""

from pathlib import Path

import numpy as np
import pytest

from raylab.errors import RecordingError
from raylab.recordings import Recording
from raylab.recordings.simulated import SIMULATED

SMALL = {**SIMULATED.options, "participants": 3, "minutes": 2}


def _same(one: Recording, other: Recording) -> bool:
    first, second = one.segments[0], other.segments[0]
    signals = all(np.array_equal(first.signals[name], second.signals[name]) for name in first.signals)
    return signals and np.array_equal(first.tracks["task"].values, second.tracks["task"].values) and one.traits == other.traits


def test_simulation_repeats_to_the_bit() -> None:
    """The same options give the same recording, whoever was read in between and however numpy's global state stands."""
    first = SIMULATED.read(Path(), "P02", SMALL)
    SIMULATED.read(Path(), "P01", SMALL)
    np.random.seed(7)  # noqa: NPY002  the global state is what must not matter
    assert _same(first, SIMULATED.read(Path(), "P02", {**SMALL, "participants": 9}))


def test_simulated_people_and_seeds_differ() -> None:
    """Another person, or another seed, is another recording."""
    first = SIMULATED.read(Path(), "P01", SMALL)
    assert not _same(first, SIMULATED.read(Path(), "P02", SMALL))
    assert not _same(first, SIMULATED.read(Path(), "P01", {**SMALL, "seed": 1}))


def test_simulated_recording_is_whole() -> None:
    """Six runs, calm first and of 20 s at least; signals as long as the labels; every promised trait is there."""
    recording = SIMULATED.read(Path(), "P01", SMALL)
    values = recording.segments[0].tracks["task"].values
    borders = np.flatnonzero(np.diff(values)) + 1
    assert [run[0] for run in np.split(values, borders)] == [0, 1, 0, 1, 0, 1]
    assert np.diff([0, *borders, len(values)]).min() >= 20
    found = {channel.name: len(recording.segments[0].signals[channel.name]) / channel.rate_hz for channel in recording.channels}
    assert found == dict.fromkeys(found, len(values))
    assert set(recording.traits) == set(SIMULATED.traits)
    assert recording.traits["gender"] in ("female", "male")
    assert 18 <= float(recording.traits["age"]) <= 65


def test_simulated_participants_follow_the_option() -> None:
    """As many names as asked for."""
    assert SIMULATED.participants(Path(), SMALL) == ["P01", "P02", "P03"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("participants", 2), ("minutes", 1.9), ("minutes", float("nan")), ("strength", -1), ("noise", -0.1), ("seed", -1)],
)
def test_too_small_options_are_refused(option: str, value: float) -> None:
    """An option below its smallest sensible value is named, with one that works."""
    options = {**SMALL, option: value}
    with pytest.raises(RecordingError, match=f"option {option}=.* is below .*--option {option}="):
        _ = SIMULATED.participants(Path(), options) if option == "participants" else SIMULATED.read(Path(), "P01", options)
