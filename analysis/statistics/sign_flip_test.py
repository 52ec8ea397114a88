"""One column for a technique with several variants: chosen without the participant's own result, tested by flipping signs.

Where a table shows one column per technique, the variant is chosen for each participant by the mean over the other participants.
The mean of the chosen differences is then unbiased. Their ordinary p is not (the choice ties the participants to each other: what is
good luck for one makes the choice worse for another), so p and interval come from flipping the sign of each participant's whole row of
differences and repeating the choice. docs/error_rates.md has the numbers.

Shape: ``d`` (n_participants, n_variants), NaN where a participant has no score for a variant.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Differences = npt.NDArray[np.float64]
VariantIndex = npt.NDArray[np.intp]

FLIPS = 9999
EXACT_UP_TO = 15  # participants; 2^15 flips
LEVEL = 0.05
UNIT = 1e-9  # differences are counted in billionths: whole numbers, which floats add without rounding, so that ties are ties
BLOCK = 1000  # flips done at once: what they need fits the processor's cache


@dataclass(frozen=True)
class FlipTest:
    """What flipping the signs of whole rows says of the mean chosen difference.

    Attributes:
        p: two-sided; NaN where nobody can be chosen for.
        low: of the 95% interval, all mean differences that the same test does not reject; NaN where so few participants do not bound it (under
            5 or 6) or where some of them lack some variants, because the choice would then move with the mean.
        high: likewise.
        flips: how many were looked at, the data as they are among them.
        exact: whether those are all there are.
    """

    p: float
    low: float
    high: float
    flips: int
    exact: bool


class _Choice:
    """The choice, repeated under any signs of the rows."""

    def __init__(self, d: Differences) -> None:
        present = ~np.isnan(d)
        others = present.sum(axis=0) - present  # how many others a mean is over
        can = present & (others > 0) if d.shape[1] > 1 else present  # with one variant nobody else is needed
        self.units = np.where(present, np.rint(d / UNIT), 0.0)
        self.others = np.maximum(others, 1)
        self.barred = np.where(can, 0.0, -np.inf)
        self.possible = can.any(axis=1)

    def made(self, signs: Differences) -> tuple[Differences, VariantIndex]:
        """Chosen differences in units and their variants, (n_participants, n_flips) each, for signs of that shape."""
        best, values = np.full(signs.shape, -np.inf), np.zeros(signs.shape)
        which = np.full(signs.shape, -1, dtype=np.intp)
        for v, total in enumerate(self.units.T @ signs):
            own = signs * self.units[:, v, None]
            mean = (total - own) / self.others[:, v, None] + self.barred[:, v, None]
            better = mean > best  # the first of equals stays
            for kept, new in ((best, mean), (values, own), (which, v)):
                np.copyto(kept, new, where=better)
        return values, which


def leave_one_out_choice(d: Differences) -> tuple[Differences, VariantIndex]:
    """Each participant's difference under the variant that is best on average over the others, and which variant that is.

    A choice is among the variants that the participant has itself; the first of equals is taken.

    Returns:
        values (n_participants,), NaN for who cannot be chosen for; which (n_participants,), -1 for them.
    """
    which = _Choice(d).made(np.ones((len(d), 1)))[1][:, 0]
    return np.where(which < 0, np.nan, d[np.arange(len(d)), which]), which


def _signs(n: int, flips: int, seed: int, exact: bool) -> Differences:
    """Signs (n, n_flips), those of the data first: all there are, or random ones."""
    if exact:
        turned = np.arange(2**n) >> np.arange(n)[:, None] & 1
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, size=(n, flips))
        turned = np.hstack([np.zeros((n, 1), dtype=drawn.dtype), drawn])
    return np.asarray(1.0 - 2.0 * turned)


def _interval(sums: Differences, signs: Differences) -> tuple[float, float]:
    """The mean differences that the flips do not reject.

    Taking a constant c off every difference changes no choice, so under flip f the sum of chosen differences is a_f - c b_f, with b_f
    the sum of the signs. |a_f - c b_f| >= |a_0 - c n| holds between two roots, with the mean between them; c is rejected where it lies
    between the roots of 5% of the flips or fewer.
    """
    a, b, n = sums, signs.sum(axis=0), len(signs)
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.stack([(a[0] - a) / (n - b), (a[0] + a) / (n + b)]) * UNIT
    roots = np.where(
        np.isnan(roots).any(axis=0), [[-np.inf], [np.inf]], roots
    )  # the data themselves, or their mirror image: every c
    at = int(LEVEL * len(a))
    low, high = np.sort(roots.min(axis=0))[at], np.sort(roots.max(axis=0))[-1 - at]
    return (float(low), float(high)) if np.isfinite([low, high]).all() else (float("nan"), float("nan"))


def flip_test(d: Differences, flips: int = FLIPS, seed: int = 0, exact_up_to: int = EXACT_UP_TO) -> FlipTest:
    """Whether the mean chosen difference is zero: how often flipped rows give one at least as far from it.

    Valid where a participant's whole row of differences is as likely as its mirror image, whatever the variants have in common.
    All flips up to ``exact_up_to`` participants, else ``flips`` random ones (the data count as one more, so p is never 0).
    """
    d = d[_Choice(d).possible]
    if not len(d):
        return FlipTest(float("nan"), float("nan"), float("nan"), 0, True)
    choice, exact = _Choice(d), len(d) <= exact_up_to
    signs = _signs(len(d), flips, seed, exact)
    parts = (signs[:, at : at + BLOCK] for at in range(0, signs.shape[1], BLOCK))
    sums = np.concatenate([choice.made(part)[0].sum(axis=0) for part in parts])
    p = float((np.abs(sums) >= abs(sums[0])).mean())
    low, high = (float("nan"), float("nan")) if np.isnan(d).any() else _interval(sums, signs)
    return FlipTest(p, low, high, signs.shape[1], exact)
