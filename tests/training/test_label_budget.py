"""Asking for labels one by one, on simulated probabilities: few where the model is right already, many where it is not; nothing is seen unasked."""

import numpy as np
import numpy.typing as npt
import pytest

from raylab.errors import InvalidValueError
from raylab.techniques.stage import Asking
from raylab.training.label_budget import SPAN, Inquiry, ask, fits, recorded_order

N = 40
RULES = [Asking(order, stop) for order in ("recorded", "uncertain") for stop in ("test", "loss", "entropy")]
Values = npt.NDArray[np.float64]


def _pool(separation: float, seed: int = 0, noise: float = 1.0) -> tuple[Values, npt.NDArray[np.int64]]:
    """Probabilities of a simulated model whose logit is ``separation`` times the class (-1, 1), with noise; negative: labels are turned around."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], N // 2)
    logit = separation * (2 * y - 1) + rng.normal(0, noise, N)
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], axis=1), y


@pytest.mark.parametrize("seed", range(5))
def test_few_labels_where_the_model_is_right_many_where_it_knows_nothing(seed: int) -> None:
    """The sequential test: 6 answers are the fewest that it can stop after; a model without any information is asked far longer."""
    right, knows_nothing = (len(ask(Asking("recorded", "test"), *_pool(s, seed), 2)) for s in (4.0, 0.0))
    assert 6 <= right <= 10
    assert knows_nothing >= 2 * right


def test_a_turned_model_is_asked_until_the_tuned_one_fits() -> None:
    """The judge turns it around at once; the tuned model, here one that needs 20 answers, does not: asking goes on until it fits its answers."""
    p, y = _pool(-4.0)

    def slow(asked: list[int]) -> Values:
        return p[asked] if len(asked) < 20 else p[asked][:, ::-1]

    quick = ask(Asking("recorded", "test"), p, y, 2)
    patient = ask(Asking("recorded", "test"), p, y, 2, slow)
    assert len(quick) <= 10 and 20 <= len(patient) <= 20 + SPAN
    assert quick.tolist() == patient[: len(quick)].tolist()
    assert not fits(p[quick], y[quick]) and fits(p[quick][:, ::-1], y[quick])


@pytest.mark.parametrize("asking", RULES, ids=lambda asking: f"{asking.order}-{asking.stop}")
@pytest.mark.parametrize("separation", [4.0, 0.5, -2.0])
def test_the_rule_sees_the_answers_alone(asking: Asking, separation: float) -> None:
    """Other classes of the windows that were not asked for change nothing; in the order ``recorded`` each class's own windows are taken in turn."""
    p, y = _pool(separation)
    asked = ask(asking, p, y, 2)
    assert len(asked) == len(set(asked.tolist())) >= SPAN
    other = y.copy()
    unasked = np.setdiff1d(np.arange(N), asked)
    other[unasked] = np.sort(other[unasked])[::-1] if asking.order == "recorded" else 1 - other[unasked]
    if asking.order == "uncertain":
        assert asked.tolist() == ask(asking, p, other, 2).tolist()
    else:
        assert recorded_order(y, 2)[: len(asked)] == asked.tolist()
        assert [0, N // 2, 1, N // 2 + 1] == asked[:4].tolist()


def test_answers_in_any_process_say_the_same() -> None:
    """The inquiry of a stream, given the same answers one by one, stops where the training's does."""
    p, y = _pool(1.0)
    for asking in RULES:
        asked = ask(asking, p, y, 2)
        inquiry = Inquiry(asking, 2)
        for count, position in enumerate(asked):
            assert not inquiry.enough, (asking, count)
            inquiry.answer(p[position], int(y[position]))
        assert inquiry.enough or len(asked) == N


def test_probabilities_of_0_and_three_classes_are_judged() -> None:
    """A network may say 0 in single precision; of three classes each is asked in turn."""
    y = np.repeat([0, 1, 2], 10)
    p = np.eye(3)[y]
    asked = ask(Asking("recorded", "test"), p, y, 3)
    assert [0, 10, 20] == asked[:3].tolist() and len(asked) < 10
    inquiry = Inquiry(Asking("recorded", "test"), 3)
    inquiry.answer(np.array([1.0, 0.0, 0.0]), 2)
    assert np.isfinite(inquiry.losses).all() and np.isfinite(inquiry.judged(p)).all()


def test_an_unknown_rule_is_refused() -> None:
    """Naming those that there are."""
    with pytest.raises(InvalidValueError, match="stop one of test, loss, entropy"):
        Inquiry(Asking("recorded", "luck"), 2)
