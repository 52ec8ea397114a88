"""The statistics that models without a network see, and what is done with those that are constant or missing."""

import numpy as np
import pytest
import torch
from builders.classical import CLASSES, made_batch, some_of

from raylab.models.batch import Batch
from raylab.models.build import build_estimator
from raylab.models.window_statistics import N_EXTENDED, extended_statistics, n_columns, statistics

SHAPES = {"a": (20, 2), "b": (9, 1)}
ON_STATISTICS = ("rule", "lda", "logistic", "ridge", "random_forest", "gradient_boosting")


def test_slope_and_range_are_of_the_valid_steps() -> None:
    """After the SVM's eight come the slope of numpy's line through the window's own steps, and their range."""
    batch = made_batch(lacking=(4,))

    found = extended_statistics(batch, ["b"])

    np.testing.assert_array_equal(statistics(batch, ["b"]), found[:, :8])
    for row, steps in enumerate(batch.lengths["b"].tolist()):
        x = batch.values["b"][row, :steps, 0].numpy().astype(np.float64)
        if steps:
            np.testing.assert_allclose([np.polyfit(np.arange(steps), x, 1)[0], np.ptp(x)], found[row, 8:], rtol=1e-9)
        else:
            assert np.isnan(found[row]).all()


def test_a_window_of_one_valid_step_has_neither_slope_nor_range() -> None:
    """Both are 0, and no warning."""
    batch = Batch({"a": torch.full((1, 5, 1), 3.0)}, {"a": torch.tensor([1])})

    found = extended_statistics(batch, ["a"])[0]

    np.testing.assert_array_equal([0.0, 0.0], found[8:])


def test_the_number_of_statistics_is_known_without_windows() -> None:
    """A channel of one step gives its features as they are."""
    batch = Batch({"a": torch.zeros(2, 20, 2), "c": torch.zeros(2, 1, 7)})

    assert n_columns({"a": (20, 2), "c": (1, 7)}, N_EXTENDED) == extended_statistics(batch, ["a", "c"]).shape[1]


@pytest.mark.parametrize("name", ON_STATISTICS)
def test_a_missing_statistic_is_the_mean_of_the_training_windows_and_is_counted(name: str) -> None:
    """Each statistic of ``b`` is missing in two windows; a window without it is predicted as one whose statistics of ``b`` are average."""
    batch = made_batch(lacking=(3, 7))
    model = build_estimator(name, SHAPES, 3)
    model.fit(batch, CLASSES)

    p = model.probabilities(some_of(batch, np.array([3])))

    np.testing.assert_array_equal([0.0] * 20 + [2.0] * 10, model.arrays["missing"])
    features = extended_statistics(batch, ["a", "b"])
    np.testing.assert_allclose(np.nanmean(features, axis=0), model.arrays["mean"], rtol=1e-12)
    assert np.isfinite(p).all()


@pytest.mark.parametrize("name", ON_STATISTICS)
def test_a_channel_that_nobody_has_and_a_constant_one_are_dropped(name: str) -> None:
    """The model is that of the other channels."""
    batch = made_batch()
    more = Batch(
        {**batch.values, "b": torch.zeros(30, 9, 1), "c": torch.full((30, 9, 1), 7.0)},
        {"b": torch.zeros(30, dtype=torch.int64)},
    )
    alone, together = build_estimator(name, {"a": (20, 2)}, 3), build_estimator(name, {**SHAPES, "c": (9, 1)}, 3)

    alone.fit(batch, CLASSES)
    together.fit(more, CLASSES)

    np.testing.assert_array_equal(np.arange(20.0), together.arrays["kept"])
    np.testing.assert_array_equal(alone.probabilities(batch), together.probabilities(more))


@pytest.mark.parametrize("name", ON_STATISTICS)
def test_one_class_or_nothing_that_varies_gives_the_classes_shares(name: str) -> None:
    """Probability 1 for the one class; the shares of the training windows if all windows are alike."""
    batch = made_batch()
    model = build_estimator(name, SHAPES, 3)

    model.fit(batch, np.full(30, 1))
    np.testing.assert_array_equal(np.tile([0.0, 1.0, 0.0], (30, 1)), model.probabilities(batch))

    still = Batch({"a": torch.ones(30, 20, 2), "b": torch.ones(30, 9, 1)})
    model.fit(still, np.array([0] * 10 + [2] * 20))
    np.testing.assert_allclose(np.tile([1 / 3, 0.0, 2 / 3], (30, 1)), model.probabilities(still))
