"""The order of an epoch: a permutation, or draws from a buffer that is filled person by person."""

import numpy as np
import pytest
from builders.studies import study

from raylab.errors import StudyError
from raylab.training.epoch_order import order_of_epoch
from raylab.training.protocol import Hyperparameters
from raylab.trials.study import parse_study

SIZES = (40, 3, 25, 60, 1, 31)
PEOPLE = np.repeat(np.arange(len(SIZES)), SIZES)
ROWS = 7 + 2 * np.arange(len(PEOPLE))  # a fold has some of the index


def _order(buffer: int | None, seed: int = 0) -> np.ndarray:
    return order_of_epoch(ROWS, PEOPLE, buffer, np.random.default_rng(seed))


def _most_held(order: np.ndarray) -> int:
    """The windows that a reader holds at most who reads a whole person when the first window of that person is asked for."""
    who, read, held, most = dict(zip(ROWS.tolist(), PEOPLE.tolist(), strict=True)), set(), 0, 0
    for row in order.tolist():
        if who[row] not in read:
            read.add(who[row])
            held += SIZES[who[row]]
            most = max(most, held)
        held -= 1
    return most


def test_without_a_buffer_it_is_the_permutation_that_it_always_was() -> None:
    """Stored hashes promise these bits."""
    np.testing.assert_array_equal(np.random.default_rng(5).permutation(ROWS), _order(None, 5), strict=True)


@pytest.mark.parametrize("buffer", [2, 10, 50, len(ROWS) - 1, len(ROWS), 10_000])
def test_every_window_comes_once_in_another_order_each_epoch(buffer: int) -> None:
    """Whatever the buffer is, and by the fold's draws alone."""
    draws = np.random.default_rng(0)
    first, second = (order_of_epoch(ROWS, PEOPLE, buffer, draws) for _ in range(2))
    np.testing.assert_array_equal(ROWS, np.sort(first))
    np.testing.assert_array_equal(ROWS, np.sort(second))
    assert (first != second).any()
    np.testing.assert_array_equal(first, _order(buffer))


@pytest.mark.parametrize("buffer", [2, 10, 50])
def test_the_buffer_and_one_person_are_all_that_a_reader_holds(buffer: int) -> None:
    """In 50 epochs; a permutation needs nearly all windows."""
    assert max(_most_held(_order(buffer, seed)) for seed in range(50)) <= buffer + max(SIZES)
    assert _most_held(_order(None)) > 0.9 * len(ROWS)


def test_windows_of_a_person_are_mixed() -> None:
    """With a buffer as large as all of them each place is as likely: the mean place of the first window is the middle."""
    places = [int(np.flatnonzero(_order(len(ROWS), seed) == ROWS[0])[0]) for seed in range(400)]
    assert abs(np.mean(places) - (len(ROWS) - 1) / 2) < 4 * len(ROWS) / np.sqrt(12 * 400)


def test_nothing_to_order() -> None:
    """A stage without windows of a kind."""
    nobody = ROWS[:0]
    assert 0 == len(order_of_epoch(nobody, PEOPLE[:0], 8, np.random.default_rng(0)))


def test_it_is_part_of_the_hyperparameters_only_if_it_is_set() -> None:
    """Stages without a buffer keep their hashes."""
    assert "shuffle_buffer" not in Hyperparameters().as_dict()
    assert 64 == Hyperparameters(shuffle_buffer=64).as_dict()["shuffle_buffer"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protocol": {"shuffle_buffer": 1}}, "shuffle_buffer"),
        (
            {"protocol": {"shuffle_buffer": 64}, "techniques": ["non_personalized", {"name": "robust", "penalty": "coral"}]},
            "protocol.shuffle_buffer: robust has an order of its own",
        ),
        ({"resources": {"windows": "streamed"}}, "set protocol.shuffle_buffer to the number of windows"),
        (
            {"protocol": {"shuffle_buffer": 64, "numerics": "stacked"}, "resources": {"windows": "streamed"}},
            "leave protocol.numerics: stacked out",
        ),
        (
            {
                "models": [{"encoder": "minirocket"}],
                "techniques": ["non_personalized"],
                "resources": {"windows": "streamed"},
            },
            "minirocket takes all training windows at once",
        ),
        ({"resources": {"windows": "copied"}}, "resources.windows"),
    ],
)
def test_what_cannot_be_is_refused_when_the_study_is_read(changes: dict, said: str) -> None:
    """With the reason and the remedy."""
    with pytest.raises(StudyError, match=said):
        parse_study(study(**changes), "test")


def test_models_of_statistics_need_no_buffer() -> None:
    """They have no epochs."""
    content = study(models=[{"encoder": "lda"}], techniques=["non_personalized"], resources={"windows": "streamed"})
    assert "streamed" == parse_study(content, "test").resources.windows
