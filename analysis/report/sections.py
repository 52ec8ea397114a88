"""What stands in report.html, in which order, in which words."""

from collections.abc import Hashable
from math import isnan

import numpy as np
import pandas as pd

from analysis.figures import figure_data
from analysis.formatting import interval, metric_name, number, p_value
from analysis.report import comparison_table, paper_table, report_figures
from analysis.report.external_tables import ExternalTable
from analysis.report.html import CodePart, ExplorerPart, FigurePart, Page, Part, Section, TablePart, heatmap_table, table_part
from analysis.report.report_data import ReportData
from analysis.report.verdict import verdict, who_changes
from analysis.scores.attention import by_variant
from analysis.scores.paired_scores import gain_sign
from analysis.scores.scores import CELL, variant_label
from analysis.statistics import confusion, fairness
from analysis.statistics.bayes_and_stouffer import ROPE

Names = tuple[Hashable, ...]


def page(results: ReportData) -> Page:
    """The page of a run."""
    compared = dict(list(results.comparison.groupby(CELL, sort=True)))
    slugs = report_figures.slugs(compared)
    cells = {names: _cell(results, names, slugs[names]) for names in compared}
    return Page(
        title=f"{results.origin.get('study') or 'run'}: does personalization help new people?",
        intro=_intro(results),
        warnings=_warnings(results),
        verdicts=tuple((cells[names], verdict(part)) for names, part in compared.items()),
        method=(
            "Each variant is compared with non_personalized, paired over participants (Wilcoxon signed-rank, two-sided); p is adjusted by "
            "Holm over all variants of one dataset, label and model. That is the only verdict; everything marked descriptive is not part of "
            f"it. Scoring: {comparison_table.SCORINGS.get(results.scoring, results.scoring)}."
        ),
        sections=(
            *_paper(results),
            *cells.values(),
            *_across(results),
            *map(_external_table, results.against),
            *_progress(results),
            Section("Notes on this run", items=(*results.notes, *_unknown(results))),
            _provenance(results),
        ),
    )


def _warnings(results: ReportData) -> tuple[tuple[str, str], ...]:
    """What a reader must know before reading on: a headline and a sentence each."""
    said = [("Incomplete run.", results.incomplete)] if results.incomplete else []
    if results.metric != results.primary:
        other, primary = metric_name(results.metric), metric_name(results.primary)
        said.append(
            (
                "Not the study's verdict.",
                f"The study's primary metric is {primary}; this report is about {other} and descriptive.",
            )
        )
    return tuple(said)


def _intro(results: ReportData) -> str:
    people = results.scores.groupby("dataset")["participant"].nunique()
    said = ", ".join(f"{dataset} ({count} participants)" for dataset, count in people.items())
    seeds = results.scores["seed"].nunique()
    return f"{said}; {seeds} seed{'s' if seeds > 1 else ''}; {metric_name(results.metric)} per held-out participant."


def _paper(results: ReportData) -> list[Section]:
    """One column per technique."""
    table = TablePart(
        paper_table.caption(results.paper),
        tuple(paper_table.head(results.paper)),
        tuple(map(tuple, paper_table.rows(results.paper, "\n"))),
        names=len(CELL),
    )
    return [Section("One column per technique", parts=(table,))]


def _external_table(other: ExternalTable) -> Section:
    """A table that stands beside this run's."""
    printed = other.printed
    return Section(f"Beside {other.name}", parts=(TablePart(printed.caption, printed.head, printed.rows, names=len(CELL) + 2),))


def _progress(results: ReportData) -> list[Section]:
    """How far each part of an incomplete run came."""
    if not results.incomplete:
        return []
    says = ("Tables and figures hold what has ended well so far; `raylab status` on the run folder says what failed and why.",)
    return [Section("What has run", text=says, parts=(table_part(results.status, "Trials by status"),))]


def _unknown(results: ReportData) -> list[str]:
    """Why there is nothing on fairness, where there is not."""
    return [] if len(results.fairness) else [fairness.markdown(results.fairness).strip()]


def _fairness(results: ReportData, names: Names) -> list[Section]:
    part = _rows_of(results.fairness, names)
    if part.empty:
        return []
    groups = fairness.columns(part)
    head = ("technique", "variant", *groups)
    changes = TablePart(fairness.CAPTION, head, tuple(map(tuple, fairness.rows(part))), names=2)
    says = () if groups else ("No grouping has two groups that are large enough to be scored.",)
    return [
        Section(
            "Fairness",
            text=says,
            items=tuple(fairness.summarize_groups(part)),
            parts=(changes,) if groups else (),
            descriptive=True,
        )
    ]


def _appendix(results: ReportData, names: Names, slug: str) -> list[Section]:
    """Other metrics, Bayesian test and ranks of one (dataset, label, model)."""
    metrics, bayesian = (_rows_of(results.appendix[name], names) for name in ("metrics", "bayesian"))
    parts: list[Part] = []
    if len(metrics):
        caption = (
            "Other metrics: mean over participants; under it the difference to non_personalized with its 95% BCa interval. No "
            "tests."
        )
        parts.append(table_part(_by_metric(metrics), caption, names=2))
    if len(bayesian):
        caption = (
            f"Bayesian signed-rank test in {metric_name(results.metric)}: probability that a variant is worse than non_personalized, equivalent "
            f"(mean difference within {ROPE}), or better."
        )
        parts.append(table_part(bayesian.drop(columns=[*CELL, "metric", "test"]), caption))
    said = []
    if found := results.ranks.get(tuple(map(str, names))):
        parts += report_figures.ranks(slug, found)
        if not isnan(found.p):
            said.append(
                f"Friedman's test over {found.n} participants and {len(found.ranks)} variants, on the windows that all were tested on: "
                f"chi-square {found.statistic:.2f}, p {p_value(found.p)}. Variants of one technique resemble each other more than they "
                "resemble the baseline, so a small p does not prove that any mean differs."
            )
    return [Section("Appendix", text=tuple(said), parts=tuple(parts), descriptive=True)] if parts else []


def _by_metric(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per variant, a column per metric: mean, under it difference and interval."""
    said = [
        f"{number(row['mean'])}\n{number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}".strip()
        for row in metrics.to_dict("records")
    ]
    return _wide(metrics, said)


def _wide(metrics: pd.DataFrame, said: list[str]) -> pd.DataFrame:
    """Texts, one for each row of ``metrics``: a row per variant, a column per metric, both in their first order."""
    told = metrics.assign(said=said, metric=metrics["metric"].map(metric_name))
    wide = told.pivot(index=["technique", "variant"], columns="metric", values="said")
    order = told[["technique", "variant"]].drop_duplicates().itertuples(index=False, name=None)
    return wide.loc[list(order), list(told["metric"].unique())].rename_axis(columns=None).reset_index()


def _across(results: ReportData) -> list[Section]:
    """Stouffer's test, where two datasets or more were run."""
    frame = results.appendix["stouffer"]
    if frame.empty:
        return []
    caption = (
        f"Stouffer's z across datasets in {metric_name(results.metric)} (above 0: better than non_personalized; weight: root of the participants), "
        "one label a dataset, Holm over the variants of a model."
    )
    return [Section("Across datasets", parts=(table_part(frame.drop(columns=["metric", "test"]), caption),), descriptive=True)]


def _rows_of(frame: pd.DataFrame, names: Names) -> pd.DataFrame:
    """The rows of one (dataset, label, model)."""
    if frame.empty:
        return frame
    return frame[(frame[CELL] == list(names)).all(axis=1)]


def _cell(results: ReportData, names: Names, slug: str) -> Section:
    comparison, metric = _rows_of(results.comparison, names), results.metric
    everything = TablePart(
        comparison_table.caption(comparison), comparison_table.HEADINGS, tuple(comparison_table.rows(comparison)), names=2
    )
    sections = [
        Section("All variants", parts=(*report_figures.forest(slug, comparison), everything)),
        *_gainers_and_losers(results, names, slug),
        *_figure_section("Label budget", report_figures.axis_figure(slug, comparison, metric, report_figures.BUDGET)),
        *_figure_section("Number of clusters", report_figures.axis_figure(slug, comparison, metric, report_figures.CLUSTERS)),
        *_searched(results, names),
        *_classes(results, names),
        *_attended(results, names),
        *_fairness(results, names),
        *_appendix(results, names, slug),
        *_figure_section("Training curves", report_figures.training(slug, _rows_of(results.curves, names)), descriptive=True),
        *_figure_section(
            "Calibration", report_figures.reliability(slug, _rows_of(results.calibration, names)), descriptive=True
        ),
    ]
    return Section(comparison_table.title(names), sections=tuple(sections))


def _searched(results: ReportData, names: Names) -> list[Section]:
    """What was chosen for each held-out participant, without anything of theirs."""
    part = _rows_of(results.searched, names)
    if part.empty:
        return []
    caption = (
        "Hyperparameters chosen for each held-out participant on inner folds over the training people alone; the inner scores are in the "
        "run folder's search/."
    )
    counts = part["searched"].value_counts()
    says = "Chosen: " + "; ".join(f"{point} ({count} of {len(part)})" for point, count in counts.items()) + "."
    table = table_part(part.drop(columns=CELL).astype({"seed": str}), caption, names=3)
    return [Section("Chosen hyperparameters", text=(says,), parts=(table,), descriptive=True)]


def _classes(results: ReportData, names: Names) -> list[Section]:
    """Means with their intervals, and class by class; the variants of a technique are pooled, confusion.csv has each."""
    means, confused = _rows_of(results.means, names), _rows_of(results.confusion, names)
    if means.empty or confused.empty:
        return []
    caption = "Mean over participants, each on the windows that the variant was tested on, with its 95% BCa interval over participants."
    pooled = "windows of all participants, variants and seeds of a technique pooled"
    each = confusion.per_class(confused, ["technique"])
    parts = [
        table_part(_wide(means, confusion.format_means(means)), caption, names=2),
        table_part(
            each, f"Class by class, {pooled}; empty where undefined: no window of the class, or none taken for it.", names=2
        ),
        *(_matrix(str(name), part, pooled) for name, part in confused.groupby("technique", sort=False)),
    ]
    return [Section("Class by class", parts=tuple(parts), descriptive=True)]


def _matrix(technique: str, part: pd.DataFrame, pooled: str) -> TablePart:
    """The confusion matrix of a technique, each row shaded by its shares."""
    called, counts = confusion.matrix(part)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = tuple((name, *(f"{count:.0f}" for count in row)) for name, row in zip(called, counts, strict=True))
    caption = f"{technique}: true class (row) by guessed class (column), {pooled}; shaded by the share of the row."
    return TablePart(caption, ("true class", *called), rows, shades=tuple(map(tuple, shares.round(2).tolist())))


def _attended(results: ReportData, names: Names) -> list[Section]:
    """Which channels an attention fusion weighed."""
    part = _rows_of(results.attended, names)
    if part.empty:
        return []
    caption = (
        "Weight of each channel in the predicted windows, mean over participants; the weights of a window sum to 1. SD between participants, and "
        "between the windows of a participant (mean over participants); equal: the weight if all channels had the same."
    )
    says = "A weight says what the network used, not what would have been useful; attention.csv has every participant."
    table = table_part(by_variant(part).drop(columns=CELL), caption, names=3)
    return [Section("Attention weights", text=(says,), parts=(table,), descriptive=True)]


def _figure_section(title: str, parts: list[FigurePart], descriptive: bool = False) -> list[Section]:
    return [Section(title, parts=tuple(parts), descriptive=descriptive)] if parts else []


def _gainers_and_losers(results: ReportData, names: Names, slug: str) -> list[Section]:
    pairs, metric = _rows_of(results.pairs, names), results.metric
    gains = figure_data.gain_table(pairs) if len(pairs) else pd.DataFrame()
    if gains.empty or gains.isna().all(axis=None):
        return []
    caption = f"Difference in {metric_name(metric)} to non_personalized, variant by participant; a dash: no score."
    parts: list[Part] = [
        *report_figures.heatmap(slug, gains, metric, heatmap_table(gains, caption, gain_sign(metric))),
        *report_figures.slopes(slug, figure_data.selected_variant_pairs(pairs, metric), metric),
        ExplorerPart("Participant by participant", _explorer_data(pairs, metric)),
    ]
    return [Section("Who gains, who loses", text=(who_changes(pairs, metric),), parts=tuple(parts))]


def _explorer_data(pairs: pd.DataFrame, metric: str) -> dict[str, object]:
    """Scores of every participant (in a natural order), variant by variant; None where one is missing."""
    people = sorted(pairs["participant"].unique(), key=figure_data.natural_sort_key)
    variants = []
    for (technique, variant), part in pairs.groupby(["technique", "variant"], sort=False):
        own = part.set_index("participant").reindex(people)
        sides = {side: [None if pd.isna(x) else round(float(x), 4) for x in own[side]] for side in ("baseline", "score")}
        variants.append({"name": variant_label(str(technique), str(variant)), **sides})
    return {
        "metric": metric_name(metric),
        "sign": gain_sign(metric),
        "participants": [str(name) for name in people],
        "variants": variants,
    }


def _provenance(results: ReportData) -> Section:
    origin = results.origin
    said = {
        "study": origin.get("study"),
        "commit": origin.get("commit") or "not known (installed package)",
        **{f"windows of {name}, fingerprint": about.get("fingerprint") for name, about in origin.get("datasets", {}).items()},
        "python": origin.get("python"),
        "platform": origin.get("platform"),
        **origin.get("versions", {}),
    }
    rows = tuple((str(name), str(value)) for name, value in said.items() if value)
    how = f"raylab run study.yaml --windows WINDOWS --out RUN\n{results.command}"
    parts = (
        TablePart("What made the run", ("what", "value"), rows, names=2),
        CodePart("To make this report again (study.yaml is in the run folder; WINDOWS: where the prepared windows are):", how),
        CodePart("The study, study.yaml", results.study, folded=True),
    )
    return Section("Provenance", parts=parts)
