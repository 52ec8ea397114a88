"""Linear models on statistics of each window: ``lda``, ``logistic`` and ``ridge``, as scikit-learn fits them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit
from torch import Tensor

from raylab.errors import InvalidValueError
from raylab.models.estimators import Array, ArrayShape, Classes, People, softmax
from raylab.models.registry import CLASSICAL_MODELS, implements
from raylab.models.statistics_model import StatisticsModel


class LinearModel(StatisticsModel):
    """A decision value for each class, linear in the statistics; with two classes one value, for the second of them.

    The probabilities are the logistic function of the one value, or the softmax of all.
    """

    LIBRARIES: ClassVar[tuple[str, ...]] = ("sklearn.discriminant_analysis", "sklearn.linear_model")

    def predict(self, x: Array) -> Array:
        """Logistic function or softmax of the decision values."""
        scores = x @ self.arrays["coefficients"].T + self.arrays["intercept"]
        if scores.shape[1] > 1:
            return softmax(scores)
        p = expit(scores[:, 0])
        return np.stack([1 - p, p], axis=1)

    def learned_shapes(self, n_kept: int, n_learned: int, found: Mapping[str, Tensor]) -> dict[str, ArrayShape]:
        """One row for each decision value."""
        rows = 1 if n_learned == 2 else n_learned
        return {"coefficients": (rows, n_kept), "intercept": (rows,)}


def _arrays(fitted: Any) -> dict[str, Array]:
    return {"coefficients": np.atleast_2d(fitted.coef_), "intercept": np.atleast_1d(fitted.intercept_)}


@implements(CLASSICAL_MODELS["lda"])
class LDA(LinearModel):
    """Linear discriminant analysis, its covariance shrunk as Ledoit and Wolf 2004 estimate from the training windows (solver lsqr).

    Shrinkage is what lets it have more statistics than a person has windows. Priors are the shares of the classes.
    """

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Fit it.

        Raises:
            InvalidValueError: if there are no more windows than classes, so that nothing is left to estimate a covariance from.
        """
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        if len(x) <= target.max() + 1:
            raise InvalidValueError(
                f"lda: {len(x)} windows of {target.max() + 1} classes have no covariance to estimate; give more windows"
            )
        return _arrays(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x, target))


@implements(CLASSICAL_MODELS["logistic"])
class LogisticRegression(LinearModel):
    """Logistic regression with an L2 penalty (C = 1), multinomial for more than two classes."""

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Fit it with L-BFGS, which on standardized statistics needs far fewer than the 2,000 iterations that it may take."""
        from sklearn.linear_model import LogisticRegression as Fitted

        return _arrays(Fitted(C=1.0, solver="lbfgs", max_iter=2000).fit(x, target, weights))


@implements(CLASSICAL_MODELS["ridge"])
class Ridge(LinearModel):
    """Ridge regression on classes coded as -1 and 1 (alpha = 1), one class against the others for more than two.

    Its decision values are no log-odds: their logistic function or softmax ranks windows and is no reliable probability.
    """

    def learn(self, x: Array, target: Classes, people: People, weights: Array | None = None) -> dict[str, Array]:
        """Fit it by its normal equations."""
        from sklearn.linear_model import RidgeClassifier

        return _arrays(RidgeClassifier(alpha=1.0, solver="cholesky").fit(x, target, weights))
