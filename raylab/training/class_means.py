"""``ClassMeans``: the classifier by the nearest class mean in feature space, from a few labelled windows, without a gradient.

Prototypical networks (Snell, Swersky and Zemel 2017, equations 1 and 2, and section 2.3, which shows that their classifier is linear) on the
features of a trunk that was trained as usual. Two departures. Features are divided by their standard deviation within classes over the training
people, since those of a trunk have very different scales; and the target's means are shrunk towards the training people's by n / (n + k), since one
window is a poor mean.
"""

import numpy as np
import torch

from raylab.models.estimators import Array, Classes, Estimator
from raylab.models.network import Network
from raylab.techniques.method import ClassMeans
from raylab.training.job import Job, TrainingError, TrainingResult, features_of

STILL = 1e-6  # a feature whose SD within classes is below this share of the largest one's tells nothing


def shrunk_means(source: Array, source_y: Classes, own: Array, own_y: Classes, n_classes: int, k: float) -> Array:
    """Class means (n_classes, n_features): n / (n + k) of the target's own and the rest of the training people's; NaN if nobody has the class.

    Args:
        source: (n, n_features) of the training people.
        own: (n, n_features) of the target's calibration windows.
    """
    means = np.full((n_classes, source.shape[1]), np.nan)
    for label in range(n_classes):
        of_others, of_target = source[source_y == label], own[own_y == label]
        if not len(of_others) and not len(of_target):
            continue
        # a class that only one side has is that side's
        share = len(of_target) / (len(of_target) + k) if len(of_others) else 1.0
        means[label] = (1 - share) * (of_others.mean(axis=0) if len(of_others) else 0.0)
        means[label] += share * (of_target.mean(axis=0) if len(of_target) else 0.0)
    return means


def spread_within(features: Array, y: Classes) -> Array:
    """Standard deviation (n_features,) of each feature about its class's mean; infinite if it hardly varies, so that it counts for nothing."""
    centred = np.concatenate([features[y == label] - features[y == label].mean(axis=0) for label in np.unique(y)])
    spread = np.sqrt(np.square(centred).mean(axis=0))
    return np.asarray(np.where(spread > STILL * float(spread.max(initial=0.0)), spread, np.inf))


def nearest_mean_classifier(means: Array, spread: Array) -> tuple[Array, Array]:
    """Weights (n_classes, n_features) and biases (n_classes,) whose logits differ between classes as -d^2 / 2 does, d the distance to each mean in
    units of ``spread``. A class without a mean has a bias so low that its probability is 0."""
    weight = np.nan_to_num(means / spread**2)
    bias = -np.square(means / spread).sum(axis=1) / 2
    return weight, np.where(np.isnan(bias), -1e30, bias)


def set_class_means(job: Job) -> TrainingResult:
    """Make the head of a network, or the decision of a classical model, that of the nearest class mean."""
    stage, method, model = job.stage, job.stage.method, job.model
    assert isinstance(method, ClassMeans)
    features = {}
    for name, rows in (("source", stage.source), ("own", stage.train)):
        if isinstance(model, Estimator):
            features[name] = model.feature_space(job.signals.padded(rows))
        else:
            features[name] = features_of(model, job.signals, rows, job.device).cpu().double().numpy()
    source_y, own_y = job.classes[stage.source], job.classes[stage.train]
    means = shrunk_means(features["source"], source_y, features["own"], own_y, model.n_classes, method.k)
    weight, bias = nearest_mean_classifier(means, spread_within(features["source"], source_y))
    _set(model, weight, bias)
    logits = features["own"] @ weight.T + bias
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return job.computed_at_once(float(-log_p[np.arange(len(own_y)), own_y].mean()))


def _set(model: Network | Estimator, weight: Array, bias: Array) -> None:
    if isinstance(model, Estimator):
        model.decide_by(weight, bias)
        return
    head = model.head
    if not isinstance(head, torch.nn.Linear):
        raise TrainingError(
            "class means replace a linear head, and this network has another; use late, early, stacked or attention fusion"
        )
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    model.eval()
