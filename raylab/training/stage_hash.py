"""Stages planned for one fold, and the hash of everything that decides a stage's weights.

The hash is the identity of a training. It names the stage's file, so techniques that begin with the same stage share one training, and a
run that is continued finds what is trained already. Two rules follow: everything that can change the weights must be in the hash (else a stage would
take over weights that are not its own), and nothing else may be (else equal trainings would be repeated).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.folds.fold import NO_ROWS, Fold, FoldError, RowIds
from raylab.hashing import hash_array, hash_record
from raylab.models.network import ModelSpec
from raylab.models.precision import FLOAT32, Precision
from raylab.models.registry import CLASSICAL_MODELS, batch_size
from raylab.techniques.method import GRADIENT_DESCENT, Method
from raylab.techniques.selection import chosen
from raylab.techniques.stage import Asking, Stage
from raylab.training.protocol import Hyperparameters, Protocol, resolve
from raylab.windows.dataset import WindowIndex

# The version of the computation. Raise it by hand if the training loop, a model or an initialization changes so that weights come out different:
# code cannot be hashed in a way that survives a rename or a comment. Stages of older versions are then trained again.
NUMERICS = 1


@dataclass(frozen=True)
class PlannedStage:
    """One training of one fold, decided completely.

    Attributes:
        name: the stage's name in its technique.
        train: row numbers of the index to train on.
        validation: row numbers of the index to validate on; may be empty.
        signals_used: windows of the target whose signals decided the training windows. They are not in the hash, since they change the
            weights only through the training windows, which are; but they are not tested on.
        trainable: the parts of the network that are trained.
        hyper: hyperparameters after all overrides.
        parent: hash of the stage that it continues from; empty for the first.
        hash: identity; equal hashes mean equal weights, to the bit on one type of processor.
        method: how the parts are set.
        adds: parts that the network gets at this stage, with their size.
        unlabelled, source, pseudo_targets, weights: see ``raylab.folds.fold.StageSplit``.
        predicts: rows of the target that its weights predict; None: see ``raylab.training.stage_tree``. Not in the hash: it changes no weights.
        asks: how the windows that are trained on are chosen among ``train`` in the worker; None: all of them.
        fold: its fold, if that is not the trial's own: of a person who stands in for the target (``raylab.trials.pseudo_targets``).
    """

    name: str
    train: RowIds
    validation: RowIds
    signals_used: RowIds
    trainable: tuple[str, ...]
    hyper: Hyperparameters
    parent: str
    hash: str
    method: Method = GRADIENT_DESCENT
    adds: Mapping[str, int] = field(default_factory=dict)
    unlabelled: RowIds = field(default_factory=lambda: NO_ROWS)
    source: RowIds = field(default_factory=lambda: NO_ROWS)
    pseudo_targets: tuple[tuple[RowIds, RowIds], ...] = ()
    weights: npt.NDArray[np.float64] | None = None
    predicts: RowIds | None = None
    asks: Asking | None = None
    fold: Fold | None = None

    @property
    def stepped(self) -> RowIds:
        """The windows that an optimizer receives: the training windows, and unlabelled ones if the method has a use for them."""
        return np.union1d(self.train, self.unlabelled) if self.method.steps_on_unlabelled else self.train

    @property
    def received(self) -> RowIds:
        """The windows that the training counts: those that an optimizer receives, or, without one, that the stage is computed from."""
        return self.stepped if self.method.loops else self.learned_from

    @property
    def labelled(self) -> RowIds:
        """The windows whose labels the stage may read; to the training all others have none."""
        pairs = [rows for pair in self.pseudo_targets for rows in pair]
        return np.unique(np.concatenate([self.train, self.validation, self.source, *pairs]))

    @property
    def learned_from(self) -> RowIds:
        """The windows that its weights depend on, with or without labels, rising."""
        unlabelled = self.unlabelled if self.method.learns_unlabelled else NO_ROWS
        return np.unique(np.concatenate([self.labelled, unlabelled]))


@dataclass(frozen=True)
class TrainingContext:
    """Everything that the stages of a trial share.

    Attributes:
        fold: the fold, with its target and its random draws.
        model: encoder, fusion and width.
        adapter: whether the network has an adapter.
        shapes: channel name to (length, n_features), in the order of the towers.
        workers: how many workers train each stage together. With batch norm or dropout their number changes the weights, without them it still
            changes the order of sums; so stages of one and of two workers never have the same hash.
        precision: the arithmetic of its network; a classical model has none.
    """

    fold: Fold
    model: ModelSpec
    adapter: bool
    shapes: Mapping[str, tuple[int, int]]
    workers: int = 1
    precision: Precision = FLOAT32

    @property
    def n_classes(self) -> int:
        """Number of classes of the fold's label."""
        return len(self.fold.index.classes(self.fold.label))


def stage_hash(stage: PlannedStage, context: TrainingContext) -> str:
    """The hash of everything that decides the stage's weights; ``stage.hash`` is ignored.

    A test changes each field of ``PlannedStage`` and ``TrainingContext`` and expects another hash. The keys below are part of stored hashes:
    renaming one retrains every stage.
    """
    fold = context.fold
    index = fold.index
    # Absent for a single worker and for single precision, so that these stages keep the hashes that they had before there was anything else.
    added: dict[str, Any] = {"workers": context.workers} if context.workers > 1 else {}
    if context.precision != FLOAT32 and context.model.encoder not in CLASSICAL_MODELS:
        added["precision"] = context.precision
    if stage.asks:
        added["asks"] = {"order": stage.asks.order, "stop": stage.asks.stop}
    return hash_record(
        {
            **added,
            **_beyond_gradient_descent(stage, index.window),
            "numerics": NUMERICS,
            "parent": stage.parent,  # the initial weights, through the whole chain of stages
            "data": index.fingerprint,
            "preprocessing": _preprocessing(index),
            "classes": list(index.classes(fold.label)),
            "channels": [[name, *shape] for name, shape in context.shapes.items()],
            "train": fold.digest(stage.train),
            "validation": fold.digest(stage.validation),
            "model": context.model.architecture,
            "adapter": context.adapter,
            "frees": list(stage.trainable),
            "hyperparameters": stage.hyper.as_dict(),
            "draws": fold.as_dict(),  # initial weights, shuffles and dropout: the study's seed and what the fold holds out
        }
    )


def _preprocessing(index: WindowIndex) -> dict[str, Any]:
    """The settings of the windows; written once for all stages."""
    if "preprocessing" not in index.derived:
        index.derived["preprocessing"] = index.card.preprocessing.as_dict()
    settings: dict[str, Any] = index.derived["preprocessing"]
    return settings


def _beyond_gradient_descent(stage: PlannedStage, window: npt.NDArray[np.int64]) -> dict[str, Any]:
    """What the weights of some stages depend on beyond training windows and hyperparameters; of the others nothing, so that their hashes stay."""
    method = stage.method
    unlabelled = stage.unlabelled if method.learns_unlabelled else NO_ROWS
    pairs = [[hash_array(window[rows]) for rows in pair] for pair in stage.pseudo_targets]
    values = {
        "method": method.as_dict(),
        "adds": dict(stage.adds),
        "unlabelled": hash_array(window[unlabelled]) if len(unlabelled) else "",
        "source": hash_array(window[stage.source]) if len(stage.source) else "",
        "pseudo_targets": pairs,
        "weights": "" if stage.weights is None else hash_array(stage.weights),
    }
    return {name: value for name, value in values.items() if value}


def plan_stages(context: TrainingContext, stages: Sequence[Stage], protocol: Protocol) -> tuple[PlannedStage, ...]:
    """The stages of a technique for one fold, in order, with their windows and hashes. No training is needed to plan.

    A stage without training windows (a budget of 0) and without unlabelled ones is left out, and the next one continues from the one before.

    Raises:
        FoldError: if the fold cannot give a stage its windows, or if no stage has any.
    """
    planned: list[PlannedStage] = []
    trained: dict[str, str] = {"": ""}  # name of a stage to its hash
    for stage in stages:
        split = chosen(stage.windows, context.fold)
        if not len(split.train) and not len(split.unlabelled):
            continue
        draft = PlannedStage(
            name=stage.name,
            train=split.train,
            validation=split.validation,
            signals_used=split.signals_used,
            trainable=stage.trainable,
            hyper=resolve(protocol, stage.name, stage.overrides, batch_size(context.model.encoder)),
            parent=(planned[-1].hash if planned else "") if stage.after is None else trained.get(stage.after, ""),
            hash="",
            method=stage.method,
            adds=stage.adds,
            unlabelled=split.unlabelled,
            source=split.source,
            pseudo_targets=split.pseudo_targets,
            weights=split.weights,
            predicts=split.predicts,
            asks=stage.asks,
        )
        planned.append(PlannedStage(**{**vars(draft), "hash": stage_hash(draft, context)}))
        trained[stage.name] = planned[-1].hash
    if not planned:
        raise FoldError(f"{', '.join(stage.name for stage in stages)}: there is no window to train on")
    return tuple(planned)
