"""Near-identical recordings: found where one person stands under two names, and nowhere else."""

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from builders.windows import make_card

from raylab.windows.dataset import WindowIndex
from raylab.windows.duplicate_recordings import MIN_DISTINCT, SHARE, DuplicatePair, duplicate_recordings
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import statistics

LENGTHS = {"smooth": 40, "lively": 320}


def recording(count: int, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Windows side by side, (count, length, 1) in 0..1: a slow drift, as skin temperature has, and a fast wave on a slow one."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, length in LENGTHS.items():
        drift = np.cumsum(rng.normal(0, 1, count * 10))
        slow = np.interp(np.arange(count * length) / length * 10, np.arange(count * 10), drift)
        fast = 2 * np.sin(np.arange(count * length) * rng.uniform(0.3, 0.5)) if name == "lively" else 0.0
        x = slow + fast
        made[name] = ((x - x.min()) / (x.max() - x.min())).astype(np.float32).reshape(count, length, 1)
    return made


def index_of(people: dict[str, dict[str, npt.NDArray[np.float32]]], starts: dict[str, npt.NDArray[np.float64]]) -> WindowIndex:
    """The index of these windows; a person starts at 0 and goes on by 10 s where ``starts`` says nothing."""
    counts = [len(next(iter(signals.values()))) for signals in people.values()]
    begin = [starts.get(name, np.arange(n) * 10.0) for name, n in zip(people, counts, strict=True)]
    person = np.repeat(np.arange(len(people), dtype=np.int32), counts)
    channels = list(next(iter(people.values())))
    return WindowIndex(
        card=make_card(list(people), LENGTHS, {}, preprocessing=Preprocessing(step_s=10.0)),
        participants=tuple(people),
        window=np.arange(len(person)),
        participant_index=person,
        segment=np.zeros(len(person), np.int32),
        start_s=np.concatenate(begin),
        labels={},
        statistics={name: statistics(np.concatenate([signals[name] for signals in people.values()])) for name in channels},
    )


@pytest.fixture(scope="module")
def people() -> dict[str, dict[str, npt.NDArray[np.float32]]]:
    return {f"P{i}": recording(120, i) for i in range(8)}


@pytest.mark.parametrize(
    ("noise", "begin", "end", "late_s"),
    [(0.0, 0, 120, 0.0), (0.01, 0, 120, 0.0), (0.0, 30, 120, 0.0), (0.0, 30, 120, 300.0), (0.01, 0, 60, 70.0)],
    ids=["exact", "with noise of 1%", "starts later", "starts later, at its own time", "half of it, with noise"],
)
def test_a_person_under_two_names_is_found(
    people: dict[str, dict[str, npt.NDArray[np.float32]]], noise: float, begin: int, end: int, late_s: float
) -> None:
    """Both are named, nobody else is, and nearly all windows are found."""
    rng = np.random.default_rng(0)
    copy = {
        name: (x[begin:end] + noise * rng.standard_normal(x[begin:end].shape)).astype(np.float32)
        for name, x in people["P3"].items()
    }
    found = duplicate_recordings(
        index_of({**people, "again": copy}, {"again": np.arange(end - begin, dtype=np.float64) * 10.0 + late_s})
    )
    assert [("P3", "again")] == [(pair.first, pair.second) for pair in found]
    assert found[0].share > 0.9


def test_different_people_are_not_alike(people: dict[str, dict[str, npt.NDArray[np.float32]]]) -> None:
    """Far from the limit, also where one smooth channel is all there is."""
    assert [] == duplicate_recordings(index_of(people, {}), SHARE / 2)
    assert [] == duplicate_recordings(index_of({name: {"smooth": x["smooth"]} for name, x in people.items()}, {}))


def test_the_same_windows_in_another_order_are_not_one_recording(
    people: dict[str, dict[str, npt.NDArray[np.float32]]],
) -> None:
    """All matches have to be the same time apart: otherwise a flat or periodic signal would match by chance."""
    order = np.random.default_rng(1).permutation(120)
    assert [] == duplicate_recordings(index_of({**people, "again": {name: x[order] for name, x in people["P3"].items()}}, {}))


def test_recordings_that_look_like_themselves_everywhere_say_nothing() -> None:
    """Constant signals, equal for all or for each their own, are no reason to suspect anybody; nor are a few values by chance."""
    flat = {f"P{i}": {"a": np.full((50, 8, 1), 0.5, np.float32)} for i in range(4)}
    own = {f"P{i}": {"a": np.full((50, 8, 1), i / 2, np.float32)} for i in range(4)}
    rng = np.random.default_rng(0)
    few = {f"P{i}": {"a": np.repeat(rng.integers(0, 3, (300, 1, 1)), 8, axis=1).astype(np.float32)} for i in range(4)}
    assert [[], [], []] == [duplicate_recordings(index_of(people, {}), 0.0) for people in (flat, own, few)]


def test_a_constant_channel_hides_no_copy(people: dict[str, dict[str, npt.NDArray[np.float32]]]) -> None:
    flat = np.zeros((120, 8, 1), np.float32)
    found = duplicate_recordings(
        index_of({name: {**x, "flat": flat} for name, x in {**people, "again": people["P0"]}.items()}, {})
    )
    assert [DuplicatePair("P0", "again", 1.0)] == found


def test_windows_with_a_nan_hide_no_copy_and_make_none(people: dict[str, dict[str, npt.NDArray[np.float32]]]) -> None:
    """`raylab prepare` lets no NaN through; windows that another tool wrote may have some."""
    broken = {name: values.copy() for name, values in people["P0"].items()}
    broken["smooth"][::10, 3] = np.nan
    assert [DuplicatePair("P0", "again", 0.9)] == duplicate_recordings(
        index_of({**people, "P0": broken, "again": people["P0"]}, {})
    )
    other = {name: values.copy() for name, values in people["P1"].items()}
    for values in (broken["smooth"], other["smooth"]):
        values[:] = np.nan
    assert [] == duplicate_recordings(index_of({**people, "P0": broken, "P1": other}, {}))


def test_few_windows_are_not_judged(people: dict[str, dict[str, npt.NDArray[np.float32]]]) -> None:
    """One window fewer than the limit says nothing, the limit itself does."""
    parts = [{name: x[:n] for name, x in people["P0"].items()} for n in (MIN_DISTINCT - 1, MIN_DISTINCT)]
    fewer, enough = (index_of({"P0": part, "again": part}, {}) for part in parts)
    assert [] == duplicate_recordings(fewer)
    assert 1 == len(duplicate_recordings(enough))


def test_sixty_people_of_a_thousand_windows_take_seconds() -> None:
    """Processor time, on random statistics and on equal ones, where every window is near every other."""
    count = 60 * 1000
    index = index_of({f"P{i}": {"a": np.zeros((1000, 2, 1), np.float32)} for i in range(60)}, {})
    random = np.random.default_rng(0).random((count, 3)).astype(np.float32)
    for statistics_ in ({f"c{i}": random for i in range(6)}, index.statistics):
        began = time.process_time()
        assert [] == duplicate_recordings(replace(index, statistics=statistics_))
        assert time.process_time() - began < 10
