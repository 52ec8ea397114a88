"""Cohorts of windows with real leave-one-participant-out training, for ``analysis.validation.error_rates``.

A cohort's participants have windows of two classes; every technique is trained for each of them on the windows that its plan says, by the
nearest class mean, and tested on windows it has not seen. So whatever the scores of two participants have in common, they have by training.
The plans are given to ``analysis.statistics.surrogate`` as a run's records give them to it. Windows are drawn many cohorts at once.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from analysis.arrays import Bools, Floats, Ints
from analysis.statistics.dependence import SHARED_TRAINING, Pair, inflation_of, retrained_bound
from analysis.statistics.surrogate import CohortWindows, SurrogateTrial, simulated_differences, variance_inflation

FEATURES = 10
CALIBRATION = 0.4  # of the target's windows of each class, given to the techniques that train on it
K2, K3, OWN, HYBRID, FINE, NEAREST = "cluster k=2", "cluster k=3", "user_dependent", "hybrid", "fine_tuning", "nearest person"
OTHER = "other features"
TECHNIQUES = (K2, K3, OWN, HYBRID, FINE, NEAREST, OTHER)
RETRAINED = (K2, K3, NEAREST, OTHER)
CALIBRATED = (OWN, HYBRID, FINE)  # they share the reference's training, or use the target's windows alone


@dataclass(frozen=True)
class Cohorts:
    """How cohorts come about: windows are normal around class means that lie ``signal`` apart, in SD of a feature.

    Attributes:
        name, description: for the page.
        signal: length of the difference of the class means that all participants share; its direction is drawn for each cohort.
        own: length of each participant's own difference, in a direction of its own.
        easy: share of participants with a shared difference ``boost`` times as long.
        decay: the SD of feature f is (1 + f)^-decay, and so are differences: few features count if it is large.
        windows: of each class and participant.
    """

    name: str
    description: str
    signal: float = 0.0
    own: float = 0.0
    easy: float = 0.0
    boost: float = 3.0
    decay: float = 0.0
    windows: int = 10

    @property
    def null(self) -> bool:
        """Whether labels have nothing to do with the signals."""
        return not (self.signal or self.own)


COHORTS = (
    Cohorts("no signal", "labels have nothing to do with the signals; 10 windows a class"),
    Cohorts("no signal, few dimensions", "as before, but two features or so count; 20 windows a class", decay=0.5, windows=20),
    Cohorts("weak", "weak common signal, participants differ a little", signal=0.4, own=0.3),
    Cohorts("middle", "common signal, participants differ", signal=1.0, own=0.5, windows=12),
    Cohorts("own signals", "strong common signal, and as much that is each participant's own", signal=1.4, own=1.4),
    Cohorts("a third easy", "a third of the participants have three times the common signal: many AUROCs of 1.0", signal=1.0, own=0.3, easy=0.33),
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Some cohorts.

    Attributes:
        x: (cohorts, n, 2 windows, 2 FEATURES): the windows of class 1 first; the second half of the features carries as much information, for
            a model of other features.
        clusters: for k = 2 and 3, (cohorts, n) each participant's, drawn at random.
        nearest: (cohorts, n) another participant, by a distance that has nothing to do with the windows.
    """

    x: Floats
    clusters: dict[int, Ints]
    nearest: Ints


def draw_cohorts(kind: Cohorts, count: int, n: int, seed: int) -> Drawn:
    """``count`` cohorts of n participants."""
    rng = np.random.default_rng([seed, n, zlib.crc32(kind.name.encode())])
    sd = np.tile((1.0 + np.arange(FEATURES)) ** -kind.decay, 2)
    common = rng.normal(size=(count, 1, 2, FEATURES))
    common *= kind.signal / np.linalg.norm(common, axis=3, keepdims=True)
    factor = np.where(rng.random((count, n, 1, 1)) < kind.easy, kind.boost, 1.0)
    personal = kind.own * rng.normal(size=(count, n, 2, FEATURES)) / np.sqrt(FEATURES)
    difference = (factor * common + personal).reshape(count, n, 1, 2 * FEATURES) / 2
    noise = rng.normal(size=(count, n, 2 * kind.windows, 2 * FEATURES))
    side = np.where(np.arange(2 * kind.windows) < kind.windows, 1.0, -1.0)[:, None]
    order = np.argsort(rng.random((count, n)), axis=1)
    position = rng.normal(size=(count, n, 2))
    distance = ((position[:, :, None] - position[:, None]) ** 2).sum(axis=3) + np.where(np.eye(n, dtype=bool), np.inf, 0)
    return Drawn((side * difference + noise) * sd, {k: order % k for k in (2, 3)}, distance.argmin(axis=2))


def _calibration(windows: int) -> Bools:
    """Which of a participant's windows, (2 windows,), are given as labelled examples."""
    return np.asarray(np.arange(2 * windows) % windows < np.ceil(CALIBRATION * windows))


def _others(drawn: Drawn) -> dict[str, Floats]:
    """For each technique, which others it trains on for each participant, (cohorts, n, n)."""
    count, n = drawn.nearest.shape
    everyone = np.broadcast_to(~np.eye(n, dtype=bool), (count, n, n)).astype(np.float64)
    same = {k: everyone * (labels[:, :, None] == labels[:, None]) for k, labels in drawn.clusters.items()}
    nearest = np.asarray(drawn.nearest[:, :, None] == np.arange(n), dtype=np.float64)
    return {K2: same[2], K3: same[3], OWN: 0 * everyone, HYBRID: everyone, FINE: everyone, NEAREST: nearest, OTHER: everyone}


def _aurocs(x: Floats, weights: Floats) -> Floats:
    """AUROC (cohorts, n) of windows (cohorts, n, 2 m, q), the first half of class 1, along directions (cohorts, n, q)."""
    scores = (x @ weights[..., None])[..., 0]
    m = scores.shape[2] // 2
    by_rank = np.argsort(scores, axis=2) < m
    return np.asarray((by_rank @ np.arange(2 * m) - m * (m - 1) / 2) / m**2)


def real_differences(drawn: Drawn) -> tuple[dict[str, Floats], Floats]:
    """Train and test every technique and the reference for each participant.

    Returns:
        for each technique (cohorts, n) AUROC less the reference's on the same windows; the reference's AUROC on all windows.
    """
    n, m = drawn.x.shape[1], drawn.x.shape[2] // 2
    is_calibration = _calibration(m)
    side = np.where(np.arange(2 * m) < m, 1.0, -1.0) / m
    means = np.einsum("w,cnwq->cnq", side, drawn.x)  # each participant's difference of class means
    calibration = np.einsum(
        "w,cnwq->cnq", (side * is_calibration)[is_calibration] * m / is_calibration[:m].sum(), drawn.x[:, :, is_calibration]
    )
    rest = drawn.x[:, :, ~is_calibration]
    half, second = np.s_[..., :FEATURES], np.s_[..., FEATURES:]
    base = means.sum(axis=1, keepdims=True) - means
    reference, reference_on_rest = _aurocs(drawn.x[half], base[half]), _aurocs(rest[half], base[half])
    differences = {}
    for name, others in _others(drawn).items():
        weights = others @ means
        if name == HYBRID:  # the target's windows count as so many of n - 1 participants' windows
            weights = weights + is_calibration[:m].mean() * calibration
        if name in (OWN, FINE):  # a second stage, whose mean counts as much as the first's
            weights = weights / (n - 1) + calibration
        if name in CALIBRATED:
            differences[name] = _aurocs(rest[half], weights[half]) - reference_on_rest
        else:
            part = second if name == OTHER else half
            differences[name] = _aurocs(drawn.x[part], weights[part]) - reference
    return differences, reference


def _cohort(drawn: Drawn, k: int) -> CohortWindows:
    """Cohort k as a run's window summaries describe it."""
    _, n, windows, _ = drawn.x.shape
    participant = np.repeat(np.arange(n), windows)
    y = np.tile(np.repeat([1, 0], windows // 2), n)
    x = drawn.x[k, :, :, :FEATURES].reshape(-1, FEATURES).astype(np.float32)
    return CohortWindows(participant, np.arange(len(y)), y, x, n)


def _pairs(drawn: Drawn, k: int) -> dict[str, list[Pair]]:
    """The trials of each technique of cohort k with their reference trials, as a run's records describe them."""
    _, n, windows, _ = drawn.x.shape
    is_calibration, nothing = _calibration(windows // 2), np.zeros(0, dtype=np.int64)
    others = {name: members[k].astype(bool) for name, members in _others(drawn).items()}
    pairs: dict[str, list[Pair]] = {name: [] for name in TECHNIQUES if name != OTHER}
    for target in range(n):
        rows, me = target * windows + np.arange(windows), np.arange(n) == target
        stages = {OWN: (me,), HYBRID: (others[HYBRID][target] | me,), FINE: (others[FINE][target], me)}
        for name, technique in pairs.items():
            members = stages.get(name, (others[name][target],))
            calibration, tested = (rows[is_calibration], rows[~is_calibration]) if name in CALIBRATED else (nothing, rows)
            reference = SurrogateTrial(target, (others[OTHER][target],), nothing, tested)
            technique.append((SurrogateTrial(target, members, calibration, tested), reference))
    return pairs


def simulated_inflations(drawn: Drawn, k: int, draws: int, seed: int) -> dict[str, float]:
    """The inflation of each technique of cohort k by raylab's surrogate; NaN of a model of other features, which it cannot repeat."""
    pairs = _pairs(drawn, k)
    differences = simulated_differences(_cohort(drawn, k), list(pairs.values()), draws, seed)
    simulated = {name: variance_inflation(d) for name, d in zip(pairs, differences, strict=True)}
    return {name: simulated.get(name, float("nan")) for name in TECHNIQUES}


def inflations(simulated: dict[str, float], n: int, sure: bool) -> dict[str, float]:
    """The inflation that each technique of a cohort of n is tested with, by the rules of ``analysis.statistics.dependence``.

    Args:
        sure: whether the reference is above chance.
    """
    bounds = {name: SHARED_TRAINING if name in CALIBRATED else retrained_bound(n) for name in TECHNIQUES}
    return {name: inflation_of(simulated[name], bounds[name], sure)[0] for name in TECHNIQUES}
