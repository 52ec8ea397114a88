"""A plugin file that brings classifiers of scikit-learn, and windows of two classes to fit one on."""

from pathlib import Path

TEXT = '''
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.decomposition import PCA
from sklearn.svm import LinearSVC

from raylab.sklearn import ScikitLearnModel


class Nearest(ClassifierMixin, BaseEstimator):
    """The class whose mean is nearest; with weights."""

    def __init__(self, power=2.0):
        self.power = power

    def fit(self, x, y, sample_weight=None):
        self.classes_ = np.unique(y)
        weights = np.ones(len(x)) if sample_weight is None else sample_weight
        self.means_ = np.stack([np.average(x[y == c], axis=0, weights=weights[y == c]) for c in self.classes_])
        return self

    def decision_function(self, x):
        distance = (np.abs(x[:, None] - self.means_) ** self.power).mean(axis=2)
        return distance[:, 0] - distance[:, 1] if len(self.classes_) == 2 else -distance


CLASSICAL_MODELS = (
    ScikitLearnModel("neighbours", "5 nearest neighbours", estimator=KNeighborsClassifier(5)),
    ScikitLearnModel("linear_machine", "a linear machine, without probabilities", estimator=LinearSVC(C=0.1)),
    ScikitLearnModel("components", "logistic regression on 3 components", estimator=make_pipeline(PCA(3), LogisticRegression())),
    ScikitLearnModel("nearest_mean", "a class of our own", estimator=Nearest(), has_space=True),
)
'''


def scikit_learn_plugin(folder: Path) -> Path:
    """The file."""
    path = folder / "estimators.py"
    path.write_text(TEXT, encoding="utf-8")
    return path
