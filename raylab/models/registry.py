"""All models that ``encoder:`` of a study may name, networks and classical models, and one way to make any of them."""

from collections.abc import Mapping

from raylab.folds.seeding import FoldSeeds
from raylab.models.encoders import ENCODERS
from raylab.models.estimators import ClassicalModel, Estimator
from raylab.models.hmm import HMMGMM
from raylab.models.network import ModelSpec, Network, build
from raylab.models.svm import SVM

Model = Network | Estimator

CLASSICAL_MODELS: dict[str, ClassicalModel] = {
    entry.name: entry
    for entry in (
        ClassicalModel("svm", SVM, "support vector machine (radial kernel, C = 5) on 8 statistics of each feature of a window"),
        ClassicalModel(
            "hmm_gmm", HMMGMM, "a hidden Markov model of 3 states with 2 Gaussians for each class and channel", "hmmlearn"
        ),
    )
}
MODEL_NAMES = (*ENCODERS, *CLASSICAL_MODELS)


def batch_size(encoder: str) -> int:
    """Default batch size of an encoder, before the cap of a tenth of the training windows; 1 for a classical model, which has no batches."""
    return ENCODERS[encoder].batch_size if encoder in ENCODERS else 1


def build_model(
    spec: ModelSpec, shapes: Mapping[str, tuple[int, int]], n_classes: int, adapter: bool, draws: FoldSeeds
) -> Model:
    """A network with its initial weights, or a classical model that is not fitted yet.

    Args:
        spec: encoder, fusion and width.
        shapes: channel name to (length, n_features), in the order of the trial.
        n_classes: number of classes of the label.
        adapter: whether the network has an adapter; ignored by a classical model.
        draws: the random streams of the fold.
    """
    if spec.encoder in CLASSICAL_MODELS:
        return CLASSICAL_MODELS[spec.encoder].build(list(shapes), n_classes, draws.integer(f"baseline: {spec.encoder}"))
    return build(spec, shapes, n_classes, adapter, draws)
