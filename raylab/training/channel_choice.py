"""``channels: auto``: which channels a model uses, chosen on the people whom its first stage trains on (docs/protocol.md, Channels).

A channel may tell the classes apart in the training people and mislead in a new person: skin temperature drifts, so that it tells the order of
the runs of a session. Only people who had no part in the training show that, so the choice is made on inner folds over the
training people. The target has no part in it.

``lda`` judges for all models, since it takes hundredths of a second if a network takes minutes. That is raylab's choice and an approximation: a
network may find in a channel what statistics of windows do not hold.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from raylab.folds.fold import Fold, RowIds
from raylab.models.estimators import Array, Classes, People
from raylab.models.linear_models import LDA
from raylab.models.rule import auroc_of_columns
from raylab.models.window_statistics import extended_statistics
from raylab.training.batches import Signals
from raylab.training.stage_hash import PlannedStage

# These decide weights and are in no hash: whoever changes one raises ``NUMERICS`` (raylab.training.stage_hash).
N_GROUPS = 5  # inner folds; with fewer people, one for each
MIN_PEOPLE = 3  # with two, the standard error of a difference would rest on one comparison
STANDARD_ERRORS = 2.0  # of the paired differences, by which a further channel has to help (decision 0023: why not one)
BATCH = 256  # windows whose statistics are computed at once, which bounds the memory

Rows = npt.NDArray[np.bool_]


def choose_channels(signals: Signals, fold: Fold, stage: PlannedStage) -> tuple[str, ...]:
    """The channels to use, chosen on the training and validation windows of a trial's first stage, without those of the target.

    All channels if there are fewer than three people with windows of two classes, or too few windows to fit the judge.

    Args:
        signals: the channels that are offered, for all rows of the index.
        fold: the fold, whose draws decide the groups of people.
        stage: the first stage.
    """
    rows = np.union1d(stage.train, stage.validation)
    rows = rows[~np.isin(rows, fold.windows_of([fold.target]))]
    if not len(rows):  # a model of the target alone
        return tuple(signals.values)
    statistics = {name: _statistics(signals, name, rows) for name in signals.values}
    people, y = fold.index.participant_index[rows].astype(np.int64), fold.y[rows].astype(np.int64)
    LDA.load_libraries()
    with threadpool_limits(1):  # as in every training: sums in another order could choose otherwise
        return select_channels(statistics, y, people, fold.draws.generator("choice of channels"))


def select_channels(
    statistics: Mapping[str, Array], y: Classes, people: People, generator: np.random.Generator
) -> tuple[str, ...]:
    """Greedy forward selection: the best single channel, then one more as long as it helps by more than two standard errors.

    A set of channels is scored by the AUROC of each person in whose inner fold the judge did not see them (macro, one class against
    the others, if there are more than two). After the rule of one standard error of Breiman et al. 1984 (Classification and regression
    trees, section 3.4.3): of sets that cannot be told apart the smaller is taken. Here it is two, of paired differences, since the best of
    several candidates is compared, and since a network may be misled by a channel that the judge, a linear model, uses well.

    Args:
        statistics: channel to its statistics, (n, n_statistics), in the order of the channels.
        y: (n,) class indexes.
        people: (n,) who each window is of.
        generator: draws the groups of people.
    """
    channels = tuple(statistics)
    judged = [person for person in np.unique(people) if len(np.unique(y[people == person])) > 1]
    groups = [np.isin(people, group) for group in _groups(judged, generator)]
    if len(channels) == 1 or len(judged) < MIN_PEOPLE or not all(_can_fit(y[~held_out]) for held_out in groups):
        return channels
    chosen: tuple[str, ...] = ()
    reached = np.full(len(judged), -np.inf)
    while len(chosen) < len(channels):
        candidates = [tuple(name for name in channels if name in (*chosen, added)) for added in channels if added not in chosen]
        scored = [(_score(statistics, names, y, people, groups), names) for names in candidates]
        score, names = max(scored, key=lambda pair: float(pair[0].mean()))  # of equal ones the first
        if chosen and not _is_clear_gain(score - reached):
            break
        chosen, reached = names, score
    return chosen


def _statistics(signals: Signals, channel: str, rows: RowIds) -> Array:
    alone = signals.channels([channel])
    parts = [extended_statistics(alone.padded(rows[i : i + BATCH]), [channel]) for i in range(0, len(rows), BATCH)]
    return np.concatenate(parts)


def _groups(judged: Sequence[int], generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """The people, drawn into groups that are held out in turn."""
    order = generator.permutation(np.asarray(judged, dtype=np.int64))
    return [group for group in np.array_split(order, min(N_GROUPS, max(len(order), 1))) if len(group)]


def _can_fit(y: Classes) -> bool:
    """Whether there are windows of two classes, and at least two of each, from which a covariance can be estimated."""
    counts = np.unique(y, return_counts=True)[1]
    return len(counts) > 1 and bool(counts.min() > 1)


def _is_clear_gain(differences: Array) -> bool:
    """Whether the mean of paired differences (n_people,) is above two standard errors of it."""
    return bool(differences.mean() > STANDARD_ERRORS * differences.std(ddof=1) / np.sqrt(len(differences)))


def _score(statistics: Mapping[str, Array], names: Sequence[str], y: Classes, people: People, groups: Sequence[Rows]) -> Array:
    """AUROC of each held-out person, in the order of the groups, by judges that were fitted on everyone else."""
    features = np.concatenate([statistics[name] for name in names], axis=1)
    scores = []
    for held_out in groups:
        judge = LDA(names, int(y.max()) + 1, seed=0)
        judge.fit_statistics(features[~held_out], y[~held_out])
        p = judge.probabilities_of(features[held_out])
        theirs = people[held_out]
        scores += [_auroc(p[theirs == person], y[held_out][theirs == person]) for person in np.unique(theirs)]
    return np.array(scores)


def _auroc(p: Array, y: Classes) -> float:
    """AUROC of one person's probabilities (n, n_classes): of the second class, or the mean over the classes that the person has."""
    labels = [1] if p.shape[1] == 2 else list(np.unique(y))
    return float(np.mean([auroc_of_columns(p[:, [label]], y == label)[0] for label in labels]))
