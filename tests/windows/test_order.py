"""When windows were recorded: runs, times within a segment, and what came first."""

from dataclasses import replace

import numpy as np
from builders.windows import make_windows, with_card

from raylab.windows.order import PairOrder, order_sentences, pair_orders, window_order
from raylab.windows.utterances import Utterances


def test_runs_and_times_start_anew_with_each_person_and_segment() -> None:
    """Counted by hand; a window without a label is in no run, and does not end one."""
    index = make_windows({"A": [0, 0, -1, 0, 1, 1], "B": [1, 1, 1]}).index
    index = replace(index, segment=np.array([0, 0, 0, 0, 0, 1, 0, 0, 0], dtype=np.int32))

    order = window_order(index, "stress")

    assert order is not None
    assert [0, 0, 0, 1, 2, 0, 0, 0] == order.run.tolist()
    assert [0, 5, 15, 20, 0, 0, 5, 10] == order.segment_s.tolist()
    assert [0, 5, 15, 20, 25, 0, 5, 10] == order.start_s.tolist()
    assert [0, 0, 0, 0, 0, 1, 1, 1] == order.person.tolist()


def test_pairs_of_classes_are_counted_by_person() -> None:
    """Before, after, or alternating; who has one class of a pair does not count in it."""
    index = make_windows({"A": [0, 1, 2], "B": [1, 0, 1], "C": [2, 2, 0]}, classes=3).index
    order = window_order(index, "stress")
    assert order is not None

    found = pair_orders(order, ("calm", "stress", "joy"))

    assert (
        PairOrder("calm", "stress", 1, 0, 1),
        PairOrder("calm", "joy", 1, 1, 0),
        PairOrder("stress", "joy", 1, 0, 0),
    ) == found
    assert [False, False, True] == [pair.fixed for pair in found]
    assert "joy comes after stress for all 1 people" in found[2].sentence
    assert "calm and joy: calm first for 1, joy first for 1 of 2 people." == found[1].sentence


def test_utterances_have_no_order() -> None:
    """Their files do not say when they were spoken."""
    index = with_card(make_windows({"A": [0, 1], "B": [0, 1]}), preprocessing=Utterances(window_s=10.0)).index

    assert window_order(index, "stress") is None
    assert () == order_sentences(index, "stress")


def test_no_window_with_a_label_is_no_fault() -> None:
    """Nothing is said."""
    assert () == order_sentences(make_windows({"A": [-1, -1]}).index, "stress")
