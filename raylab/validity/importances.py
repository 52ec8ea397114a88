"""What a model without a network relies on: permutation importances (Breiman 2001, Random forests, section 10), on people it was not trained on.

In the fold of each participant the model is fitted on the training people and scored on the validation people, and the held-out participant
is not looked at. Then the values of one input are permuted within each validation person, and the fall of that person's AUROC is the input's
importance. Inputs that tell the same stand in for each other, and then none of them seems to matter: hence whole channels beside single statistics.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from analysis.scores.metrics import auroc
from raylab.errors import RaylabError
from raylab.folds.fold import Fold, FoldError, RowIds
from raylab.models.build import build_estimator
from raylab.models.estimators import Array
from raylab.models.statistics_model import StatisticsModel
from raylab.models.window_statistics import N_EXTENDED, N_STATISTICS, column_names, n_columns
from raylab.techniques.selection import EveryoneElse
from raylab.training.batches import Signals
from raylab.windows.channel_card import FEATURES
from raylab.windows.dataset import Windows

REPEATS = 5  # permutations of each input, whose falls are averaged
CHANNEL, STATISTIC = "channel", "statistic"
Columns = npt.NDArray[np.int64]


def importances(windows: Windows, label: str, encoder: str, features: bool = False, seed: int = 0) -> pd.DataFrame:
    """The importance of each channel as a whole, and of each of its statistics.

    Args:
        encoder: a model on statistics of windows.
        features: use the channels of features, not the signals.
        seed: of the folds and of the permutations.

    Returns:
        a row per input: ``kind`` (channel or statistic), ``input``, ``importance`` (mean fall of the AUROC over the validation people of all
        folds), ``sd`` (of the folds' means), ``folds``, ``folds_above_zero``, ``reached`` (mean AUROC without a permutation); largest first,
        channels before statistics.

    Raises:
        RaylabError: if there is no such channel, the model has other inputs, or no fold can be scored.
    """
    card, index = windows.index.card, windows.index
    of_features = [channel.name for channel in card.channels if channel.modality == FEATURES]
    names = of_features if features else list(card.signal_channels)
    if not names:
        raise RaylabError(f"{card.dataset} has no channels of features; prepare them with --features")
    signals = Signals(windows.signals, windows.lengths).channels(names)
    model, inputs = _model(encoder, windows, names, label)
    described = model.describe(signals.padded(np.arange(len(index.window))))
    folds: list[pd.DataFrame] = []
    model.load_libraries()
    for target in index.tested:
        fold = Fold(index, label, target, seed)
        try:
            split = EveryoneElse().choose(fold)
        except FoldError:  # as in a study this fold is missing
            continue
        with threadpool_limits(1):
            fitted, _ = _model(encoder, windows, names, label)
            people = index.participant_index[split.train].astype(np.int64)
            fitted.fit_statistics(described[split.train], fold.y[split.train].astype(np.int64), people)
            folds.append(pd.DataFrame(_falls(fitted, described, fold, split.validation, inputs)))
    rows = pd.concat(folds) if folds else pd.DataFrame(columns=["kind", "input", "fall", "reached"])
    rows = rows.dropna(subset="fall")
    if rows.empty:
        raise RaylabError(f"{card.dataset}, {label}: no validation person has windows of two classes")
    table = rows.groupby(["kind", "input"], sort=False).agg(
        importance=("fall", "mean"),
        sd=("fall", "std"),
        folds=("fall", "size"),
        folds_above_zero=("fall", lambda fall: int((fall > 0).sum())),
        reached=("reached", "mean"),
    )
    return table.reset_index().sort_values(["kind", "importance"], ascending=[True, False], ignore_index=True)


def _model(
    encoder: str, windows: Windows, names: list[str], label: str
) -> tuple[StatisticsModel, dict[tuple[str, str], Columns]]:
    """A model that has seen nothing; and for each input, as (kind, name), its columns of the description.

    Raises:
        RaylabError: if its inputs are no statistics of windows.
    """
    channels = {channel.name: channel for channel in windows.index.card.channels if channel.name in names}
    shapes = {name: (channels[name].length, channels[name].n_features) for name in names}
    model = build_estimator(encoder, shapes, len(windows.index.classes(label)))
    widths = {n_columns(shapes, per_feature): per_feature for per_feature in (N_STATISTICS, N_EXTENDED)}
    if not isinstance(model, StatisticsModel) or model.n_described(shapes) not in widths:
        raise RaylabError(
            f"the inputs of {encoder} are no statistics of windows; take lda, svm, random_forest or another model that has them"
        )
    columns = column_names(shapes, {name: channels[name].feature_names for name in names}, widths[model.n_described(shapes)])
    of_channels = {
        (CHANNEL, name): np.array([i for i, (channel, _) in enumerate(columns) if channel == name], dtype=np.int64)
        for name in names
    }
    alone = {(STATISTIC, f"{channel} {statistic}"): np.array([i]) for i, (channel, statistic) in enumerate(columns)}
    return model, of_channels | alone


def _falls(
    model: StatisticsModel, described: Array, fold: Fold, validation: RowIds, inputs: dict[tuple[str, str], Columns]
) -> Iterator[dict[str, object]]:
    """A row per input: the mean fall over the validation people who have windows of two classes, NaN if there is none."""
    person = fold.index.participant_index[validation]
    people = [validation[person == k] for k in np.unique(person)]
    people = [rows for rows in people if len(np.unique(fold.y[rows])) > 1]
    reached = np.array([auroc(fold.y[rows], model.probabilities_of(described[rows])) for rows in people])
    generator = fold.draws.generator("permutation importances")
    orders = [
        [generator.permutation(rows) for rows in people] for _ in range(REPEATS)
    ]  # the same for all inputs: one less source of noise
    for (kind, name), columns in inputs.items():
        after = np.full((REPEATS, len(people)), np.nan)
        for repeat, of_people in enumerate(orders):
            for i, (rows, order) in enumerate(zip(people, of_people, strict=True)):
                x = described[rows].copy()
                x[:, columns] = described[np.ix_(order, columns)]
                after[repeat, i] = auroc(fold.y[rows], model.probabilities_of(x))
        fall = float((reached - after).mean()) if people else np.nan
        yield {"kind": kind, "input": name, "fall": fall, "reached": float(reached.mean()) if people else np.nan}
