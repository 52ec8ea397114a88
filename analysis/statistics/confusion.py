"""Class by class: which class is taken for which, and precision, recall and F1 of each.

Windows of all participants and seeds are pooled here, because a person may have few windows of a class, or none. What is said of people
(``class_means``) is over participants, each averaged over seeds.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.formatting import bullets, escape, interval, metric_name, number, pipe_table
from analysis.scores.metrics import Floats, PredictionBatch, precision, recall
from analysis.scores.metrics import f1 as f1_of
from analysis.scores.paired_scores import VARIANT
from analysis.scores.run_folder import RunTables
from analysis.scores.scored_windows import scored_windows
from analysis.scores.scores import CELL
from analysis.statistics.paired_tests import bca_intervals

MEANS = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro")
CONFUSION_COLUMNS = [*VARIANT, "true", "guessed", "windows"]
CLASS_COLUMNS = ["class", "windows", "guessed", "precision", "recall", "f1"]
MEAN_COLUMNS = [*VARIANT, "metric", "n_participants", "mean", "sd", "ci_low", "ci_high"]

Classes = Mapping[str, Mapping[str, Sequence[str]]]  # dataset to label to the names of its classes


def names_of(classes: Classes, dataset: str, label: str, count: int) -> tuple[str, ...]:
    """The classes of a label; their numbers where an older run did not store their names."""
    named = tuple(classes.get(dataset, {}).get(label, ()))
    return named if len(named) == count else tuple(f"class {k}" for k in range(count))


def confusion(frames: RunTables) -> pd.DataFrame:
    """How many tested windows of each class were guessed as each class.

    Returns:
        dataset, label, model, technique, variant, true, guessed, windows (of all participants and seeds): one row for each pair of classes.
    """
    trials = frames.trials
    if trials.empty or not trials["status"].eq("ok").any():
        return pd.DataFrame(columns=CONFUSION_COLUMNS)
    told = scored_windows(frames.predictions, trials)
    sizes = told.classes(len(trials))
    parts = []
    for names, rows in trials.reset_index(drop=True).groupby(VARIANT, sort=True, observed=True):
        called, of = list(map(str, names)), rows.index.to_numpy()
        count = int(sizes[of].max())
        held = told.filter_trials(np.isin(np.arange(len(trials)), of))
        if not count or not len(held.y):
            continue
        pooled = PredictionBatch(held.y, held.p[:, :count], np.zeros(len(held.y), dtype=np.int64), 1).confusion[0].astype(int)
        known = names_of(frames.classes, called[0], called[1], count)
        pairs = [(true, guessed, pooled[i, j]) for i, true in enumerate(known) for j, guessed in enumerate(known)]
        parts.append(pd.DataFrame([(*called, *pair) for pair in pairs], columns=CONFUSION_COLUMNS))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=CONFUSION_COLUMNS)


def matrix(part: pd.DataFrame) -> tuple[tuple[str, ...], Floats]:
    """The classes, in their order, and the counts (true, guessed) of these rows of ``confusion``, added up over variants."""
    called = tuple(dict.fromkeys(map(str, part["true"])))
    wide = part.pivot_table(index="true", columns="guessed", values="windows", aggfunc="sum")
    return called, wide.loc[list(called), list(called)].to_numpy(dtype=np.float64)


def per_class(confused: pd.DataFrame, by: Sequence[str] = tuple(VARIANT)) -> pd.DataFrame:
    """Precision, recall and F1 of each class, as scikit-learn defines them; missing where nothing was guessed as the class, where the
    truth does not have it, and where neither has.

    Args:
        confused: as ``confusion`` makes it.
        by: what a row is about beside the class; variants are pooled where they are not named.

    Returns:
        ``by``, class, windows (of the class), guessed (windows taken for it), precision, recall, f1.
    """
    parts = []
    for names, part in confused.groupby(list(by), sort=False):
        called, counts = matrix(part)
        hits, true, guessed = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
        numbers = {"precision": precision(hits, guessed), "recall": recall(hits, true), "f1": f1_of(hits, true, guessed)}
        frame = pd.DataFrame({"class": called, "windows": true.astype(int), "guessed": guessed.astype(int), **numbers})
        named = {name: str(value) for name, value in zip(by, names, strict=True)}
        parts.append(frame.assign(**named)[[*by, *CLASS_COLUMNS]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*by, *CLASS_COLUMNS])


def class_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, UAR, and macro precision, recall and F1 of every variant and reference: mean over participants, each averaged over
    seeds, with the 95% BCa interval over participants.

    Args:
        scores: as ``analysis.score`` makes them; each variant on its own windows.
    """
    own = scores[scores["against"].eq("")].groupby([*VARIANT, "participant"], sort=False, observed=True)[list(MEANS)].mean()
    found = [
        (names, metric, part[metric].dropna().to_numpy(dtype=np.float64))
        for names, part in own.groupby(level=list(range(len(VARIANT))), sort=False)
        for metric in MEANS
    ]
    intervals = bca_intervals([values for _, _, values in found])
    rows = [
        (*names, metric, len(x), x.mean() if len(x) else np.nan, x.std(ddof=1) if len(x) > 1 else np.nan, low, high)
        for (names, metric, x), (low, high) in zip(found, intervals, strict=True)
    ]
    return pd.DataFrame(rows, columns=MEAN_COLUMNS).sort_values(CELL, kind="stable", ignore_index=True)


def format_means(means: pd.DataFrame) -> list[str]:
    """``0.605 [0.551, 0.652]`` for each row of ``class_means``."""
    return [
        f"{number(row['mean'])} {interval(row['ci_low'], row['ci_high'], sign=False)}".strip()
        for row in means.to_dict("records")
    ]


def markdown(means: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """A table for each dataset and label: every model, technique and variant in a row, so that models can be seen side by side."""
    lines: list[str] = []
    for (dataset, label), part in means.assign(said=format_means(means)).groupby(["dataset", "label"], sort=False):
        head = ("model", "technique", "variant", "n", *(metric_name(name) for name in MEANS))
        rows = [
            (*map(str, names), str(own["n_participants"].max()), *own.set_index("metric")["said"].reindex(MEANS))
            for names, own in part.groupby(["model", "technique", "variant"], sort=False)
        ]
        caption = (
            "Mean over n participants, each averaged over seeds and on the windows that the variant was tested on, with its 95% BCa interval "
            "over participants; rows are not tested against each other here."
        )
        lines += [f"### {escape(f'{dataset} / {label}')}", "", *pipe_table(head, rows), "", caption, ""]
    return "\n".join([*lines, *bullets(notes)]).rstrip() + "\n"
