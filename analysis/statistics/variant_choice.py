"""The variant of a technique that is chosen for each participant without its own result, and what that choice does to the mean's variance.

If a table shows one column per technique, the variant is chosen for each participant by the mean over the other participants.
The mean of the chosen differences is then unbiased, but the choice ties the participants to each other: what is good luck for one makes the
choice worse for another. So their mean varies more than s^2 / n. How much more is measured by flipping the signs of participants' whole rows
of differences and repeating the choice, and the test of the chosen differences is inflated by it (docs/error_rates.md has the numbers).
Shared training moves all participants alike, and who moves alike also chooses alike: so flipped rows are shifted by a random row that all
have in common before the choice is repeated. Both causes of variance simply multiplied would count much of it twice.

Shape: ``d`` (n_participants, n_variants), NaN if a participant has no score for a variant.
"""

import numpy as np

from analysis.arrays import Floats, Indices

FLIPS = 2000
EXACT_UP_TO = 10  # participants; 2^10 flips are all there are
UNIT = 1e-9  # differences are counted in billionths: whole numbers, which floats add without rounding, so that ties are ties


class _Choice:
    """The choice, repeated under any signs of the rows."""

    def __init__(self, d: Floats) -> None:
        present = ~np.isnan(d)
        others = present.sum(axis=0) - present  # how many others a mean is over
        allowed = present & (others > 0) if d.shape[1] > 1 else present  # one variant alone needs no other participant
        self.quantized = np.where(present, np.rint(d / UNIT), 0.0)
        self.others = np.maximum(others, 1)
        self.mask = np.where(allowed, 0.0, -np.inf)

    def choose(self, signs: Floats, shifts: Floats) -> tuple[Floats, Indices]:
        """Chosen differences in units and their variants, (n_participants, n_flips) each, for signs of that shape.

        Args:
            shifts: (n_variants, n_flips), what all participants' differences have in common, in units.
        """
        best, values = np.full(signs.shape, -np.inf), np.zeros(signs.shape)
        variant = np.full(signs.shape, -1, dtype=np.intp)
        for v, total in enumerate(self.quantized.T @ signs):
            flipped = signs * self.quantized[:, v, None]
            mean = (total - flipped) / self.others[:, v, None] + shifts[v] + self.mask[:, v, None]
            better = mean > best  # the first of equals stays
            for target, new in ((best, mean), (values, flipped + shifts[v]), (variant, v)):
                np.copyto(target, new, where=better)
        return values, variant


def leave_one_out_choice(d: Floats) -> tuple[Floats, Indices]:
    """Each participant's difference under the variant that is best on average over the others, and which variant that is.

    A choice is among the variants that the participant has itself; the first of equals is taken.

    Returns:
        values (n_participants,), NaN if there is no choice for a participant; variant (n_participants,), -1 for them.
    """
    variant = _Choice(d).choose(np.ones((len(d), 1)), np.zeros((d.shape[1], 1)))[1][:, 0]
    return np.where(variant < 0, np.nan, d[np.arange(len(d)), variant]), variant


def _signs(n: int, seed: int) -> Floats:
    """Signs (n, n_flips): all possible ones, or random ones."""
    every = np.arange(2 ** min(n, EXACT_UP_TO)) >> np.arange(n)[:, None] & 1
    return np.asarray(1.0 - 2.0 * (every if n <= EXACT_UP_TO else np.random.default_rng(seed).integers(0, 2, size=(n, FLIPS))))


def _shifts(d: Floats, n_flips: int, inflation: float, seed: int) -> Floats:
    """Shifts (n_variants, n_flips) in units that add to each variant's mean the variance it lacks, (inflation - 1) s^2 / n.

    Sums of centred rows with normal weights: variants are shifted together as far as their differences go together.
    """
    present = ~np.isnan(d)
    n = np.maximum(present.sum(axis=0), 2)
    centred = np.where(present, d - np.nansum(d, axis=0) / n, 0.0)
    weights = np.random.default_rng([seed, 1]).normal(size=(len(d), n_flips))
    scale = np.sqrt(max(0.0, inflation - 1) / (n * (n - 1)))
    return np.asarray(np.rint(scale[:, None] * (centred.T @ weights) / UNIT))


def choice_inflation(d: Floats, inflation: float = 1.0, seed: int = 0, around_means: bool = False) -> float:
    """By which factor the choice adds to the variance of the mean, if each participant's row is as likely as its mirror image; at least 1.

    1 for one variant, for variants that resemble each other, and for one that is always chosen.

    Args:
        inflation: of every variant's mean, for shared training. The chosen mean's variance is this times the factor times s^2 / n.
        around_means: rows are mirrored at the variants' means, not at 0: for columns of which one may truly be better than another, such as models,
            while what is tested is not whether they differ. A variant that is surely the best is then surely chosen.
    """
    d = d[leave_one_out_choice(d)[1] >= 0]
    if d.shape[1] < 2 or len(d) < 3:
        return 1.0
    signs = _signs(len(d), seed)
    counts = np.maximum((~np.isnan(d)).sum(axis=0), 1)
    means = np.nansum(d, axis=0) / counts if around_means else np.zeros(d.shape[1])
    shifts = _shifts(d, signs.shape[1], inflation, seed) + np.rint(means / UNIT)[:, None]
    values, variant = _Choice(d - means).choose(signs, shifts)
    if (variant == variant[0, 0]).all():
        return 1.0
    values = values * UNIT
    mean = values.mean(axis=0)
    naive = (values.var(axis=0, ddof=1) / len(d)).mean() * inflation
    variance = mean.var() if around_means else (mean**2).mean()
    return max(1.0, float(variance / naive)) if naive > 0 else 1.0
