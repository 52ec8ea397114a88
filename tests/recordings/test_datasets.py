"""What every listed dataset must hold."""

import pytest

from raylab.recordings import DATASETS


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_listed_datasets_are_consistent(name: str) -> None:
    """A dataset's default labels are among its labels, every code leads to a class, and an unknown label lists the known."""
    dataset = DATASETS[name]
    assert dataset.name == name
    assert set(dataset.default_labels) <= {label.name for label in dataset.labels}
    coded = [label for label in dataset.labels if label.decide != "above_own_mean"]
    assert all(sorted(set(label.codes.values())) == list(range(len(label.classes))) for label in coded)
    with pytest.raises(
        ValueError, match=f"{name} has no label 'joy'; it offers {', '.join(label.name for label in dataset.labels)}"
    ):
        dataset.label("joy")
