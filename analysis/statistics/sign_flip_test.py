"""One column for a technique with several variants: chosen without the participant's own result, tested by flipping signs.

If a table shows one column per technique, the variant is chosen for each participant by the mean over the other participants.
The mean of the chosen differences is then unbiased. Their ordinary p is not (the choice ties the participants to each other: what is
good luck for one makes the choice worse for another), so p and interval come from flipping the sign of each participant's whole row of
differences and repeating the choice. The training that participants share makes the mean vary more than flips do: by the root of ``inflation``
(``analysis.statistics.dependence``), so the flipped means are stretched by it. docs/error_rates.md has the numbers.

Shape: ``d`` (n_participants, n_variants), NaN if a participant has no score for a variant.
"""

from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats, Indices
from analysis.constants import ALPHA

FLIPS = 9999
EXACT_UP_TO = 15  # participants; 2^15 flips
UNIT = 1e-9  # differences are counted in billionths: whole numbers, which floats add without rounding, so that ties are ties
NO_INTERVAL = float("nan"), float("nan")
BLOCK = 1000  # flips done at once: what they need fits the processor's cache


@dataclass(frozen=True)
class FlipTest:
    """The mean chosen difference tested by flipping the signs of whole rows.

    Attributes:
        p: two-sided; NaN if there is no participant to choose for.
        low: of the 95% interval, all mean differences that the same test does not reject; NaN if so few participants do not bound it (under
            5 or 6) or if some of them lack some variants, because the choice would then move with the mean.
        high: likewise.
        inner_low: of the 90% interval, for two one-sided tests of equivalence. ``inner_high``: likewise.
        flips: how many were evaluated, the data as they are among them.
        exact: whether those are all possible ones.
    """

    p: float
    low: float
    high: float
    inner_low: float
    inner_high: float
    flips: int
    exact: bool


class _Choice:
    """The choice, repeated under any signs of the rows."""

    def __init__(self, d: Floats) -> None:
        present = ~np.isnan(d)
        others = present.sum(axis=0) - present  # how many others a mean is over
        allowed = present & (others > 0) if d.shape[1] > 1 else present  # one variant alone needs no other participant
        self.quantized = np.where(present, np.rint(d / UNIT), 0.0)
        self.others = np.maximum(others, 1)
        self.mask = np.where(allowed, 0.0, -np.inf)
        self.possible = allowed.any(axis=1)

    def choose(self, signs: Floats) -> tuple[Floats, Indices]:
        """Chosen differences in units and their variants, (n_participants, n_flips) each, for signs of that shape."""
        best, values = np.full(signs.shape, -np.inf), np.zeros(signs.shape)
        variant = np.full(signs.shape, -1, dtype=np.intp)
        for v, total in enumerate(self.quantized.T @ signs):
            flipped = signs * self.quantized[:, v, None]
            mean = (total - flipped) / self.others[:, v, None] + self.mask[:, v, None]
            better = mean > best  # the first of equals stays
            for target, new in ((best, mean), (values, flipped), (variant, v)):
                np.copyto(target, new, where=better)
        return values, variant


def leave_one_out_choice(d: Floats) -> tuple[Floats, Indices]:
    """Each participant's difference under the variant that is best on average over the others, and which variant that is.

    A choice is among the variants that the participant has itself; the first of equals is taken.

    Returns:
        values (n_participants,), NaN if there is no choice for a participant; variant (n_participants,), -1 for them.
    """
    variant = _Choice(d).choose(np.ones((len(d), 1)))[1][:, 0]
    return np.where(variant < 0, np.nan, d[np.arange(len(d)), variant]), variant


def _signs(n: int, flips: int, seed: int, exact: bool) -> Floats:
    """Signs (n, n_flips), those of the data first: all possible ones, or random ones."""
    if exact:
        negative = np.arange(2**n) >> np.arange(n)[:, None] & 1
    else:
        coins = np.random.default_rng(seed).integers(0, 2, size=(n, flips))
        negative = np.hstack([np.zeros((n, 1), dtype=coins.dtype), coins])
    return np.asarray(1.0 - 2.0 * negative)


def _interval(sums: Floats, signs: Floats, stretch: float, alpha: float) -> tuple[float, float]:
    """The mean differences that the flips do not reject.

    Taking a constant c off every difference changes no choice, so under flip f the sum of chosen differences is a_f - c b_f, with b_f
    the sum of the signs. stretch |a_f - c b_f| >= |a_0 - c n| holds between two roots, with the mean between them, if stretch |b_f| < n, and
    for every c that is large enough otherwise; c is rejected if it lies between the roots of a share ``alpha`` of the flips or fewer.
    """
    a, b, n = stretch * sums, stretch * signs.sum(axis=0), len(signs)
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.stack([(sums[0] - a) / (n - b), (sums[0] + a) / (n + b)]) * UNIT
    roots = np.where(np.abs(b) >= n, [[-np.inf], [np.inf]], roots)
    n_rejecting = int(alpha * len(a))
    low, high = np.sort(roots.min(axis=0))[n_rejecting], np.sort(roots.max(axis=0))[-1 - n_rejecting]
    return (float(low), float(high)) if np.isfinite([low, high]).all() else NO_INTERVAL


def flip_test(d: Floats, inflation: float = 1.0, flips: int = FLIPS, seed: int = 0, exact_up_to: int = EXACT_UP_TO) -> FlipTest:
    """Whether the mean chosen difference is zero: how often flipped rows give one at least as far from it.

    Valid if a participant's whole row of differences is as likely as its mirror image, whatever the variants have in common.
    All flips up to ``exact_up_to`` participants, else ``flips`` random ones (the data count as one more, so p is never 0).

    Args:
        inflation: variance of the mean over that of independent participants.
    """
    d = d[_Choice(d).possible]
    if not len(d):
        return FlipTest(float("nan"), *NO_INTERVAL, *NO_INTERVAL, 0, True)
    choice, exact, stretch = _Choice(d), len(d) <= exact_up_to, float(np.sqrt(inflation))
    signs = _signs(len(d), flips, seed, exact)
    parts = (signs[:, start : start + BLOCK] for start in range(0, signs.shape[1], BLOCK))
    sums = np.concatenate([choice.choose(part)[0].sum(axis=0) for part in parts])
    p = float((stretch * np.abs(sums) >= abs(sums[0])).mean())
    incomplete = bool(np.isnan(d).any())
    outer, inner = (NO_INTERVAL if incomplete else _interval(sums, signs, stretch, alpha) for alpha in (ALPHA, 2 * ALPHA))
    return FlipTest(p, *outer, *inner, signs.shape[1], exact)
