"""Counts of ``analysis.validation`` as Markdown tables, with Monte Carlo intervals; what is beyond its goal is in bold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from analysis.constants import ALPHA
from analysis.validation.independent_rates import CHOSEN as CHOSEN_COLUMN
from analysis.validation.independent_rates import CHOSEN_INTERVAL, ONE, ONE_INTERVAL, RANKS_ANY, RANKS_ONE, VARIANT_COUNT
from analysis.validation.leave_one_out import CALIBRATED, RETRAINED, TECHNIQUES
from analysis.validation.shared_training_rates import (
    ALWAYS,
    CHOSEN,
    COVERED,
    ERROR,
    FAMILY,
    GAINS,
    INFLATION,
    POWER,
    POWER_ALWAYS,
    SAID_EQUIVALENT,
    TRUE_INFLATION,
    WILCOXON,
)

AVERAGE_GOAL, SINGLE_GOAL, FAMILY_GOAL = ALPHA, 0.07, ALPHA
COVERAGE_GOAL = 0.93, 0.97
POWER_GROUPS = {
    "retrained": RETRAINED[:-1], "another model": RETRAINED[-1:], "own or shared": CALIBRATED, "cluster, chosen": (CHOSEN,),
}  # fmt: skip
GOALS = {
    "average": (0.0, AVERAGE_GOAL), "single": (0.0, SINGLE_GOAL), "family": (0.0, FAMILY_GOAL), "coverage": COVERAGE_GOAL, "": (0.0, 1.0),
}  # fmt: skip

BAD_RATE, SURE = 0.1, 0.95  # a verdict that is wrong in a tenth of null studies must fail with this probability


def most_false_verdicts(studies: int) -> int:
    """The most null studies with a verdict that may pass: a true rate of ``BAD_RATE`` gives more with probability ``SURE``; -1 if so few studies
    cannot tell."""
    fewest_of_likely = int(stats.binom.ppf(1 - SURE, studies, BAD_RATE))
    return fewest_of_likely if stats.binom.cdf(fewest_of_likely, studies, BAD_RATE) <= 1 - SURE else fewest_of_likely - 1


def wilson(rate: float, n: int) -> tuple[float, float]:
    """The 95% interval of a rate counted in n trials; an average of several rates of the same trials is treated as one of them."""
    z = float(stats.norm.ppf(1 - ALPHA / 2))
    centre, spread = rate + z**2 / (2 * n), z * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return float((centre - spread) / (1 + z**2 / n)), float((centre + spread) / (1 + z**2 / n))


def cell(rate: float, n: int, goal: str = "") -> str:
    """A rate in percent with its interval; in bold if all of the interval is outside its goal; empty without a rate."""
    if np.isnan(rate):
        return ""
    low, high = wilson(rate, n)
    goal_low, goal_high = GOALS[goal]
    text = f"{100 * rate:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return f"**{text}**" if low > goal_high or high < goal_low else text


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def by_name(names: "pd.Series[str]", values: "pd.Series[float]") -> dict[str, float]:
    """Two columns as a dictionary."""
    return dict(zip(names.astype(str), values.astype(float), strict=True))


def _rates(part: pd.DataFrame, quantity: str, techniques: Sequence[str]) -> dict[str, float]:
    """The rate of a quantity for each of the techniques that have it."""
    rows = part[part["quantity"].eq(quantity) & part["technique"].isin(techniques)]
    return by_name(rows["technique"], rows["hits"] / rows["cohorts"])


def _mean(rates: Mapping[str, float]) -> float:
    """NaN of none."""
    return float(np.mean(list(rates.values()))) if rates else float("nan")


def _worst(rates: Mapping[str, float], n: int, goal: str, least: bool = False) -> str:
    """The largest rate, or the smallest, with its technique."""
    name = (min if least else max)(rates, key=lambda key: rates[key])
    return f"{cell(rates[name], n, goal)} {name}"


def _shared_row(scenario: str, n: int, part: pd.DataFrame) -> list[str]:
    """The verdict's errors on cohorts with real training."""
    cohorts = int(part["cohorts"].min())
    errors, covered = _rates(part, ERROR, TECHNIQUES), _rates(part, COVERED, TECHNIQUES)
    ranks, always = _rates(part, WILCOXON, TECHNIQUES), _rates(part, ALWAYS, TECHNIQUES)
    single = {name: _mean(_rates(part, ERROR, [name])) for name in (CHOSEN, FAMILY)}
    return [
        scenario,
        str(n),
        cell(_mean(errors), cohorts, "average"),
        _worst(errors, cohorts, "single"),
        cell(single[CHOSEN], cohorts, "single"),
        cell(single[FAMILY], cohorts, "family"),
        cell(_mean(covered), cohorts, "coverage"),
        _worst(covered, cohorts, "coverage", least=True),
        cell(_mean(ranks), cohorts) if len(ranks) == len(TECHNIQUES) else "",
        cell(_mean(_rates(part, WILCOXON, [FAMILY])), cohorts),
        cell(_mean(always), cohorts),
    ]


def _independent_row(scenario: str, n: str, part: pd.DataFrame) -> list[str]:
    """The same of score tables with independent participants, for a null scenario."""
    tables, rates = int(part["tables"].min()), by_name(part["quantity"], part["hits"] / part["tables"])
    return [
        f"independent: {scenario}",
        n,
        cell(rates[ONE], tables, "average"),
        "",
        cell(rates[CHOSEN_COLUMN], tables, "single"),
        cell(rates[VARIANT_COUNT], tables, "family"),
        cell(rates[ONE_INTERVAL], tables, "coverage"),
        f"{cell(rates[CHOSEN_INTERVAL], tables, 'coverage')} chosen column",
        cell(rates[RANKS_ONE], tables),
        cell(rates[RANKS_ANY], tables),
        "",
    ]


def verdict_table(shared: pd.DataFrame, independent: pd.DataFrame) -> Iterator[str]:
    """One table over all scenarios in which nothing differs, or in which the true difference is taken off."""
    header = [
        "scenario", "n", "single technique, average", "worst single technique", "chosen variant", "family", "interval holds, average",
        "interval holds, worst", "*Wilcoxon, single*", "*Wilcoxon, family*", "*Nadeau-Bengio always*",
    ]  # fmt: skip
    rows = [_shared_row(str(s), int(str(n)), part) for (s, n), part in shared.groupby(["scenario", "n"], sort=False)]
    counted = independent[~independent["n"].astype(str).str.contains("+", regex=False)]
    rows += [_independent_row(str(s), str(n), part) for (s, n), part in counted.groupby(["scenario", "n"], sort=False)]
    return table(header, rows)


def technique_table(shared: pd.DataFrame) -> Iterator[str]:
    """Each technique of each scenario and size."""
    header = ["scenario", "n", "technique", "errors", "*Nadeau-Bengio always*", "*Wilcoxon*", "inflation, mean", "inflation, true",
              "interval holds", "called equivalent at +0.05"]  # fmt: skip
    rows = []
    for (scenario, n, technique), part in shared.groupby(["scenario", "n", "technique"], sort=False):
        if technique == FAMILY:
            continue
        cohorts = int(part["cohorts"].min())
        rates, values = by_name(part["quantity"], part["hits"] / part["cohorts"]), by_name(part["quantity"], part["value"])
        cells = [
            cell(rates.get(name, np.nan), cohorts, goal) for name, goal in ((ERROR, "single"), (ALWAYS, ""), (WILCOXON, ""))
        ]
        inflation = [f"{values[name]:.2f}" if name in values else "" for name in (INFLATION, TRUE_INFLATION)]
        ends = [
            cell(rates.get(name, np.nan), cohorts, goal) for name, goal in ((COVERED, "coverage"), (SAID_EQUIVALENT, "average"))
        ]
        rows.append([str(scenario), str(n), str(technique), *cells, *inflation, *ends])
    return table(header, rows)


def power_table(shared: pd.DataFrame, with_signal: Sequence[str], published: Mapping[int, str]) -> Iterator[str]:
    """Power: the share of studies that find a gain, by groups of techniques: averages over scenarios, in percent."""
    header = [
        "n",
        "techniques",
        "scenarios",
        *(f"+{gain:.2f}" for gain in GAINS),
        "*Nadeau-Bengio always*",
        "earlier measurement",
    ]
    rows = []
    for n, part in shared.groupby("n", sort=True):
        for name, group in POWER_GROUPS.items():
            for signal in (True, False):
                counted = part[part["scenario"].isin(with_signal) == signal]
                powers, always = (
                    [_found(counted, quantities[gain], group) for gain in GAINS] for quantities in (POWER, POWER_ALWAYS)
                )
                earlier = published.get(int(str(n)), "") if name == "retrained" and signal else ""
                numbers = [f"{100 * rate:.0f}" for rate in powers]
                contrast = "" if np.isnan(always).any() else " / ".join(f"{100 * rate:.0f}" for rate in always)
                rows.append([str(n), name, "with signal" if signal else "without", *numbers, contrast, earlier])
    return table(header, rows)


def _found(counted: pd.DataFrame, quantity: str, group: Sequence[str]) -> float:
    """The average rate of a quantity over techniques and scenarios."""
    rows = counted[counted["quantity"].eq(quantity) & counted["technique"].isin(group)]
    return float((rows["hits"] / rows["cohorts"]).mean()) if len(rows) else float("nan")


def quantity_table(counted: pd.DataFrame, names: Sequence[str], goals: Mapping[str, str]) -> Iterator[str]:
    """Rates of independent tables: a row per scenario and n."""
    rows = []
    for (scenario, n), part in counted[counted["quantity"].isin(names)].groupby(["scenario", "n"], sort=False):
        tables, rates = int(part["tables"].min()), by_name(part["quantity"], part["hits"] / part["tables"])
        cells = [cell(rates.get(name, np.nan), tables, goals.get(name, "")) for name in names]
        rows.append([str(scenario), str(n), *cells])
    return table(["scenario", "n", *names], rows)


def summary(shared: pd.DataFrame, scenarios: Sequence[str]) -> str:
    """Means over some scenarios, and the worst cells, in a sentence for each size."""
    sentences = []
    for n, part in shared[shared["scenario"].isin(scenarios)].groupby("n", sort=True):
        errors = part[part["quantity"].eq(ERROR)]
        cells = errors["technique"].astype(str) + ", " + errors["scenario"].astype(str)
        rates = by_name(cells, errors["hits"] / errors["cohorts"])
        groups = {
            name: [rate for cell_name, rate in rates.items() if cell_name.startswith(f"{name}, ")] for name in (FAMILY, CHOSEN)
        }
        single = {name: rate for name, rate in rates.items() if not name.startswith((FAMILY, CHOSEN))}
        worst = max(single, key=lambda name: single[name])
        sentences.append(
            f"n = {n}: {100 * np.mean(list(single.values())):.1f}% on average, at worst {100 * single[worst]:.1f}% ({worst}), chosen variant "
            f"{100 * np.mean(groups[CHOSEN]):.1f}%, family {100 * np.mean(groups[FAMILY]):.1f}% (at worst {100 * max(groups[FAMILY]):.1f}%)"
        )
    return "; ".join(sentences) + "."


def beyond(shared: pd.DataFrame) -> str:
    """The cells of single techniques and of families that are in bold for too many errors or too narrow intervals, in a sentence."""
    cells = []
    for quantity in (ERROR, COVERED):
        rows = shared[shared["quantity"].eq(quantity)]
        names = rows["technique"] + ", " + rows["scenario"] + ", n = " + rows["n"].astype(str)
        for name, hits, cohorts in zip(names, rows["hits"], rows["cohorts"], strict=True):
            rate = hits / cohorts
            limit = (
                1 - COVERAGE_GOAL[0] if quantity == COVERED else FAMILY_GOAL if str(name).startswith(FAMILY) else SINGLE_GOAL
            )
            if wilson(rate if quantity == ERROR else 1 - rate, cohorts)[0] > limit:
                cells.append(f"{quantity} {100 * rate:.1f}% ({name})")
    return f"Beyond the goal by more than Monte Carlo error: {'; '.join(cells) or 'none'}."
