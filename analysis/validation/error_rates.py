"""How often the statistics are wrong: counted on data with known truth, ``python -m analysis.validation.error_rates``.

Cohorts with real leave-one-participant-out training, and score tables of independent participants. Under the null every rejection is an error;
with a real difference it is power; intervals are checked for the true mean. Tempting alternatives are counted beside the statistics that
raylab prints. The functions counted are those that make the tables.
"""

import argparse
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics.dependence import FLOOR
from analysis.validation.independent_rates import (
    CHOSEN,
    CHOSEN_INTERVAL,
    EQUIVALENT,
    FRIEDMAN,
    INTERVALS,
    ONE,
    ONE_INTERVAL,
    PRINTED,
    STOUFFER,
    TEMPTING,
    VARIANT_COUNT,
    WARNED,
    independent_rates,
)
from analysis.validation.leave_one_out import COHORTS, Cohorts, draw_cohorts, real_differences
from analysis.validation.rate_tables import beyond, power_table, quantity_table, summary, table, technique_table, verdict_table
from analysis.validation.realistic_effects import markdown as realistic_section
from analysis.validation.shared_training_rates import DRAWS, SIZES, TRUTH, shared_training_rates
from analysis.validation.simulated_scores import SCENARIOS, Scenario, simulate_scores

NULLS = [kind.name for kind in COHORTS if kind.null]
SIGNALS = [kind.name for kind in COHORTS if not kind.null]
INDEPENDENT_NULLS = [scenario.name for scenario in SCENARIOS if scenario.null]
EARLIER_POWER = {
    15: "6 / 20 / 55",
    34: "13 / 50 / 89",
    58: "24 / 68 / 98",
}  # of the same test by another simulator, cohorts of weaker signal
PRINTED_GOALS = {ONE: "average", CHOSEN: "single", VARIANT_COUNT: "family", FRIEDMAN: "average", STOUFFER: "family"}

INTRODUCTION = """# Error rates of the verdict

Simulated studies with known truth: {cohorts} cohorts of each kind and size (half as many of 58 participants) with real
leave-one-participant-out training, and {tables} score tables of each kind and size with independent participants. Every number is what this
command gives, counted on {date} in parts (`--counts`):

    {command}

Rates are in percent, in brackets their 95% Monte Carlo interval (Wilson); **bold**: all of that interval is beyond the goal. The goals: 5% on
average over single techniques, 7% for one technique, 5% for any verdict of a family after Holm, intervals that hold the true mean in 93 to 97%.
Columns in *italics* are contrasts that raylab does not print.

## What is tested, and why not with Wilcoxon's test

Each participant is scored by a model that was trained on the others. What the windows of two participants have in common by chance, and labels
that happen to agree with it, enter both of their scores. So scores of different participants go up and down together, and the mean difference
between two techniques varies more than independent differences would let it: its variance is *inflation* times s^2 / n. Without signal the
inflation is about 2 for techniques that train their own models (clusters, nearest person, another model), and more participants do not cure it:
there are more pairs to agree. Signal lowers it, since what is learned surely is not learned by luck.

Wilcoxon's signed-rank test, which raylab used before, takes differences for independent. Where labels have nothing to do with signals it declares
such techniques different in one study of six or seven. It also tests whether differences lie evenly around 0, not whether their mean is 0; under
skewness it can reject in the direction that the mean does not have.

The verdict is t on the mean difference with the standard error s sqrt(inflation / n). The inflation is simulated for the cohort and plan at hand
by a linear surrogate (`analysis/statistics/surrogate.py`), never under {floor}, and not under a bound if the reference is not above chance
(`analysis/statistics/dependence.py`). A technique with several variants is tested on the variant that the other participants choose for each,
with an inflation for that choice (`analysis/statistics/variant_choice.py`). The 95% interval is the same test inverted, and unadjusted.
"""

COHORTS_SECTION = """## What was simulated: cohorts with real training

Windows of two classes are drawn around class means; for each participant the reference and seven techniques are trained by the nearest class mean
on those that their plan names, and tested on the same unseen windows. Clusters and the nearest person are drawn at random. user_dependent, hybrid
and fine_tuning get 40% of the target's windows. *Other features* is another model on features of equal information, which no surrogate can
repeat: it is tested with Nadeau and Bengio's bound. {draws} surrogate draws a cohort. AUROC, SD and zeros are at n = 34; SD and zeros are those
of differences of cluster k=2.
"""

VERDICT_SECTION = """## The verdict's errors in all scenarios

In *single technique* one technique is tested, unadjusted; the average is over the seven techniques, or the one variant of an independent table.
*Chosen variant*: the cluster of k = 2 or 3 that the others choose, or the one of eight variants. *Family*: any verdict after Holm, of cluster
(chosen), user_dependent, hybrid, fine_tuning and nearest person, or of eight variants. Techniques with signal truly differ from the reference
(they train on fewer windows, or on the target's): the mean of {truth} other cohorts is taken off their differences, so that 0 is true. Wilcoxon's
test is counted where the true mean is 0 from the start.
"""

TECHNIQUE_SECTION = """## Technique by technique

*Inflation, true*: variance of the mean difference over cohorts, over the mean of s^2 / n. *Called equivalent at +0.05*: the true difference is
0.05 and the verdict is "equivalent", with 0.02 as the smallest effect of interest.
"""

POWER_SECTION = """## Power

A gain is added to every participant's difference; in percent, averages over scenarios and techniques. *Retrained*: both clusters and nearest
person; *own or shared*: user_dependent, hybrid, fine_tuning. The earlier measurement is of the same kind of test on another simulator's cohorts,
so only its order of size compares.
"""

READING = """## How to read it

- The goals are rates over scenarios, not a promise for one study. Where a cell is bold for errors, the kind of data is the reason: nearest person
  where a third of the participants are easy (a few large losses make a skewed mean), a technique whose differences are mostly 0, or strong signals of
  each participant's own with few participants. `lopsided` warns of such tables (over 60% zeros, or a skewness beyond 1.5, under 34 participants);
  *{warned}* counts how often it does.
- An interval that holds the mean in over 97% is wider than it need be. With signal that is the price of the smallest inflation of {floor}, and for
  another model of its bound: the true inflation there is near 1. Both cost power, which the table above counts.
- The choice among variants and shared training both add to the variance of a chosen variant, and much of it is the same: participants who go up
  together also choose together. The inflation for the choice is therefore what it adds under shared training, not by itself.
- If all differences of a technique are 0 (a hybrid whose few windows of the target change no rank) the interval is 0 to 0, and the verdict is
  "equivalent"; if the true mean is some 0.0001 that interval does not hold it, so coverage falls short without an error.
- A small effect stays undetected: of retrained techniques +0.02 is found in about one study of twenty without signal. The verdict's "undecided"
  prints what such a study detects.
- Friedman asks whether the columns could be swapped, which is more than equal means, and takes participants for independent. It is descriptive, and
  so is Nemenyi's. Stouffer's test adds up p values of independent datasets: small faults of the same sign add up too.
- The training here is linear, and so is the surrogate. What a network learns beyond that, one pretrained start common to all folds, and more than
  two classes were not measured.
"""

REALISTIC_SECTION = """
## Realistic gains

The gains above are added to differences. Here they come about by training, in sizes that studies have; the command takes minutes of one core and
keeps its counts in `power.csv`:

    raylab validate --linear --cohorts {cohorts} --null-studies {studies} --out build/power

Of five techniques, a gain of +0.03 is found in about one study of six with 60 people and hardly at all with 20, +0.05 in seven of ten with 60. A
study that asks about one technique, and says so (`primary:`), finds it more often. "Undecided" is the usual outcome of such studies, and none of
them calls a gain worse or equivalent.
"""


def _described_cohorts(kind: Cohorts, seed: int) -> list[str]:
    """The look of the cohorts of a kind, as a row of a table."""
    differences, reference = real_differences(draw_cohorts(kind, 100, 34, seed))
    d = differences["cluster k=2"]
    numbers = [f"{reference.mean():.2f}", f"{(reference == 1).mean():.0%}", f"{d.std():.3f}", f"{(d == 0).mean():.0%}"]
    return [kind.name, kind.description, *numbers]


def _described_scores(scenario: Scenario, seed: int) -> list[str]:
    """The look of the scores of a scenario, as a row of a table, from 200 tables of 58."""
    scores = simulate_scores(scenario, 200, 58, seed)
    d = scores[:, :, 1:] - scores[:, :, :1]
    flat = d.reshape(-1, d.shape[2])
    correlation = np.corrcoef(flat.T)[np.triu_indices(d.shape[2], 1)].mean()
    numbers = [f"{scores[:, :, 0].mean():.2f}", f"{(np.abs(d) < 1e-9).mean():.0%}", f"{d.std():.2f}"]
    return [
        scenario.name,
        scenario.description,
        *numbers,
        f"{stats.skew(flat[:, 0]):.2f}",
        f"{correlation:.2f}",
        f"{d[:, :, 0].mean():+.3f}",
    ]


def _section(text: str, lines: object = (), **values: object) -> list[str]:
    """A section's text and its table."""
    return [*text.format(**values).splitlines(), "", *(str(line) for line in lines), ""]  # type: ignore[attr-defined]


def page(shared: pd.DataFrame, independent: pd.DataFrame, command: str, seed: int) -> str:
    """The numbers as Markdown, with what they are, what was reached and what not.

    Args:
        shared: of ``shared_training_rates``. ``independent``: of ``independent_rates``.
    """
    nulls = independent[independent["scenario"].isin(INDEPENDENT_NULLS)]
    others = independent[~independent.index.isin(nulls.index)]
    counts = {"cohorts": int(shared["cohorts"].where(shared["value"].isna()).max()), "tables": int(independent["tables"].max())}
    looks = ["AUROC", "AUROCs of 1", "SD", "zeros"]
    score_looks = ["baseline", "differences of 0", "SD of differences", "skew", "correlation", "mean"]
    coverage = {ONE_INTERVAL: "coverage", CHOSEN_INTERVAL: "coverage"}
    lines = [
        *_section(INTRODUCTION, command=command, date=datetime.date.today(), floor=FLOOR, **counts),
        *_section(VERDICT_SECTION, verdict_table(shared, nulls), truth=f"{TRUTH:,}"),
        f"Without signal: {summary(shared, NULLS)}",
        "",
        f"With signal: {summary(shared, SIGNALS)}",
        "",
        beyond(shared),
        "",
        *_section(POWER_SECTION, power_table(shared, SIGNALS, EARLIER_POWER)),
        *_section(READING, floor=FLOOR, warned=WARNED),
        *_section(
            COHORTS_SECTION,
            table(["scenario", "how windows come about", *looks], (_described_cohorts(kind, seed + 2) for kind in COHORTS)),
            draws=DRAWS,
        ),
        *_section(TECHNIQUE_SECTION, technique_table(shared)),
        *_section(
            f"## Independent score tables\n\nA baseline and eight variants, inflation {FLOOR}.",
            table(
                ["scenario", "how scores come about", *score_looks],
                (_described_scores(scenario, seed + 2) for scenario in SCENARIOS),
            ),
        ),
        *_section(
            "### False rejections of what is printed\n\nStouffer: one table of each size as datasets, any variant after Holm.",
            quantity_table(nulls, [*PRINTED, EQUIVALENT, WARNED], PRINTED_GOALS | {EQUIVALENT: "average"}),
        ),
        *_section("### False rejections of tempting alternatives, none of them printed", quantity_table(nulls, TEMPTING, {})),
        *_section("### How often the 95% interval holds the true mean", quantity_table(independent, INTERVALS, coverage)),
        *_section("### Power: rejections where a difference is real", quantity_table(others, PRINTED, {})),
    ]
    return "\n".join(lines).rstrip() + "\n"


def realistic_page(counts: pd.DataFrame) -> str:
    """The page's last section, from the counts of ``raylab validate --linear``."""
    null = counts["effect"].eq(0)
    studies = int(counts[null].drop_duplicates("n")["cohorts"].sum())
    text = REALISTIC_SECTION.format(cohorts=int(counts.loc[~null, "cohorts"].max()), studies=studies)
    return f"{text}\n{realistic_section(counts)}"


def _counted(folder: Path | None, name: str, count: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Counts, read from the folder if they are there, and else written to it."""
    path = folder / f"{name}.csv" if folder else None
    if path and path.exists():
        return pd.read_csv(path)
    counts = count()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        counts.to_csv(path, index=False)
    return counts


def cohorts_of(n: int, cohorts: int) -> int:
    """Half as many of the largest size, which takes as long as all others together."""
    return cohorts if n < max(SIZES) else max(1, cohorts // 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cohorts", type=int, default=300, help="cohorts with real training of each kind and size, half as many of the largest"
    )
    parser.add_argument("--tables", type=int, default=300, help="score tables of each kind and size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/error_rates.md"))
    parser.add_argument("--counts", type=Path, help="folder to keep counts in: a run that was stopped goes on from there")
    parser.add_argument(
        "--realistic", type=Path, help="power.csv of `raylab validate --linear`, for the last section of the page"
    )
    options = parser.parse_args(arguments)
    cohorts, tables, seed = options.cohorts, options.tables, options.seed
    shared = [
        _counted(
            options.counts,
            f"{kind.name}, {n}, {cohorts_of(n, cohorts)} cohorts, seed {seed}",
            lambda kind=kind, n=n: shared_training_rates(kind, cohorts_of(n, cohorts), n, seed=seed),  # type: ignore[misc]
        )
        for kind in COHORTS
        for n in SIZES
    ]
    independent = [
        _counted(
            options.counts,
            f"{scenario.name}, {tables} tables, seed {seed}",
            lambda scenario=scenario: independent_rates(scenario, tables, seed=seed),  # type: ignore[misc]
        )
        for scenario in SCENARIOS
    ]
    command = (
        f"python -m analysis.validation.error_rates --cohorts {cohorts} --tables {tables} --seed {seed} --out {options.out}"
    )
    text = page(pd.concat(shared, ignore_index=True), pd.concat(independent, ignore_index=True), command, seed)
    if options.realistic:
        text += realistic_page(pd.read_csv(options.realistic))
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
