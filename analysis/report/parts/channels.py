"""Single channels without any network beside the models of the run: what one channel alone tells, and what misleads."""

import pandas as pd

from analysis.formatting import number
from analysis.report.html import TableBlock
from analysis.report.report_data import ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.channel_scores import channel_sentences, score_cells
from analysis.scores.keys import variant_label

HEAD = ("model", "AUROC, mean (SD)", "smallest", "class later", "class earlier", "order-balanced")
CAPTION = (
    "{name}. AUROC per person, everyone held out in turn, no network: linear discriminant analysis on the mean, standard deviation and mean "
    "absolute step of all channels, of one only, of all but one; and the mean of a channel without any training. Class later, earlier: among the "
    "pairs of windows in which the class came later, or earlier (in brackets how many people have such pairs)."
)


def _best(scores: pd.DataFrame, dataset: str, label: str) -> tuple[float, str, list[str]]:
    """Mean AUROC and name of the best model and variant of a dataset and label, and the people tested there."""
    own = scores[scores["dataset"].eq(dataset) & scores["label"].eq(label) & scores["against"].eq("")]
    own = own[~own["technique"].isin(CHANCE_LEVELS)]
    of_people = own.groupby(["model", "technique", "variant", "participant"], observed=True)["auroc"].mean()
    means = of_people.groupby(level=[0, 1, 2]).mean().dropna()
    people = [str(name) for name in own["participant"].unique()]
    if means.empty:
        return float("nan"), "", people
    model, technique, variant = map(str, means.index[int(means.to_numpy().argmax())])
    return float(means.max()), f"{model}, {variant_label(technique, variant)}", people


def _section(report: ReportData) -> SectionContent | None:
    frame = report.frames["channel_scores"]
    items, blocks = [], []
    for (dataset, label), part in frame.groupby(["dataset", "label"], sort=False):
        best, name, people = _best(report.scores, str(dataset), str(label))
        tested = part[part["participant"].isin(people)]
        sentences = channel_sentences(tested, best, f"the best of this run ({name}, {number(best)})")
        items += [f"{dataset} / {label}: {sentence}" for sentence in sentences]
        rows = tuple((str(model), *score_cells(scores)) for model, scores in tested.groupby("model", sort=False))
        blocks.append(TableBlock(CAPTION.format(name=f"{dataset} / {label}"), HEAD, rows))
    return SectionContent(items=tuple(items), blocks=tuple(blocks)) if blocks else None


CHANNELS = ReportPart(
    "channel_scores",
    compute=lambda tables, report: tables.channel_scores,
    title="Single channels",
    whole_run=_section,
    descriptive=True,
)
