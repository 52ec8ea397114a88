"""How much the scores of a study's participants depend on each other: the variance inflation of each technique's mean difference.

In this order, whichever can be had (column ``inflation_source``):

- ``simulated``: the technique's plan repeated with a linear surrogate on the cohort's windows (``analysis.statistics.surrogate``), at least
  ``FLOOR``. It falls with the signal, because sure signal leaves less to luck; so it stands alone only if the reference technique is above
  chance in this cohort, and is otherwise not taken below the bound.
- ``bound``: 1.5 if the technique continues the reference's training, repeats it with calibration windows added, or has calibration windows
  alone; else Nadeau and Bengio's 1 + n / (n - 1).

Both are measured in docs/error_rates.md. Under ``FLOOR`` the test would not hold 5% under moderate skewness.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.arrays import Bools, Floats
from analysis.constants import ALPHA
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, VARIANT, is_bound
from analysis.scores.run_folder import RunTables
from analysis.statistics.surrogate import CohortWindows, SurrogateTrial, simulated_differences, variance_inflation

FLOOR, CEILING = 1.25, 4.0
SHARED_TRAINING = 1.5
COLUMNS = [*VARIANT, "inflation", "inflation_source"]
SIMULATED, BOUND, SIMULATED_OR_BOUND = "simulated", "bound", "simulated, not under the bound"

Pair = tuple[SurrogateTrial, SurrogateTrial]


def retrained_bound(n: int) -> float:
    """Nadeau and Bengio's inflation for models that are trained anew without each of n participants."""
    return 1 + n / (n - 1) if n > 1 else 1.0


def inflation_of(simulated: float, bound: float, above_chance: bool) -> tuple[float, str]:
    """The inflation to test with, and its source.

    Args:
        simulated: NaN if there is none.
        above_chance: whether the reference technique is.
    """
    if np.isnan(simulated):
        return bound, BOUND
    if above_chance:
        return float(np.clip(simulated, FLOOR, CEILING)), SIMULATED
    return float(np.clip(max(simulated, bound), FLOOR, CEILING)), SIMULATED_OR_BOUND


def p_above_chance(aurocs: Floats) -> float:
    """One-sided p that the mean AUROC (n_participants,) of a model is above 0.5, with the retrained bound; NaN without scores."""
    x = aurocs[~np.isnan(aurocs)]
    if len(x) < 2 or np.ptp(x) == 0:
        return float("nan") if not len(x) else float(x[0] <= 0.5)
    error = x.std(ddof=1) * np.sqrt(retrained_bound(len(x)) / len(x))
    return float(stats.t.sf((x.mean() - 0.5) / error, len(x) - 1))


def above_chance(aurocs: Floats) -> bool:
    """Whether the mean AUROC of the reference technique (n_participants,) is above 0.5: one-sided 5%, with the retrained bound."""
    return p_above_chance(aurocs) < ALPHA


def _members(bitmaps: Any, n_participants: int) -> tuple[Bools, ...]:
    """Who each stage of a trial trains on, from the hexadecimal bitmaps of its record; empty for a record of an older raylab."""
    if bitmaps is None or isinstance(bitmaps, float):
        return ()
    return tuple(np.array([int(text, 16) >> k & 1 for k in range(n_participants)], dtype=bool) for text in bitmaps)


class _Trials:
    """The trials of one (dataset, label, model) and one seed, as the surrogate repeats them."""

    def __init__(self, cohort: CohortWindows, names: Sequence[str], tables: RunTables, trials: pd.DataFrame) -> None:
        self.cohort, self.position = cohort, {name: k for k, name in enumerate(names)}
        self.row = {int(window): k for k, window in enumerate(cohort.window)}
        self.rows_of = {k: np.flatnonzero(cohort.participant == k) for k in range(len(names))}
        predictions = tables.of_trials(trials)
        self.predicted = {str(name): part for name, part in predictions.groupby("trial", observed=True)}

    def surrogate(self, record: Mapping[Any, Any]) -> SurrogateTrial | None:
        """None if the record does not say who was trained on, or if windows are not those of the cohort."""
        members = _members(record.get("trained_on"), self.cohort.n_participants)
        predicted, target = self.predicted.get(str(record["trial"])), self.position.get(str(record["participant"]))
        if not members or predicted is None or target is None:
            return None
        rows = np.array([self.row.get(int(window), -1) for window in predicted["window"]], dtype=np.int64)
        if (rows < 0).any():
            return None
        tested = rows[~predicted["purged"].to_numpy(dtype=bool)]
        uses_target = any(who[target] for who in members)
        calibration = np.setdiff1d(self.rows_of[target], rows) if uses_target else np.zeros(0, dtype=np.int64)
        return SurrogateTrial(target, members, calibration, np.sort(tested))


def _stages(record: Mapping[Any, Any]) -> set[str]:
    """The stages of a trial; none if its record does not name them."""
    stages = record.get("stages")
    return set(stages) if isinstance(stages, list | np.ndarray) else set()


def _is_shared(members: int, others: int) -> bool:
    """Whether a stage trains on all that the reference does, with or without the target, or on the target alone (bitmaps)."""
    target = members & ~others
    is_one = target > 0 and target & (target - 1) == 0
    return (members & others == others and (is_one or not target)) or (members & others == 0 and is_one)


def _shares_training(records: pd.DataFrame, references: pd.DataFrame) -> bool:
    """Whether every trial continues a stage of its reference, trains on the same others as that does, or on the target alone."""
    partner = references.set_index("participant")
    for record in records.to_dict("records"):
        if record["participant"] not in partner.index:
            return False
        reference = partner.loc[record["participant"]]
        if _stages(record) & _stages(reference):
            continue
        bitmaps, others = record.get("trained_on"), reference.get("trained_on")
        if not isinstance(bitmaps, list | np.ndarray) or not isinstance(others, list | np.ndarray):
            return False
        if not all(_is_shared(int(text, 16), int(others[0], 16)) for text in bitmaps):
            return False
    return True


def _pairs(trials: _Trials, records: pd.DataFrame, references: Mapping[str, SurrogateTrial]) -> list[Pair]:
    """A technique's trials with their references; empty if one cannot be repeated."""
    pairs = []
    for record in records.to_dict("records"):
        trial, reference = trials.surrogate(record), references.get(str(record["participant"]))
        if trial is None or reference is None:
            return []
        if len(np.unique(trials.cohort.y[trial.tested])) > 1:
            pairs.append((trial, reference))
    return pairs


def _signature(pairs: Sequence[Pair]) -> tuple[bytes, ...]:
    """Equal for techniques that train on and are tested with the same windows: their surrogates are one."""
    return tuple(
        b"|".join([who.tobytes() for who in trial.trained_on] + [trial.calibration.tobytes(), trial.tested.tobytes()])
        for trial, _ in pairs
    )


class _Cohorts:
    """The described windows of a run, and the surrogates' inflation, computed once for all models and variants that share a plan."""

    def __init__(self, tables: RunTables) -> None:
        self.tables = tables
        self._inflation: dict[tuple[bytes, ...], float] = {}
        self._known: dict[tuple[str, str], tuple[CohortWindows, list[str]] | None] = {}

    def cohort(self, dataset: str, label: str) -> tuple[CohortWindows, list[str]] | None:
        """The windows of a dataset with this label and its participants; None if the run does not have them."""
        if (dataset, label) not in self._known:
            self._known[dataset, label] = self._cohort(dataset, label)
        return self._known[dataset, label]

    def _cohort(self, dataset: str, label: str) -> tuple[CohortWindows, list[str]] | None:
        frame = self.tables.window_summaries
        part = frame[frame["dataset"].eq(dataset) & frame["label"].eq(label)]
        if part.empty:
            return None
        first = part.drop_duplicates("position").set_index("position")["participant"]
        names = first.reindex(range(int(first.index.max()) + 1)).tolist()
        position, window, y = (part[name].to_numpy(dtype=np.int64) for name in ("position", "window", "y"))
        features = np.stack(part["features"].to_list()).astype(np.float32)
        return CohortWindows(position, window, y, features, len(names)), names

    def inflation(self, cohort: CohortWindows, techniques: Sequence[list[Pair]]) -> list[float]:
        """NaN for a technique without pairs, or if no difference varies."""
        signatures = [_signature(pairs) for pairs in techniques]
        new = {s: pairs for s, pairs in zip(signatures, techniques, strict=True) if s and s not in self._inflation}
        for signature, differences in zip(new, simulated_differences(cohort, list(new.values())), strict=True):
            self._inflation[signature] = variance_inflation(differences)
        return [self._inflation.get(signature, float("nan")) for signature in signatures]


def _cell(cohorts: _Cohorts, names: tuple[str, ...], cell: pd.DataFrame) -> list[dict[str, Any]]:
    """The inflation of each variant of one (dataset, label, model)."""
    reference_records = cell[cell["technique"].eq(REFERENCE_TECHNIQUE)]
    variants = [
        (key, part)
        for key, part in cell.groupby(["technique", "variant"], observed=True)
        if key[0] != REFERENCE_TECHNIQUE and not is_bound(key[0])
    ]
    described = cohorts.cohort(names[0], names[1]) if variants else None
    simulated = [float("nan")] * len(variants)
    if described and len(reference_records):
        trials = _Trials(described[0], described[1], cohorts.tables, cell)
        found = {str(row["participant"]): trials.surrogate(row) for row in reference_records.to_dict("records")}
        references = {name: trial for name, trial in found.items() if trial is not None}
        simulated = cohorts.inflation(described[0], [_pairs(trials, part, references) for _, part in variants])
    sure = above_chance(reference_records["auroc"].to_numpy(dtype=np.float64)) if "auroc" in cell else False
    rows = []
    for (key, part), value in zip(variants, simulated, strict=True):
        bound = SHARED_TRAINING if _shares_training(part, reference_records) else retrained_bound(part["participant"].nunique())
        inflation, source = inflation_of(value, bound, sure)
        rows.append(dict(zip(VARIANT, (*names, *key), strict=True)) | {"inflation": inflation, "inflation_source": source})
    return rows


def variance_inflations(tables: RunTables) -> pd.DataFrame:
    """How far the training that participants' scores share makes the variance of a mean difference larger than s^2 / n.

    The plan of the lowest seed stands for all seeds: means over seeds share their training as much as those of one seed do.

    Args:
        tables: as ``analysis.load`` gives them.

    Returns:
        one row per (dataset, label, model, technique, variant) with its ``inflation`` and ``inflation_source``.

    Units:
        ``inflation`` is a ratio of variances, 1 for scores that share nothing.

    Source:
        docs/decisions/0019-verdict.md; docs/error_rates.md.
    """
    trials = tables.trials
    rows: list[dict[str, Any]] = []
    if len(trials):
        ok = trials[trials["status"].eq("ok")]
        cohorts = _Cohorts(tables)
        for names, cell in ok.groupby(CELL, sort=True, observed=True):
            rows += _cell(cohorts, tuple(map(str, names)), cell[cell["seed"].eq(cell["seed"].min())])
    return pd.DataFrame(rows, columns=COLUMNS)
