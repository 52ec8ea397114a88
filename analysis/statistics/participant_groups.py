"""Groups of a run's participants: by gender, thirds of age, trait cluster, thirds of how their labels are balanced, and of signal quality."""

from functools import lru_cache

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import MinMaxScaler

from analysis.arrays import Floats, Ints

CLUSTERS = (2, 3, 4, 5)
STARTS = 50
UNKNOWN = "not known"


def _plain(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def thirds(values: "pd.Series[float]") -> "pd.Series[str]":
    """Lower, middle and upper third by value, named by their range; equal values stay together, so thirds may be unequal or fewer."""
    present = values.dropna()
    edges = np.unique(np.quantile(present, [1 / 3, 2 / 3])) if len(present) else np.empty(0)
    third = pd.Series(np.searchsorted(edges, present, side="left"), index=present.index)
    ranges = present.groupby(third).agg(["min", "max"])
    places = {1: ["all"], 2: ["lower", "upper"], 3: ["lower", "middle", "upper"]}.get(len(ranges), [])
    names = {
        k: f"{place}: {_plain(low)}" + ("" if low == high else f" to {_plain(high)}")
        for place, (k, low, high) in zip(places, ranges.itertuples(), strict=True)
    }
    return third.map(names).reindex(values.index).fillna(UNKNOWN)


def _numbers(traits: pd.DataFrame) -> pd.DataFrame:
    """Traits as numbers 0..1: numbers scaled over these participants, two genders 0/1 and more one-hot / sqrt 2, so that two participants
    who differ are 1 apart."""
    columns = []
    for name in traits:
        if pd.api.types.is_numeric_dtype(traits[name]):
            scaled = MinMaxScaler().fit_transform(traits[[name]])
            columns.append(pd.DataFrame(scaled, index=traits.index, columns=[name]))
            continue
        hot = pd.get_dummies(traits[name], dtype=float)
        columns.append(hot.iloc[:, :1] if hot.shape[1] <= 2 else hot / np.sqrt(2))
    return pd.concat(columns, axis=1)


def _labels(points: Floats) -> Ints:
    """K-means, k of 2..5 with the largest mean silhouette; all in one if there are too few different participants."""
    return _labels_of(tuple(map(tuple, points.tolist()))).copy()


@lru_cache(maxsize=64)
def _labels_of(points: tuple[tuple[float, ...], ...]) -> Ints:
    """``_labels``, once for the same participants: those of all models, labels and preparations of a dataset."""
    x = np.array(points)
    max_k = min(len(np.unique(x, axis=0)), len(x) - 1)
    clusterings = [KMeans(k, n_init=STARTS, random_state=0).fit_predict(x) for k in CLUSTERS if k <= max_k]
    if not clusterings:
        return np.zeros(len(x), dtype=np.int64)
    silhouettes = [silhouette_score(x, labels) for labels in clusterings]
    return np.asarray(clusterings[int(np.argmax(silhouettes))], dtype=np.int64)


def trait_clusters(traits: pd.DataFrame) -> "pd.Series[str]":
    """Clusters of participants alike in all traits, the largest first; descriptive, made of all participants and not the clusters that
    trials used."""
    complete = traits.dropna(axis=1, how="all").dropna()
    if complete.empty or not complete.shape[1]:
        return pd.Series(UNKNOWN, index=traits.index)
    labels = pd.Series(_labels(_numbers(complete).to_numpy(dtype=np.float64)), index=complete.index)
    order = {label: f"cluster {place + 1}" for place, label in enumerate(labels.value_counts().index)}
    return labels.map(order).reindex(traits.index).fillna(UNKNOWN)


def _balance(counts: pd.DataFrame) -> "tuple[str, pd.Series[float]]":
    """The most frequent class of all these participants, and its share of each participant's windows."""
    counts = counts.dropna(axis=1, how="all").fillna(0)
    majority = str(counts.sum().idxmax())
    return majority.removeprefix("count_"), counts[majority] / counts.sum(axis=1)


def groupings(participants: pd.DataFrame) -> "dict[str, pd.Series[str]]":
    """Grouping to group of each participant, for the participants of one (dataset, label); a grouping without any data is left out.

    Args:
        participants: rows of ``RunTables.participants`` of one dataset and label, indexed by participant.
    """
    traits = participants[[name for name in participants if str(name).startswith("trait_")]].dropna(axis=1, how="all")
    traits.columns = traits.columns.str.removeprefix("trait_")
    groups: dict[str, pd.Series[str]] = {}
    if "gender" in traits:
        groups["gender"] = (
            traits["gender"]
            .map(lambda gender: gender if isinstance(gender, str) else _plain(gender), na_action="ignore")
            .fillna(UNKNOWN)
        )
    if "age" in traits:
        groups["age"] = thirds(traits["age"])
    if traits.shape[1] > 1:  # clusters of one trait would say what the trait says
        groups["trait cluster"] = trait_clusters(traits)
    counts = participants[[name for name in participants if str(name).startswith("count_")]]
    if counts.notna().any(axis=None):
        name, share = _balance(counts)
        groups[f"share of {name}"] = thirds(share)
    for name in [str(column) for column in participants if str(column).startswith("quality_")]:
        if participants[name].nunique() > 1:  # a measure that is the same for all says nothing
            groups[f"quality: {name.removeprefix('quality_')}"] = thirds(participants[name])
    return groups
