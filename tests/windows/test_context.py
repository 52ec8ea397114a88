"""People who share a session, and what else is tied to a label."""

from typing import Any

import numpy as np
import pytest
from builders.drift import drifting
from builders.studies import study
from builders.windows import make_windows, with_traits

from raylab.runs.provenance import notes
from raylab.trials.plan import check_datasets
from raylab.trials.study import parse_study
from raylab.validity.audit import audit
from raylab.validity.audit_page import sentences
from raylab.windows.context import circumstance_sentences, session_groups
from raylab.windows.dataset import Windows


def declared(windows: Windows, **traits: list[Any]) -> Windows:
    """The windows of people with these traits, a value each; None for none."""
    values = {
        person: {name: column[k] for name, column in traits.items() if column[k] is not None}
        for k, person in enumerate(windows.index.participants)
    }
    return with_traits(windows, values, [])


COUNTERBALANCED = drifting(0.0, 0.0, True, 0)  # P00, P02, ... have class 0 first, the others class 1


@pytest.mark.parametrize("name", ["device", "hand", "room", "experimenter"])
def test_what_goes_with_the_order_of_the_classes_is_tied(name: str) -> None:
    """Each order has a value of its own, and every other trait has nothing to do with it."""
    tied = declared(COUNTERBALANCED, **{name: ["left", "right"] * 6})
    (said,) = circumstance_sentences(tied.index, "stress")
    assert f"{name} is tied to the label" in said and "p = 0.00" in said
    free = declared(COUNTERBALANCED, **{name: ["left", "left", "right", "right"] * 3})
    (said,) = circumstance_sentences(free.index, "stress")
    assert f"{name} is not found to be tied to the label" in said


def test_what_goes_with_the_share_of_a_class_is_tied() -> None:
    """People of one room have class 1 three times as often."""
    people = {f"P{k:02}": ([0, 1, 1, 1] * 4 if k < 6 else [0, 0, 0, 1] * 4) for k in range(12)}
    (said,) = circumstance_sentences(declared(make_windows(people), room=["one"] * 6 + ["two"] * 6).index, "stress")
    assert "room is tied to the label" in said


def test_a_tie_by_chance_is_rare() -> None:
    """Of 60 random assignments at most one in ten is called tied at p = 0.05."""
    rng = np.random.default_rng(0)
    windows = drifting(0.0, 0.0, True, 0, each=3)
    ties = [
        " is tied"
        in circumstance_sentences(declared(windows, room=rng.permutation(["a", "b"] * 6).tolist()).index, "stress")[0]
        for _ in range(60)
    ]
    assert sum(ties) <= 6


def test_what_nobody_declares_cannot_be_told() -> None:
    """And what is the same for all, or is shared by too few, is said to be so."""
    (said,) = circumstance_sentences(COUNTERBALANCED.index, "stress")
    assert "no device, hand, room or experimenter is declared" in said and "cannot be told" in said
    (said,) = circumstance_sentences(declared(COUNTERBALANCED, device=["E4"] * 12).index, "stress")
    assert "device is the same for all 12 people" in said
    (said,) = circumstance_sentences(declared(COUNTERBALANCED, room=["a", *"bcdefghijkl"]).index, "stress")
    assert "too few people share a room" in said


def test_people_of_one_session_are_named_in_tables_and_by_the_audit() -> None:
    """Dyads: everyone's partner is trained or validated on; a person alone, and one without a session, warn of nothing."""
    dyads = declared(COUNTERBALANCED, session_group=[f"debate {k // 2}" if k < 8 else None for k in range(12)])
    assert {f"debate {k}": (f"P{2 * k:02}", f"P{2 * k + 1:02}") for k in range(4)} == session_groups(dyads.index)
    made = parse_study(study(), "test")

    said = " ".join(notes(made, check_datasets(made, {"made": dyads.index})))

    assert "8 of 12 people were recorded in one session with somebody whom their fold trains or validates on" in said
    assert "for example P00 and P01" in said and "people of one session are on both sides of training and validation" in said
    assert "8 people were recorded in 4 sessions together" in " ".join(sentences(audit(dyads, "stress")))
    alone = declared(COUNTERBALANCED, session_group=[f"session {k}" for k in range(12)])
    assert {} == session_groups(alone.index)
    assert "session_group" not in " ".join(notes(made, check_datasets(made, {"made": alone.index})))


def test_people_of_one_session_who_are_held_out_together_are_no_leak() -> None:
    """Groups of people that hold the dyad out as one have nothing to warn of there."""
    dyads = declared(COUNTERBALANCED, session_group=["all"] * 12)
    crossed = parse_study(study(folds={"group_k_fold": 2}), "test")
    said = " ".join(notes(crossed, check_datasets(crossed, {"made": dyads.index})))
    assert "12 of 12 people were recorded in one session" in said  # the other half is of the same session
