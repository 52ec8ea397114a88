"""What `encoder:` of a study may name, and how a model of any kind is made."""

from collections.abc import Mapping

from raylab.folds.seeding import Draws
from raylab.models.encoders import ENCODERS
from raylab.models.estimators import Baseline, Estimator
from raylab.models.hmm import HMMGMM
from raylab.models.network import ModelSpec, Network, build
from raylab.models.svm import SVM

Model = Network | Estimator

BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("svm", SVM, "support vector machine (radial kernel, C = 5) on 8 statistics of each feature of a window"),
        Baseline(
            "hmm_gmm", HMMGMM, "a hidden Markov model of 3 states with 2 Gaussians for each class and channel", "hmmlearn"
        ),
    )
}
NAMES = (*ENCODERS, *BASELINES)


def batch_size(encoder: str) -> int:
    """The batch size that a study gets when it says nothing; a baseline has no batches, and what stands there changes nothing."""
    return ENCODERS[encoder].batch_size if encoder in ENCODERS else 1


def make(spec: ModelSpec, shapes: Mapping[str, tuple[int, int]], n_classes: int, adapter: bool, draws: Draws) -> Model:
    """A network with its initial weights, or a baseline that has seen nothing."""
    if spec.encoder in BASELINES:
        return BASELINES[spec.encoder].build(list(shapes), n_classes, draws.integer(f"baseline: {spec.encoder}"))
    return build(spec, shapes, n_classes, adapter, draws)
