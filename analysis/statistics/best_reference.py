"""Each technique against the best model without personalization of the study (best_reference.csv).

A gain over the technique's own model can be one that another model, such as linear discriminant analysis of a few features, has without any
personalization. So each technique is set against that as well: for each participant, the model without personalization that is best on average
over the other participants of the same dataset and label. The participant's own scores have no part in the choice of what it is set against.

The technique is that of chosen.csv, its variant chosen for each participant by the others. Both sides are scored on the same windows and paired
over participants and seeds. All techniques of all models of a dataset and label are one family: each of them is a try to beat the same reference.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.constants import SMALLEST_EFFECT
from analysis.scores.keys import REFERENCE_TECHNIQUE
from analysis.scores.paired_scores import gain_sign, paired_scores, refuse_unknown_metric, seed_sd
from analysis.scores.run_folder import RunTables
from analysis.scores.scores import score_against_models, score_common
from analysis.statistics.comparison import adjust_family, paired_statistics, tell_apart
from analysis.statistics.dependence import BOUND, retrained_bound
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice
from analysis.statistics.variant_selection import TECHNIQUE_KEY, chosen_variants, count_choices

COLUMNS = [
    *TECHNIQUE_KEY, "metric", "n_participants", "n_missing", "n_seeds", "mean", "sd", "seed_sd", "references", "reference_mean",
    "own_difference", "difference", "ci_low", "ci_high", "inner_low", "inner_high", "effect_size", "gainers", "losers", "lopsided",
    "inflation", "inflation_source", "choice_inflation", "p_above_chance",
    "p", "p_adjusted", "detectable", "outcome", "test", "family", "family_size",
]  # fmt: skip
MODEL_KEY = ["dataset", "label"]
SIDES = ["score", "reference_score"]
AUROCS = ["auroc", "reference_auroc"]


def best_models(tables: RunTables, metric: str) -> dict[tuple[str, str], dict[str, str]]:
    """For each (dataset, label) with two models or more without personalization: participant to the model that the others choose.

    The choice is by the mean over the other participants, each the mean over its seeds, on the windows that all these models were tested on; of
    equal models the study's first is taken. A participant without a score of its own has no choice.
    """
    trials = tables.trials
    if trials.empty:
        return {}
    references = trials[trials["technique"].eq(REFERENCE_TECHNIQUE) & trials["status"].eq("ok")]
    scores = score_common(tables.with_trials(references), across="model")
    order = list(dict.fromkeys(tables.plan["model"].astype(str)))
    choices = {}
    for names, part in scores.groupby(MODEL_KEY, sort=True, observed=True):
        wide = part.pivot_table(index="participant", columns="model", values=metric, observed=True)
        wide = wide[[model for model in order if model in wide.columns]]
        if wide.shape[1] < 2:
            continue
        places = leave_one_out_choice(gain_sign(metric) * wide.to_numpy(dtype=np.float64))[1]
        chosen = {str(person): str(wide.columns[k]) for person, k in zip(wide.index, places, strict=True) if k >= 0}
        choices[str(names[0]), str(names[1])] = chosen
    return choices


def _choice_factor(rows: pd.DataFrame, variants: Mapping[str, str], models: Mapping[str, str], sign: int) -> float:
    """By which factor the two choices add to the variance of the mean: that of the model times that of the variant.

    Each is measured with the other held as it is, under the bound for shared training (``choice_inflation``). Their product is on the safe side.

    Args:
        rows: variant, participant, reference and both scores, means over seeds.
    """
    gap = rows.assign(gap=sign * (rows["reference_score"] - rows["score"]))
    by_model = gap[gap["variant"].eq(gap["participant"].map(variants))].pivot(
        index="participant", columns="reference", values="gap"
    )
    by_variant = gap[gap["reference"].eq(gap["participant"].map(models))].pivot(
        index="participant", columns="variant", values="gap"
    )
    bound = retrained_bound(len(by_model))
    factors = (choice_inflation(gaps.to_numpy(dtype=np.float64), bound, around_means=True) for gaps in (by_model, -by_variant))
    return float(np.prod(list(factors)))


def _row(pairs: pd.DataFrame, beside: pd.DataFrame, models: Mapping[str, str], metric: str) -> dict[str, Any]:
    """One technique of one model against the chosen models.

    Args:
        pairs: ``paired_scores`` of it. ``beside``: ``score_against_models`` of it.
        models: participant to the model that it is set against.
    """
    variants = chosen_variants(pairs, metric)
    both = beside.assign(participant=beside["participant"].astype(str)).dropna(subset=SIDES)
    people, sign = both["participant"], gain_sign(metric)
    chosen = both[both["variant"].eq(people.map(variants)) & both["reference"].eq(people.map(models))]
    by_person = chosen.groupby("participant", observed=True)
    means = by_person[[*SIDES, *AUROCS]].mean()
    d = (means["score"] - means["reference_score"]).to_numpy(dtype=np.float64)
    own = pairs[pairs["variant"].eq(pairs["participant"].astype(str).map(variants))]
    row: dict[str, Any] = {
        "n_participants": len(d),
        "n_missing": pairs["participant"].nunique() - len(d),
        "n_seeds": int(by_person.size().max()) if len(d) else 0,
        "mean": means["score"].mean(),
        "sd": means["score"].std(ddof=1),
        "seed_sd": seed_sd(by_person["score"].var(ddof=1)),
        "references": count_choices(models[person] for person in means.index),
        "reference_mean": means["reference_score"].mean(),
        "own_difference": own["difference"].mean(),
    }
    if not len(d):
        return row | {"p": np.nan}
    over_seeds = both.groupby(["variant", "participant", "reference"], observed=True)[SIDES].mean().reset_index()
    factor = _choice_factor(over_seeds, variants, models, sign)
    statistics = paired_statistics(d, (retrained_bound(len(d)) * factor, BOUND))
    statistics |= {"choice_inflation": factor, "test": f"{statistics['test']} and for the choice"}
    return row | tell_apart(statistics, list(means[AUROCS].to_numpy(dtype=np.float64).T))


def _families(
    tables: RunTables, scores: pd.DataFrame, metric: str
) -> Iterator[tuple[tuple[str, str], list[tuple[dict[str, str], dict[str, Any]]]]]:
    """Of each dataset and label the names and the row of each technique of each model."""
    choices = best_models(tables, metric)
    if not choices:
        return
    pairs, beside = paired_scores(scores, metric), score_against_models(tables, metric)
    for family, models in choices.items():
        rows = []
        in_family = pairs[pairs["dataset"].eq(family[0]) & pairs["label"].eq(family[1])]
        for key, part in in_family.groupby(TECHNIQUE_KEY, sort=True, observed=True):
            names = dict(zip(TECHNIQUE_KEY, map(str, key), strict=True))
            of_technique = beside[(beside[TECHNIQUE_KEY] == list(names.values())).all(axis=1)]
            rows.append((names, _row(part, of_technique, models, metric)))
        yield family, rows


def compare_with_best_reference(
    tables: RunTables, scores: pd.DataFrame, metric: str = "auroc", smallest_effect: float = SMALLEST_EFFECT
) -> pd.DataFrame:
    """Each technique of each model against the best model without personalization, which the other participants choose.

    Args:
        tables: as ``analysis.load`` gives them.
        scores: as ``analysis.score`` makes them; they choose the technique's variant for each participant, as in chosen.csv.
        metric: a column of ``scores``.
        smallest_effect: of interest; differences that are surely smaller are called equivalent.

    Returns:
        one row per (dataset, label, model, technique) of datasets and labels with two models or more without personalization; none otherwise.
        ``references``: how often each model was chosen; ``own_difference``: to the technique's own model without personalization. ``inflation`` is
        the bound for models that are trained anew, since no surrogate tells models apart, times that of the choices (``choice_inflation``). p is
        adjusted by Holm over all techniques of all models of the dataset and label.

    Raises:
        AnalysisError: if the scores have no such metric.

    Units:
        those of the metric; p from 0 to 1.

    Source:
        docs/decisions/0025-second-reference.md.
    """
    refuse_unknown_metric(scores, metric)
    rows: list[dict[str, Any]] = []
    for family, named in _families(tables, scores, metric):
        tested = adjust_family([row for _, row in named], " / ".join(family), metric, smallest_effect)
        rows += [names | row for (names, _), row in zip(named, tested, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS).assign(metric=metric)
