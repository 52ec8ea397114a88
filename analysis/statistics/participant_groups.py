"""Into which groups a run's people fall: by gender, thirds of age, trait cluster, and thirds of how their labels are balanced."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import MinMaxScaler

CLUSTERS = (2, 3, 4, 5)
STARTS = 50
UNKNOWN = "not known"


def _plain(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def thirds(values: "pd.Series[float]") -> "pd.Series[str]":
    """Lower, middle and upper third by value, named by their range; equal values stay together, so thirds may be unequal or fewer."""
    known = values.dropna()
    edges = np.unique(np.quantile(known, [1 / 3, 2 / 3])) if len(known) else np.empty(0)
    which = pd.Series(np.searchsorted(edges, known, side="left"), index=known.index)
    ranges = known.groupby(which).agg(["min", "max"])
    places = {1: ["all"], 2: ["lower", "upper"], 3: ["lower", "middle", "upper"]}.get(len(ranges), [])
    names = {
        k: f"{place}: {_plain(low)}" + ("" if low == high else f" to {_plain(high)}")
        for place, (k, low, high) in zip(places, ranges.itertuples(), strict=True)
    }
    return which.map(names).reindex(values.index).fillna(UNKNOWN)


def _numbers(traits: pd.DataFrame) -> pd.DataFrame:
    """Traits as numbers 0..1: numbers scaled over these people, two genders 0/1 and more one-hot / sqrt 2, so that two who differ are 1 apart."""
    columns = []
    for name in traits:
        if pd.api.types.is_numeric_dtype(traits[name]):
            scaled = MinMaxScaler().fit_transform(traits[[name]])
            columns.append(pd.DataFrame(scaled, index=traits.index, columns=[name]))
            continue
        hot = pd.get_dummies(traits[name], dtype=float)
        columns.append(hot.iloc[:, :1] if hot.shape[1] <= 2 else hot / np.sqrt(2))
    return pd.concat(columns, axis=1)


def _labels(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """K-means, k of 2..5 with the largest mean silhouette; all in one where there are too few different people."""
    most = min(len(np.unique(points, axis=0)), len(points) - 1)
    tried = [KMeans(k, n_init=STARTS, random_state=0).fit_predict(points) for k in CLUSTERS if k <= most]
    if not tried:
        return np.zeros(len(points), dtype=np.int64)
    return np.asarray(tried[int(np.argmax([silhouette_score(points, labels) for labels in tried]))], dtype=np.int64)


def trait_clusters(traits: pd.DataFrame) -> "pd.Series[str]":
    """Clusters of people alike in all traits, the largest first; descriptive, made of everybody and not the clusters that trials used."""
    known = traits.dropna(axis=1, how="all").dropna()
    if known.empty or not known.shape[1]:
        return pd.Series(UNKNOWN, index=traits.index)
    labels = pd.Series(_labels(_numbers(known).to_numpy(dtype=np.float64)), index=known.index)
    order = {label: f"cluster {place + 1}" for place, label in enumerate(labels.value_counts().index)}
    return labels.map(order).reindex(traits.index).fillna(UNKNOWN)


def _balance(counts: pd.DataFrame) -> "tuple[str, pd.Series[float]]":
    """The most frequent class of all these people, and its share of each person's windows."""
    counts = counts.dropna(axis=1, how="all").fillna(0)
    most = str(counts.sum().idxmax())
    return most.removeprefix("count_"), counts[most] / counts.sum(axis=1)


def groupings(people: pd.DataFrame) -> "dict[str, pd.Series[str]]":
    """Grouping to group of each participant, for the people of one (dataset, label); groupings that nothing is known for are left out.

    Args:
        people: rows of ``RunTables.participants`` of one dataset and label, indexed by participant.
    """
    traits = people[[name for name in people if str(name).startswith("trait_")]].dropna(axis=1, how="all")
    traits.columns = traits.columns.str.removeprefix("trait_")
    found: dict[str, pd.Series[str]] = {}
    if "gender" in traits:
        found["gender"] = (
            traits["gender"]
            .map(lambda said: said if isinstance(said, str) else _plain(said), na_action="ignore")
            .fillna(UNKNOWN)
        )
    if "age" in traits:
        found["age"] = thirds(traits["age"])
    if traits.shape[1] > 1:  # clusters of one trait would say what the trait says
        found["trait cluster"] = trait_clusters(traits)
    counts = people[[name for name in people if str(name).startswith("count_")]]
    if counts.notna().any(axis=None):
        name, share = _balance(counts)
        found[f"share of {name}"] = thirds(share)
    return found
