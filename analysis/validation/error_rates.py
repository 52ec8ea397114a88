"""How often the statistics are wrong: counted on simulated score tables with known truth, ``python -m analysis.validation.error_rates``.

Under the null every rejection is an error; with a real difference it is power; intervals are checked for the true mean. Tempting
alternatives are counted beside the statistics that raylab prints. The functions counted are those that make the tables.
"""

import argparse
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.arrays import Floats
from analysis.constants import ALPHA
from analysis.statistics.bayes_and_stouffer import combine_p_values
from analysis.statistics.paired_tests import DECIMALS, bca_intervals, holm, rank_biserial, wilcoxon
from analysis.statistics.ranking import friedman_test
from analysis.statistics.sign_flip_test import flip_test, leave_one_out_choice
from analysis.validation.simulated_scores import SCENARIOS, Scenario, simulate_scores, true_means

SIZES = (15, 30, 58)
FLIPS = 499
CHUNK = 20  # tables whose intervals are bootstrapped together

VERDICT, ONE, CHOSEN = "verdict", "one variant", "chosen column"
FRIEDMAN, STOUFFER = "Friedman", "Stouffer"
UNADJUSTED, CHOSEN_WILCOXON, BEST_WILCOXON = (
    "8 variants, no Holm",
    "Wilcoxon on the chosen column",
    "Wilcoxon on the best on test",
)
BCA, FLIP_INTERVAL = "BCa, one variant", "inverted flips, chosen column"
FLIP_ONE, CHOSEN_BCA = "inverted flips, one variant", "BCa, chosen column"
PRINTED = (VERDICT, ONE, CHOSEN, FRIEDMAN, STOUFFER)
TEMPTING = (UNADJUSTED, CHOSEN_WILCOXON, BEST_WILCOXON)
INTERVALS = (BCA, FLIP_INTERVAL, FLIP_ONE, CHOSEN_BCA)

Hits = dict[str, list[bool]]


def _test_table(scores: Floats, truth: Floats, seed: int) -> tuple[dict[str, bool], Floats, Floats, Floats]:
    """Of one table, (n_participants, 1 + n_variants): what is rejected and whether the flips' interval holds the truth; the p values and
    effects of the variants; the chosen differences."""
    d = scores[:, 1:] - scores[:, :1]
    p = np.array([wilcoxon(variant)[0] for variant in d.T])
    values, choice = leave_one_out_choice(d)
    flips, one_variant = (flip_test(columns, FLIPS, seed, exact_up_to=0) for columns in (d, d[:, :1]))
    hits = {
        VERDICT: bool(holm(p).min() <= ALPHA),
        ONE: bool(p[0] <= ALPHA),
        CHOSEN: flips.p <= ALPHA,
        FRIEDMAN: friedman_test(np.round(scores, DECIMALS))[1] <= ALPHA,
        UNADJUSTED: bool(p.min() <= ALPHA),
        CHOSEN_WILCOXON: wilcoxon(values)[0] <= ALPHA,
        BEST_WILCOXON: bool(p[d.mean(axis=0).argmax()] <= ALPHA),
        FLIP_INTERVAL: bool(flips.low <= truth[choice].mean() <= flips.high),
        FLIP_ONE: bool(one_variant.low <= truth[0] <= one_variant.high),
    }
    return hits, p, np.array([rank_biserial(variant) for variant in d.T]), values


def _covered(columns: list[Floats], truth: Floats) -> list[bool]:
    """Whether the BCa interval of each column of differences holds its true mean."""
    chunks = (columns[start : start + CHUNK] for start in range(0, len(columns), CHUNK))
    intervals = [interval for chunk in chunks for interval in bca_intervals(chunk)]
    return [low <= true <= high for (low, high), true in zip(intervals, truth, strict=True)]


def _count(scores: Floats, truth: Floats, seed: int) -> tuple[Hits, Floats]:
    """Hits of all tables of one size, and p values and effects, (n_tables, n_variants, 2)."""
    tests = [_test_table(table, truth, seed + k) for k, table in enumerate(scores)]
    hits = {name: [test[0][name] for test in tests] for name in tests[0][0]}
    hits[BCA] = _covered([table[:, 1] - table[:, 0] for table in scores], np.full(len(scores), truth[0]))
    means = np.array([truth[leave_one_out_choice(table[:, 1:] - table[:, :1])[1]].mean() for table in scores])
    hits[CHOSEN_BCA] = _covered([test[3] for test in tests], means)
    return hits, np.array([np.stack(test[1:3], axis=1) for test in tests])


def _stouffer(results: list[Floats], sizes: tuple[int, ...]) -> list[bool]:
    """Whether Stouffer's test over one table of each size rejects for any variant, Holm over the variants."""
    n = np.array(sizes, dtype=np.float64)
    per_table = np.stack(results, axis=1)  # (n_tables, n_sizes, n_variants, 2)
    p = [[combine_p_values(table[:, v, 0], table[:, v, 1], n)[1] for v in range(table.shape[1])] for table in per_table]
    return [bool(holm(np.array(row)).min() <= ALPHA) for row in p]


def rates(scenario: Scenario, tables: int, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> pd.DataFrame:
    """How often each quantity hits, with the 95% Monte Carlo interval (Wilson).

    Returns:
        scenario, n (several sizes for Stouffer), quantity, hits, tables, rate, low, high.
    """
    truth = true_means(scenario, seed + 1)
    counted, results = {}, []
    for n in sizes:
        counted[str(n)], p_and_effect = _count(simulate_scores(scenario, tables, n, seed), truth, seed)
        results.append(p_and_effect)
    counted[" + ".join(map(str, sizes))] = counted.get(" + ".join(map(str, sizes)), {}) | {STOUFFER: _stouffer(results, sizes)}
    rows = [(scenario.name, n, name, sum(hit), len(hit)) for n, hits in counted.items() for name, hit in hits.items()]
    frame = pd.DataFrame(rows, columns=["scenario", "n", "quantity", "hits", "tables"])
    limits = [
        stats.binomtest(k, n_tables).proportion_ci(method="wilson")
        for k, n_tables in zip(frame["hits"], frame["tables"], strict=True)
    ]
    return frame.assign(rate=frame["hits"] / frame["tables"], low=[i.low for i in limits], high=[i.high for i in limits])


def _described(scenario: Scenario, seed: int) -> str:
    """The look of the scores of a scenario, as a row of a table, from 200 tables of 58."""
    scores = simulate_scores(scenario, 200, 58, seed)
    d = scores[:, :, 1:] - scores[:, :, :1]
    flat = d.reshape(-1, d.shape[2])
    correlation = np.corrcoef(flat.T)[np.triu_indices(d.shape[2], 1)].mean()
    shares = (scores[:, :, 0].mean(), (np.abs(d) < 1e-9).mean(), d.std())
    numbers = (*shares, stats.skew(flat[:, 0]), correlation, d[:, :, 0].mean())
    cells = [f"{numbers[0]:.2f}", f"{numbers[1]:.0%}", *(f"{x:.2f}" for x in numbers[2:5]), f"{numbers[5]:+.3f}"]
    return f"| {scenario.name} | {scenario.description} | {' | '.join(cells)} |"


def _cell(row: "pd.Series[float]", most: float | None, least: float | None) -> str:
    """A rate with its interval, in bold if it is beyond Monte Carlo error over ``most`` or under ``least``."""
    text = f"{row['rate']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
    out_of_bounds = (most is not None and row["low"] > most) or (least is not None and row["high"] < least)
    return f"**{text}**" if out_of_bounds else text


def _table(
    counted: pd.DataFrame, names: tuple[str, ...], most: float | None = None, least: float | None = None
) -> Iterator[str]:
    """Rates as Markdown: a row per scenario and n."""
    named = counted[counted["quantity"].isin(names)]
    yield f"| scenario | n | {' | '.join(names)} |"
    yield "| --- | --- |" + " --- |" * len(names)
    for (scenario, n), part in named.groupby(["scenario", "n"], sort=False):
        cells = {row["quantity"]: _cell(row, most, least) for _, row in part.iterrows()}
        yield f"| {scenario} | {n} | {' | '.join(cells.get(name, '') for name in names)} |"


def _beyond(counted: pd.DataFrame) -> str:
    """Which of the printed error rates exceed 5% by more than Monte Carlo error, in a sentence."""
    over = counted[counted["quantity"].isin(PRINTED) & (counted["low"] > ALPHA)]
    quantities = [
        f"{quantity} ({'; '.join(f'{scenario}, n {n}' for scenario, n in zip(part['scenario'], part['n'], strict=True))})"
        for quantity, part in over.groupby("quantity", sort=False)
    ]
    return f"Over 5% beyond Monte Carlo error: {', '.join(quantities) or 'none'}."


def page(counted: pd.DataFrame, command: str, seed: int) -> str:
    """The numbers as Markdown, with what they are and why some exceed 5%."""
    nulls = counted[counted["scenario"].isin([s.name for s in SCENARIOS if s.null])]
    others = counted[~counted.index.isin(nulls.index)]
    lines = [
        *INTRODUCTION.format(
            command=command, date=datetime.date.today(), tables=int(counted["tables"].max()), flips=FLIPS
        ).splitlines(),
        "",
        *DESCRIBED.splitlines(),
        *(_described(scenario, seed + 2) for scenario in SCENARIOS),
        *("", "## False rejections of what is printed", "", *_table(nulls, PRINTED, most=ALPHA), "", _beyond(nulls)),
        *("", "## False rejections of tempting alternatives, none of them printed", "", *_table(nulls, TEMPTING, most=ALPHA)),
        *(
            "",
            "## Intervals: how often the 95% interval holds the true mean",
            "",
            BOTH,
            "",
            *_table(counted, INTERVALS, least=1 - ALPHA),
        ),
        *("", "## Power: rejections where a difference is real", "", *_table(others, PRINTED)),
        "",
        *READING.splitlines(),
    ]
    return "\n".join(lines) + "\n"


INTRODUCTION = """# Error rates of the statistics

Simulated score tables with known truth, {tables:,} of each kind and size; every number is from one run of

    {command}

on {date}. A table has n participants, a baseline and eight variants. In brackets: the 95% Monte Carlo interval (Wilson). In bold: beyond that
error over 5%, or under 95% for an interval. Row flips: {flips} random ones per table here.

- verdict: any of the eight variants under 0.05 after Holm (Wilcoxon signed-rank, Pratt); one variant: the first, unadjusted.
- chosen column: the variant chosen for each participant by the others, tested by flipping rows and repeating the choice.
- Friedman: over the baseline and the eight variants. Stouffer: one table of each size as three datasets, any variant under 0.05 after Holm.

## What was simulated"""

DESCRIBED = """| scenario | how scores come about | baseline | differences of 0 | SD of differences | skew | correlation | mean |
| --- | --- | --- | --- | --- | --- | --- | --- |"""

BOTH = """PrintedColumn: BCa for every variant, the inverse of the row flips for the chosen column. The other two are for contrast."""

READING = """## How to read it

- Wilcoxon, and with it verdict and Stouffer, asks whether differences are as likely as their opposites, not whether their mean is 0. Where the mean
  is 0 and the differences are skewed (few gain, few lose) that hypothesis is false, and the more people the more often it is rejected. A verdict says
  that differences do not lie evenly around 0; the effect size says to which side most people go, the interval how large the mean is. Where the
  two disagree in sign, a few people make the mean. Row flips add up differences, not ranks, so skewness moves them less.
- Far under 5%: few differences that are not 0 have few possible p values, and Holm multiplies them. Tables mark a row that cannot reach 0.05.
- Friedman asks whether the columns could be swapped, which is more than equal means: skewed differences to one baseline deny it. What variants
  have in common hardly does (ceiling beside unrelated). It is descriptive, and so is Nemenyi's.
- Wilcoxon on the chosen column and on the variant that is best on test is what a reader is tempted to do, and neither is printed.
- BCa intervals of few participants are too narrow, most where most differences are 0. Inverted sign flips of the one variant are nearer to 95% where
  differences are even; where few people gain much, nothing in a small sample tells of those not drawn, and no interval of few people
  holds 95%. So an interval is read as a size, not as a second test. Proposed, not done: inverted sign flips for every variant.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=2000, help="score tables of each kind and size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/error_rates.md"))
    options = parser.parse_args(arguments)
    counted = pd.concat([rates(scenario, options.tables, seed=options.seed) for scenario in SCENARIOS], ignore_index=True)
    command = f"python -m analysis.validation.error_rates --tables {options.tables} --seed {options.seed} --out {options.out}"
    options.out.write_text(page(counted, command, options.seed), encoding="utf-8")


if __name__ == "__main__":
    main()
