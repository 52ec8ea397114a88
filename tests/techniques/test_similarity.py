"""Who is like the target: scaling, clustering, silhouette and ties, fitted without the target."""

from dataclasses import replace

import numpy as np
import pytest
from builders.windows import make_windows
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from raylab.folds.fold import Fold, FoldError
from raylab.techniques.similarity import cluster, nearest, silhouettes, unlabelled, vectors
from raylab.windows.dataset import Windows

AGES = {"P1": 20.0, "P2": 22.0, "P3": 24.0, "P4": 60.0, "P5": 62.0, "P6": 64.0}
GENDERS = {"P1": "f", "P2": "f", "P3": "m", "P4": "m", "P5": "m", "P6": "f"}


def cohort(**traits: dict[str, object]) -> Windows:
    """Six people; each trait by participant."""
    by_person = {name: {trait: values[name] for trait, values in traits.items()} for name in AGES}
    return make_windows({name: [0] * 5 + [1] * 5 for name in AGES}, traits=by_person)


def fold(windows: Windows, target: str = "P1", seed: int = 0) -> Fold:
    return Fold(windows.index, "stress", target, seed)


def test_numbers_are_scaled_on_everyone_else() -> None:
    """Ages 22..64 of the others become 0..1; the target's 20 falls outside, it was not looked at."""
    people, target = vectors(fold(cohort(age=AGES)), "traits")
    np.testing.assert_allclose([0, 2 / 42, 38 / 42, 40 / 42, 1], people[:, 0])
    np.testing.assert_allclose([-2 / 42], target)


def test_two_categories_are_0_and_1_and_more_are_one_hot() -> None:
    """Two people of another category are 1 apart, whether there are two categories or three."""
    people, target = vectors(fold(cohort(gender=GENDERS)), "traits")
    assert [0.0, 1.0] == sorted(np.unique(people))
    other = {**GENDERS, "P6": "x"}
    people, target = vectors(fold(cohort(gender=other)), "traits")
    distance = np.linalg.norm(people - target, axis=1)
    np.testing.assert_allclose([0, 1, 1, 1, 1], distance)


def test_clusters_are_scikit_learns_on_everyone_else() -> None:
    """k=2 splits young from old as KMeans with the fold's seed does; the target joins the nearer centre."""
    windows = cohort(age=AGES)
    f = fold(windows)
    people, target = vectors(f, "traits")
    fitted = KMeans(2, n_init=50, random_state=f.draws.integer("k-means") % 2**32).fit(people)
    expected = tuple(n for n, label in zip(f.others, fitted.labels_, strict=True) if label == fitted.predict(target[None])[0])
    assert ("P2", "P3") == expected == cluster(f, "traits", 2)


def test_silhouette_takes_the_largest_as_the_slides_say() -> None:
    """Of k = 2..4 the one with the largest mean silhouette; the public code's smallest is a named override."""
    ages = {"P1": 20.0, "P2": 21.0, "P3": 22.0, "P4": 40.0, "P5": 41.0, "P6": 80.0}
    f = fold(cohort(age=ages))
    people, _ = vectors(f, "traits")
    scores = {k: silhouette_score(people, KMeans(k, n_init=50, random_state=0).fit(people).labels_) for k in (2, 3, 4)}
    best, worst = max(scores, key=scores.__getitem__), min(scores, key=scores.__getitem__)
    assert best != worst
    assert cluster(f, "traits", best) == cluster(f, "traits", "silhouette")
    assert cluster(f, "traits", worst) == cluster(f, "traits", "silhouette_smallest")


def test_clustering_is_the_same_whoever_asks_and_never_sees_the_target() -> None:
    """Changing the target's age moves the target, not the clusters; another seed of the study is another draw."""
    young = cohort(age=AGES)
    old = cohort(age={**AGES, "P1": 63.0})
    assert ("P2", "P3") == cluster(fold(young), "traits", 2)
    assert ("P4", "P5", "P6") == cluster(fold(old), "traits", 2)


def test_more_clusters_than_different_people_are_refused() -> None:
    """Five people of two ages cannot make three clusters."""
    same = dict(zip(AGES, (20.0, 20.0, 20.0, 50.0, 50.0, 50.0), strict=True))
    with pytest.raises(FoldError, match=r"k=3 is larger than the 2 different people that can be clustered \(of 5\)"):
        cluster(fold(cohort(age=same)), "traits", 3)


def test_nearest_takes_everyone_tied() -> None:
    """By age and gender the nearest of P1 is P2; by gender alone all of them."""
    assert ("P2",) == nearest(fold(cohort(age=AGES, gender=GENDERS)), "traits")
    assert ("P2", "P6") == nearest(fold(cohort(gender=GENDERS)), "traits")


def test_similarity_by_data_finds_who_looks_alike() -> None:
    """P5's signals are made those of the target's group: by data it is the nearest, whatever the traits say."""
    windows = cohort(age=AGES)
    for values in windows.index.statistics.values():
        values[windows.index.participant_index == 4] = np.tile(
            values[:2], (5, 1)
        )  # what is looked at of P1: its first two windows
    assert "P5" in nearest(fold(windows), "data")
    assert ("P2",) == nearest(fold(windows), "traits")


def anew(windows: Windows) -> Windows:
    """The windows with an index that has derived nothing yet from its arrays, which a test has changed."""
    return replace(windows, index=replace(windows.index))


def test_similarity_by_data_looks_at_the_first_windows_of_the_target_only() -> None:
    """Changing the signals of the target's later windows, or any of its labels, changes nothing; changing the first does."""
    windows = cohort(age=AGES)
    f = fold(windows)
    assert [0, 1] == unlabelled(f).tolist()
    before = vectors(f, "both")[1]
    for values in windows.index.statistics.values():
        values[2:10] = 9.0
    windows.index.labels["stress"][:10] = 1 - windows.index.labels["stress"][:10]
    np.testing.assert_array_equal(before, vectors(fold(anew(windows)), "both")[1])
    for values in windows.index.statistics.values():
        values[0] = 9.0
    assert not np.array_equal(before, vectors(fold(anew(windows)), "both")[1])


def test_both_weighs_traits_and_data_alike() -> None:
    """Each kind is divided by the root of its number of dimensions, so one trait weighs as much as all statistics."""
    f = fold(cohort(age=AGES))
    traits, data, both = (vectors(f, by)[0] for by in ("traits", "data", "both"))
    assert traits.shape[1] + data.shape[1] == both.shape[1]
    np.testing.assert_allclose(data / np.sqrt(data.shape[1]), both[:, 1:])


def test_a_channel_that_the_model_does_not_see_does_not_decide() -> None:
    """Similarity by data uses the channels of the study."""
    windows = cohort(age=AGES)
    assert 6 == Fold(windows.index, "stress", "P1", 0).statistics.shape[1]
    assert 3 == Fold(windows.index, "stress", "P1", 0, channels=("b",)).statistics.shape[1]


@pytest.mark.parametrize("n", [5, 700])
def test_silhouettes_of_several_clusterings_are_scikit_learns(n: int) -> None:
    """To the bit, for points that lie on each other and clusters of one point too: which k wins is in the hashes."""
    rng = np.random.default_rng(0)
    points = rng.integers(0, 6, size=(n, 2)) / 5.0
    clusterings = [np.concatenate([np.arange(k), rng.integers(0, k, n - k)]).astype(np.int32) for k in (2, 3, 4)]
    clusterings.append((np.arange(n) == n - 1).astype(np.int32))
    assert [float(silhouette_score(points, labels)) for labels in clusterings] == silhouettes(points, clusterings)
