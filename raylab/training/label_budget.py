"""How many labels are enough: windows are asked for one by one, until a rule says that there are enough (technique ``adaptive``; ``raylab live``).

The rule sees what the wearer gave and nothing else: for each answer the model's probabilities before it, and the class that was answered. What it
follows is a judge, which learns with every answer and is asked before each (prequential, Dawid 1984): softmax(W z + b) of the logarithm z of the
model's probabilities as they were before calibration, with a ridge towards W = 1, b = 0, the model as it is. A judge costs a millisecond where tuning
a network costs seconds, and it is the same for a network, a classical model and a live stream. That is raylab's choice and an approximation: it
finds that labels were turned around, or that a class was too rare, and not what only other features would show.

The constants below decide weights and are in no hash: whoever changes one raises ``NUMERICS`` (raylab.training.stage_hash).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from raylab.errors import InvalidValueError
from raylab.models.estimators import Array, Classes
from raylab.techniques.stage import Asking

ORDERS, STOPS = ("recorded", "uncertain"), ("test", "loss", "entropy")

RIDGE = 1.0  # of the judge: as much as the first window says
LEAST_P = 1e-6  # a network's probability can be 0 in single precision
ERROR = 0.1  # of the test, on both sides
RIGHT = 0.9  # share of right answers of a model that needs no more labels
ABOVE_CHANCE = 0.1  # by which a model that needs more may be right more often than chance
SPAN = 6  # answers over which loss and entropy are averaged
FLAT = 0.05  # nats by which the loss has to fall from one span to the next, or asking stops
SURE = 0.5  # share of the largest entropy under which a span is sure enough


@dataclass
class Inquiry:
    """The answers of one person so far, and whether there are enough of them.

    Attributes:
        asking: the order and the rule.
        n_classes: number of classes.
        log_p: of the windows that were answered, (n_classes,) each, from the model before calibration.
        answers: their classes.
        right: for each answer whether the judge, asked before, named the class. ``losses``: -ln of the probability it gave to it.
        entropies: of the judge's probabilities before the answer, in nats.
    """

    asking: Asking
    n_classes: int
    log_p: list[Array] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.asking.order not in ORDERS or self.asking.stop not in STOPS:
            raise InvalidValueError(f"{self.asking}: order is one of {', '.join(ORDERS)}, stop one of {', '.join(STOPS)}")

    def judged(self, p: Array) -> Array:
        """The judge's probabilities (n, n_classes) of windows, from the model's (n, n_classes) before calibration."""
        weights, bias = _fit(np.array(self.log_p), np.array(self.answers, dtype=np.int64), self.n_classes)
        return _softmax(_logarithm(p) @ weights.T + bias)

    def answer(self, p: Array, label: int) -> None:
        """Take the class of one more window; ``p`` (n_classes,) is what the model before calibration said of it."""
        judged = self.judged(p[None])[0]
        self.right.append(bool(judged.argmax() == label))
        self.losses.append(float(-np.log(max(judged[label], LEAST_P))))
        self.entropies.append(float(_entropy(judged[None])[0]))
        self.log_p.append(_logarithm(p[None])[0])
        self.answers.append(label)

    @property
    def enough(self) -> bool:
        """Whether asking may stop, by the rule ``asking.stop``; never before every class was answered once."""
        return (
            len(set(self.answers)) == self.n_classes
            and {"test": self._passes_test, "loss": self._is_flat, "entropy": self._is_sure}[self.asking.stop]()
        )

    def _passes_test(self) -> bool:
        """Wald's sequential test of whether the judge is right in 0.9 of the answers or not much more often than chance (error 0.1 on both
        sides), summed as Page does (1954: the sum never falls below 0), since the judge learns: what it got wrong at first counts no more. Each
        class has a sum of its own and an equal share of the bound: a wearer may mark one class for long before the other."""
        chance = min(1 / self.n_classes + ABOVE_CHANCE, RIGHT - ABOVE_CHANCE)
        hit, miss = np.log(RIGHT / chance), np.log((1 - RIGHT) / (1 - chance))
        totals = np.zeros(self.n_classes)
        for label, right in zip(self.answers, self.right, strict=True):
            totals[label] = max(0.0, totals[label] + (hit if right else miss))
        return bool((totals >= np.log((1 - ERROR) / ERROR) / self.n_classes).all())

    def _is_flat(self) -> bool:
        """Whether the loss of the last answers is no longer clearly below that of those before: the learning curve is flat, at whatever height."""
        if len(self.losses) < 2 * SPAN:
            return False
        return float(np.mean(self.losses[-2 * SPAN : -SPAN]) - np.mean(self.losses[-SPAN:])) < FLAT

    def _is_sure(self) -> bool:
        """Whether the judge was sure of the last windows before they were answered; it may be sure and wrong."""
        return len(self.entropies) >= SPAN and float(np.mean(self.entropies[-SPAN:])) < SURE * float(np.log(self.n_classes))


Fits = Callable[[list[int]], Array]


def ask(asking: Asking, p: Array, y: Classes, n_classes: int, fitted: Fits | None = None) -> npt.NDArray[np.int64]:
    """Positions of the windows that are asked for, in the order of asking: all of the pool if the rule never says that there are enough.

    Args:
        p: (n, n_classes) what the model before calibration says of each window of the pool, in the order of time.
        y: (n,) their classes. Of windows that are not asked for, the rule sees none; the order ``recorded`` takes the class with the fewest
            answers, as a wearer does who says which class is next.
        fitted: positions that were asked for to the probabilities (n, n_classes) that the model tuned on them gives of these very windows: if it
            does not even fit the answers (``fits``), ``SPAN`` more are asked for before the rule is heard again; None: the rule alone decides. A
            judge turns labels around after one answer, where tuning by small steps needs many.
    """
    inquiry, asked = Inquiry(asking, n_classes), list[int]()
    with threadpool_limits(1):  # as in every training: sums in another order could choose otherwise
        heard_from = 0
        while len(asked) < len(y):
            if len(asked) >= heard_from and inquiry.enough:
                if fitted is None or fits(fitted(asked), y[asked]):
                    break
                heard_from = len(asked) + SPAN
            rest = np.setdiff1d(np.arange(len(y)), asked)
            position = _next(inquiry, p, y, rest)
            inquiry.answer(p[position], int(y[position]))
            asked.append(position)
    return np.array(asked, dtype=np.int64)


def fits(p: Array, y: Classes) -> bool:
    """Whether a model tuned on these answers (n,) fits them: it names more of them than half way from chance to ``RIGHT``."""
    chance = 1 / p.shape[1]
    return bool((p.argmax(axis=1) == y).mean() > (chance + RIGHT) / 2)


def _next(inquiry: Inquiry, p: Array, y: Classes, rest: npt.NDArray[np.int64]) -> int:
    """Of the windows that are left the one to ask for."""
    if inquiry.asking.order == "uncertain":
        return int(rest[np.argmax(_entropy(inquiry.judged(p[rest])))])  # of equal ones the first
    return _fewest(np.bincount(np.array(inquiry.answers, dtype=np.int64), minlength=inquiry.n_classes), y, rest)


def _fewest(counts: npt.NDArray[np.int64], y: Classes, rest: npt.NDArray[np.int64]) -> int:
    """The first of the windows that are left of the class with the fewest answers."""
    return int(rest[np.argmin(counts[y[rest]])])


def recorded_order(y: Classes, n_classes: int) -> list[int]:
    """All positions in the order ``recorded``."""
    order: list[int] = []
    while len(order) < len(y):
        rest = np.setdiff1d(np.arange(len(y)), order)
        order.append(_fewest(np.bincount(y[order], minlength=n_classes), y, rest))
    return order


def _logarithm(p: Array) -> Array:
    """ln p less its mean, (n, n_classes): the same for all scalings of p."""
    z = np.log(np.maximum(p.astype(np.float64), LEAST_P))
    return np.asarray(z - z.mean(axis=1, keepdims=True))


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _entropy(p: Array) -> Array:
    return np.asarray(-(p * np.log(np.maximum(p, LEAST_P))).sum(axis=1))


def _fit(z: Array, y: Classes, n_classes: int) -> tuple[Array, Array]:
    """The judge's W (n_classes, n_classes) and b (n_classes,): least cross-entropy plus RIDGE / 2 times the square of what differs from 1 and 0."""
    k = n_classes
    start = np.concatenate([np.eye(k).ravel(), np.zeros(k)])
    if not len(y):
        return np.eye(k), np.zeros(k)
    x = np.hstack([z, np.ones((len(z), 1))])
    truth = np.eye(k)[y]

    def objective(values: Array) -> tuple[float, Array]:
        parameters = np.hstack([values[: k * k].reshape(k, k), values[k * k :, None]])
        p = _softmax(x @ parameters.T)
        off = values - start
        loss = -np.log(np.maximum((p * truth).sum(axis=1), LEAST_P)).sum() + RIDGE / 2 * (off**2).sum()
        gradient = (p - truth).T @ x
        return float(loss), np.concatenate([gradient[:, :k].ravel(), gradient[:, k]]) + RIDGE * off

    values = minimize(objective, start, jac=True, method="L-BFGS-B").x
    return values[: k * k].reshape(k, k), values[k * k :]
