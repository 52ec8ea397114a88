"""Simulated score tables with known truth, for ``analysis.validation.error_rates``.

A table is one (dataset, label, model): scores (n_participants, 1 + VARIANTS), the reference technique first. Tables are drawn many at once,
(n_tables, n_participants, 1 + VARIANTS).
"""

import zlib
from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats

VARIANTS = 8
STRESSED, CALM = 12, 10  # test windows of a participant: an AUROC is one of 121 numbers
WINDOW_SHARE = 0.8  # of a window's noise, what all models have in common: a hard window is hard for all
PERSON_SD = 0.4  # how far a participant's separation moves from one training to another, in SD of the windows
JUMP = 0.06  # scale of the skewed differences


@dataclass(frozen=True)
class Scenario:
    """How scores come about.

    Attributes:
        name, description: for the page.
        easy: share of participants with windows that are told apart almost perfectly; the others are hard.
        shared: the part of a variant's own luck with a participant that all variants have in common (they continue one base model).
        better: by how much each variant tells the windows of every participant further apart, in SD of the windows.
        mirrored: each participant's row of differences is turned round by a fair coin.
        skew: 1: a few gain much and many lose a little, -1: the reverse, with mean 0; 0: neither.
        moved: if skewed, the share of participants with any difference.
    """

    name: str
    description: str
    easy: float = 0.75
    shared: float = 0.3
    better: tuple[float, ...] = (0.0,) * VARIANTS
    mirrored: bool = False
    skew: int = 0
    moved: float = 0.5

    @property
    def null(self) -> bool:
        """Whether every variant's mean difference is 0."""
        return not any(self.better)


SCENARIOS = (
    Scenario("ceiling", "many AUROCs of 1.0; the baseline and each variant are alike, so a difference is as likely as its opposite"),
    Scenario("mirrored", "as ceiling, and each participant's whole row of differences is turned round by a coin", mirrored=True),
    Scenario("middle", "as ceiling, but no participant is easy: hardly a zero", easy=0.0),
    Scenario("unrelated", "as ceiling, but variants have no luck in common: the baseline and all variants could be swapped", shared=0.0),
    Scenario("few gain", "mean difference 0, skewed: few gain much, many lose a little", skew=1),
    Scenario("few lose", "mean difference 0, skewed: few lose much, many gain a little", skew=-1),
    Scenario("very few gain", "as few gain, but only one participant in five differs at all", skew=1, moved=0.2),
    Scenario("very few lose", "as few lose, but only one participant in five differs at all", skew=-1, moved=0.2),
    Scenario("all better", "as middle, all variants better", easy=0.0, better=(0.25,) * VARIANTS),
    Scenario("one better", "as middle, one variant of eight better", easy=0.0, better=(0.25,) + (0.0,) * (VARIANTS - 1)),
    Scenario("all better, ceiling", "as ceiling, all variants better", better=(0.5,) * VARIANTS),
)  # fmt: skip


def _separations(rng: np.random.Generator, scenario: Scenario, tables: int, n: int) -> Floats:
    """How far apart each model holds each participant's windows: the person's own, and each training's luck with it."""
    easy = rng.random((tables, n, 1)) < scenario.easy
    person = np.where(easy, rng.normal(4.5, 1.0, (tables, n, 1)), rng.normal(1.0, 0.8, (tables, n, 1)))
    common, single = rng.normal(size=(tables, n, 1)), rng.normal(size=(tables, n, VARIANTS))
    luck = np.sqrt(scenario.shared) * common + np.sqrt(1 - scenario.shared) * single
    variants = person + PERSON_SD * luck + np.array(scenario.better)
    return np.concatenate([person + PERSON_SD * rng.normal(size=(tables, n, 1)), variants], axis=2)


def _aurocs(rng: np.random.Generator, separations: Floats) -> Floats:
    """AUROC of STRESSED windows at the separation against CALM windows at 0."""
    shape = separations.shape
    common = rng.normal(size=(*shape[:2], 1, STRESSED + CALM))
    single = rng.normal(size=(*shape, STRESSED + CALM))
    windows = np.sqrt(WINDOW_SHARE) * common + np.sqrt(1 - WINDOW_SHARE) * single
    stressed, calm = windows[..., :STRESSED] + separations[..., None], windows[..., STRESSED:]
    wins = np.zeros(shape)
    for k in range(CALM):
        wins += (stressed > calm[..., k, None]).sum(axis=-1)
    return wins / (STRESSED * CALM)


def _skewed(rng: np.random.Generator, scenario: Scenario, tables: int, n: int) -> Floats:
    """Differences with mean 0 from exponential jumps, nothing for participants who are not moved, in steps of an AUROC."""
    common, single = rng.exponential(size=(tables, n, 1)) - 1, rng.exponential(size=(tables, n, VARIANTS)) - 1
    jumps = np.sqrt(scenario.shared) * common + np.sqrt(1 - scenario.shared) * single
    moved = rng.random((tables, n, 1)) < scenario.moved
    return np.asarray(np.rint(scenario.skew * JUMP * moved * jumps * STRESSED * CALM) / (STRESSED * CALM))


def simulate_scores(scenario: Scenario, tables: int, n: int, seed: int) -> Floats:
    """Score tables (tables, n, 1 + VARIANTS), the reference technique first. In skewed and mirrored ones a score can leave 0..1; the statistics
    see differences and ranks only."""
    rng = np.random.default_rng([seed, n, zlib.crc32(scenario.name.encode())])
    scores = _aurocs(rng, _separations(rng, scenario, tables, n))
    base, differences = scores[:, :, :1], scores[:, :, 1:] - scores[:, :, :1]
    if scenario.skew:
        differences = _skewed(rng, scenario, tables, n)
    if scenario.mirrored:
        differences = differences * rng.choice([-1.0, 1.0], (tables, n, 1))
    return np.concatenate([base, base + differences], axis=2)


def true_means(scenario: Scenario, seed: int, n_participants: int = 100_000) -> Floats:
    """Each variant's mean difference (VARIANTS,): 0 under the null, else that of very many participants."""
    if scenario.null:
        return np.zeros(VARIANTS)
    scores = np.concatenate([simulate_scores(scenario, 1, 2000, seed + k)[0] for k in range(n_participants // 2000)])
    return np.asarray((scores[:, 1:] - scores[:, :1]).mean(axis=0))
