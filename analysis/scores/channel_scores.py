"""What single channels tell, without any network: rows of a table, and sentences on a channel that nearly does, or that misleads."""

import pandas as pd

from analysis.formatting import mean_sd, number

ALL, MEAN, ALONE, WITHOUT = "all channels", "mean of", "only", "without"  # how rows are named; the latter three with a channel
CHANCE = 0.55  # a mean AUROC up to this counts as chance, and one down to 1 - this
NEAR = 0.02  # an AUROC that is at most this much below the best counts as near it
OPPOSITE = 0.1  # a mean with people below this and people above 1 - this tells the classes apart in opposite directions


def channel_sentences(scores: pd.DataFrame, best: float, best_name: str) -> list[str]:
    """Which channels without any training come near the best model, and which tell the classes apart in opposite directions.

    Args:
        scores: ``model`` and ``auroc``, one row per model and person.
        best: mean AUROC of the best model. ``best_name``: its name in the sentence.
    """
    means = {
        str(name): part["auroc"].dropna()
        for name, part in scores.groupby("model", sort=False)
        if str(name).startswith(f"{MEAN} ")
    }
    reached = {name: max(values.mean(), 1 - values.mean()) for name, values in means.items() if len(values)}
    sentences = [
        f"The {name}, without any training, reaches {number(value)}: near {best_name}."
        for name, value in reached.items()
        if best > CHANCE and value >= best - NEAR
    ]
    opposite = []
    for name, values in means.items():
        low, high = int((values < OPPOSITE).sum()), int((values > 1 - OPPOSITE).sum())
        if low and high:
            opposite.append(f"{name} ({low} and {high})")
    if opposite:
        sentences.append(
            f"Below {OPPOSITE:g} for some people and above {1 - OPPOSITE:g} for others: {', '.join(opposite)}. Such a channel tells the classes "
            "apart in opposite directions, as an order of runs does, and misleads a model that trusts it."
        )
    return sentences


def balanced_mean(scores: pd.DataFrame) -> float:
    """Mean of both halves (``later``, ``earlier``) of one model, each the mean over the people who have such pairs; NaN if nobody has one."""
    return float((scores["later"].mean() + scores["earlier"].mean()) / 2)


def score_cells(scores: pd.DataFrame) -> tuple[str, ...]:
    """AUROC of one model as texts: mean (SD), smallest, class later, class earlier (with the people who have such pairs), balanced."""
    halves = [
        f"{number(scores[side].mean())} ({scores[side].count()})" if scores[side].count() else "-"
        for side in ("later", "earlier")
    ]
    auroc = scores["auroc"]
    return mean_sd(auroc.mean(), auroc.std(ddof=1)), number(auroc.min()), *halves, number(balanced_mean(scores)) or "-"
