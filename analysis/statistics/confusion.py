"""Class by class: which class is taken for which, and precision, recall and F1 of each.

Windows of all participants and seeds are pooled here, because a participant may have few windows of a class, or none. The means of
``class_means`` are over participants, each averaged over seeds.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.arrays import Floats
from analysis.formatting import bullets, escape, interval, metric_name, number, pipe_table
from analysis.scores.keys import CELL, VARIANT
from analysis.scores.metrics import PredictionBatch, precision, recall
from analysis.scores.metrics import f1 as f1_of
from analysis.scores.run_folder import RunTables
from analysis.scores.scored_windows import scored_windows
from analysis.statistics.paired_tests import mean_interval

MEANS = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro")
CONFUSION_COLUMNS = [*VARIANT, "true", "guessed", "windows"]
CLASS_COLUMNS = ["class", "windows", "guessed", "precision", "recall", "f1"]
MEAN_COLUMNS = [*VARIANT, "metric", "n_participants", "mean", "sd", "ci_low", "ci_high"]

ClassNames = Mapping[str, Mapping[str, Sequence[str]]]  # dataset to label to the names of its classes


def class_names(classes: ClassNames, dataset: str, label: str, count: int) -> tuple[str, ...]:
    """The classes of a label; their numbers if an older run did not store their names."""
    stored = tuple(classes.get(dataset, {}).get(label, ()))
    return stored if len(stored) == count else tuple(f"class {k}" for k in range(count))


def confusion_counts(frames: RunTables) -> pd.DataFrame:
    """How many tested windows of each class were guessed as each class.

    Args:
        frames: as ``analysis.load`` gives them.

    Returns:
        dataset, label, model, technique, variant, true, guessed, windows (of all participants and seeds): one row for each pair of classes.

    Units:
        windows.

    Source:
        scikit-learn's ``confusion_matrix``, pooled over participants.
    """
    if frames.trials.empty or not frames.trials["status"].eq("ok").any():
        return pd.DataFrame(columns=CONFUSION_COLUMNS)
    parts = [counts for part in frames.parts(VARIANT) for counts in _counts_of_variants(part)]
    if not parts:
        return pd.DataFrame(columns=CONFUSION_COLUMNS)
    return pd.concat(parts, ignore_index=True).sort_values(VARIANT, kind="stable", ignore_index=True)


def _counts_of_variants(frames: RunTables) -> Iterator[pd.DataFrame]:
    """The counts of each variant of a part of a run."""
    trials = frames.trials
    windows = scored_windows(frames.predictions, trials)
    n_classes = windows.n_classes(len(trials))
    for names, rows in trials.reset_index(drop=True).groupby(VARIANT, sort=True, observed=True):
        variant, trial_ids = list(map(str, names)), rows.index.to_numpy()
        count = int(n_classes[trial_ids].max())
        pooled = windows.filter_trials(np.isin(np.arange(len(trials)), trial_ids))
        if not count or not len(pooled.y):
            continue
        batch = PredictionBatch(pooled.y, pooled.p[:, :count], np.zeros(len(pooled.y), dtype=np.int64), 1)
        counts = batch.confusion[0].astype(int)
        classes = class_names(frames.classes, variant[0], variant[1], count)
        pairs = [(true, guessed, counts[i, j]) for i, true in enumerate(classes) for j, guessed in enumerate(classes)]
        yield pd.DataFrame([(*variant, *pair) for pair in pairs], columns=CONFUSION_COLUMNS)


def confusion_matrix(part: pd.DataFrame) -> tuple[tuple[str, ...], Floats]:
    """The classes, in their order, and the counts (true, guessed) of these rows of ``confusion_counts``, added up over variants."""
    classes = tuple(dict.fromkeys(map(str, part["true"])))
    wide = part.pivot_table(index="true", columns="guessed", values="windows", aggfunc="sum")
    return classes, wide.loc[list(classes), list(classes)].to_numpy(dtype=np.float64)


def per_class(confused: pd.DataFrame, by: Sequence[str] = tuple(VARIANT)) -> pd.DataFrame:
    """Precision, recall and F1 of each class, as scikit-learn defines them; missing if nothing was guessed as the class, if the truth
    does not have it, and if neither has.

    Args:
        confused: as ``confusion_counts`` makes it.
        by: the columns that, with the class, name a row; variants are pooled if they are not among these.

    Returns:
        one row per class and combination of ``by``: class, windows (of the class), guessed (windows taken for it), precision, recall, f1.

    Units:
        windows; shares from 0 to 1.

    Source:
        scikit-learn's ``precision_recall_fscore_support``; it has 0 if nothing was guessed, we have a missing value.
    """
    parts = []
    for names, part in confused.groupby(list(by), sort=False):
        classes, counts = confusion_matrix(part)
        hits, true, guessed = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
        numbers = {"precision": precision(hits, guessed), "recall": recall(hits, true), "f1": f1_of(hits, true, guessed)}
        frame = pd.DataFrame({"class": classes, "windows": true.astype(int), "guessed": guessed.astype(int), **numbers})
        row_names = {name: str(value) for name, value in zip(by, names, strict=True)}
        parts.append(frame.assign(**row_names)[[*by, *CLASS_COLUMNS]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*by, *CLASS_COLUMNS])


def class_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, UAR, and macro precision, recall and F1 of every variant and chance level: mean over participants, each averaged over
    seeds, with the 95% t interval over participants.

    Args:
        scores: as ``analysis.score`` makes them; each variant on its own windows.

    Returns:
        one row per variant and metric: ``n_participants``, ``mean``, ``sd``, ``ci_low``, ``ci_high``.

    Units:
        shares from 0 to 1.

    Source:
        docs/protocol.md, Scores; the interval is Student's.
    """
    own_windows = scores[scores["against"].eq("")]
    participants = own_windows.groupby([*VARIANT, "participant"], sort=False, observed=True)[list(MEANS)].mean()
    samples = [
        (names, metric, part[metric].dropna().to_numpy(dtype=np.float64))
        for names, part in participants.groupby(level=list(range(len(VARIANT))), sort=False)
        for metric in MEANS
    ]
    intervals = [mean_interval(values) for _, _, values in samples]
    rows = [
        (*names, metric, len(x), x.mean() if len(x) else np.nan, x.std(ddof=1) if len(x) > 1 else np.nan, low, high)
        for (names, metric, x), (low, high) in zip(samples, intervals, strict=True)
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
    for (dataset, label), part in means.assign(text=format_means(means)).groupby(["dataset", "label"], sort=False):
        head = ("model", "technique", "variant", "n", *(metric_name(name) for name in MEANS))
        rows = [
            (*map(str, names), str(metrics["n_participants"].max()), *metrics.set_index("metric")["text"].reindex(MEANS))
            for names, metrics in part.groupby(["model", "technique", "variant"], sort=False)
        ]
        caption = (
            "Mean over n participants, each averaged over seeds and on the windows that the variant was tested on, with its 95% t interval "
            "over participants as if their scores were independent; rows are not tested against each other here."
        )
        lines += [f"### {escape(f'{dataset} / {label}')}", "", *pipe_table(head, rows), "", caption, ""]
    return "\n".join([*lines, *bullets(notes)]).rstrip() + "\n"
