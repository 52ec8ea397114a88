"""A stage planned for one fold, and the hash of everything that decides its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raylab.folds.fold import Fold, FoldError, RowIds
from raylab.hashing import hash_array, hash_record
from raylab.models.network import ModelSpec
from raylab.models.registry import batch_size
from raylab.techniques.stage import Stage
from raylab.training.protocol import Hyperparameters, Protocol, resolve

# Raise by hand whenever the training loop, a model or an initialization changes what weights come out.
NUMERICS = 1


@dataclass(frozen=True)
class PlannedStage:
    """One training, fixed: rows of the index to train and validate on, the parts it frees, its hyperparameters.

    Attributes:
        signals_used: target windows whose signals chose the training windows; they decide no weight beyond that.
        hash: identity; equal hashes mean equal weights to the bit on one type of processor.
        parent: hash of the stage it continues from; empty for the first.
    """

    name: str
    train: RowIds
    validation: RowIds
    signals_used: RowIds
    trainable: tuple[str, ...]
    hyper: Hyperparameters
    parent: str
    hash: str


@dataclass(frozen=True)
class TrainingContext:
    """What the stages of a trial have in common.

    Attributes:
        shapes: channel name to (length, n_features), in the order of the towers.
        workers: how many train each stage together. Where a network has batch norm or dropout their number changes the weights, where it
            has none it still changes the order of sums: either way stages of one and of two workers are not the same to the bit.
    """

    fold: Fold
    model: ModelSpec
    adapter: bool
    shapes: Mapping[str, tuple[int, int]]
    workers: int = 1

    @property
    def n_classes(self) -> int:
        return len(self.fold.index.classes(self.fold.label))


def stage_hash(stage: PlannedStage, subject: TrainingContext) -> str:
    """The hash of what decides the stage's weights. A test changes each field and sees another hash."""
    fold = subject.fold
    window = fold.index.window
    several = {"workers": subject.workers} if subject.workers > 1 else {}  # one worker's stages keep the hashes they had
    return hash_record(
        {
            **several,
            "numerics": NUMERICS,
            "parent": stage.parent,
            "data": fold.index.fingerprint,
            "preprocessing": fold.index.card.preprocessing.as_dict(),
            "classes": list(fold.index.classes(fold.label)),
            "channels": [[name, *shape] for name, shape in subject.shapes.items()],
            "train": hash_array(window[stage.train]),
            "validation": hash_array(window[stage.validation]),
            "model": subject.model.architecture,
            "adapter": subject.adapter,
            "frees": list(stage.trainable),
            "hyperparameters": stage.hyper.as_dict(),
            "draws": fold.as_dict(),
        }
    )


def plan_stages(subject: TrainingContext, stages: Sequence[Stage], protocol: Protocol) -> tuple[PlannedStage, ...]:
    """The stages of a technique for one fold.

    Raises:
        FoldError: where the fold cannot give a stage its windows.
    """
    planned: list[PlannedStage] = []
    for stage in stages:
        chosen = stage.windows.choose(subject.fold)
        if not len(chosen.train):
            continue  # a budget of 0: this stage has nothing to do
        draft = PlannedStage(
            name=stage.name,
            train=chosen.train,
            validation=chosen.validation,
            signals_used=chosen.signals_used,
            trainable=stage.trainable,
            hyper=resolve(protocol, stage.name, stage.overrides, batch_size(subject.model.encoder)),
            parent=planned[-1].hash if planned else "",
            hash="",
        )
        planned.append(PlannedStage(**{**vars(draft), "hash": stage_hash(draft, subject)}))
    if not planned:
        raise FoldError(f"{', '.join(stage.name for stage in stages)}: there is no window to train on")
    return tuple(planned)
