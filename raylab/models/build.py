"""How a model of any kind is made from what a study says of it."""

from collections.abc import Mapping

import raylab.models.hmm
import raylab.models.linear_models
import raylab.models.minirocket
import raylab.models.rule
import raylab.models.svm
import raylab.models.tree_models  # noqa: F401  with those above: the classes behind CLASSICAL_MODELS, known once imported
from raylab.folds.seeding import FoldSeeds
from raylab.models.estimators import Estimator
from raylab.models.network import ModelSpec, Network, build
from raylab.models.precision import FLOAT32, Precision
from raylab.models.registry import CLASSICAL_MODELS

Model = Network | Estimator


def build_model(
    spec: ModelSpec,
    shapes: Mapping[str, tuple[int, int]],
    n_classes: int,
    adapter: bool,
    draws: FoldSeeds,
    precision: Precision = FLOAT32,
) -> Model:
    """A network with its initial weights, which computes in this precision; or a classical model that has seen nothing."""
    if spec.encoder in CLASSICAL_MODELS:
        return build_estimator(
            spec.encoder, shapes, n_classes, draws.integer(f"baseline: {spec.encoder}"), spec.chooses_channels
        )
    return build(spec, shapes, n_classes, adapter, draws, precision)


def build_estimator(
    name: str, shapes: Mapping[str, tuple[int, int]], n_classes: int, seed: int = 0, chooses: bool = False
) -> Estimator:
    """A classical model that has seen nothing; the seed is for fitting only, ``chooses`` says whether it chooses its channels."""
    model: Estimator = CLASSICAL_MODELS[name].build(list(shapes), n_classes, seed)
    model.chooses = chooses
    return model
