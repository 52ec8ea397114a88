"""The training loop for one stage of any technique (docs/protocol.md, Training), and prediction.

The optimizer, the stopping rules and their constants are those of the study's public code, which is written in Keras, so that scores are
comparable. All techniques share this: a stage says what differs (windows, trainable parts, hyperparameters, method), and nothing else does.

Equal stage hashes promise equal weights to the bit. So every random draw here comes from the fold's streams and is seeded anew at the start
of a stage: a stage that continues from stored weights trains as one that follows the training of its parent.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from raylab.folds.fold import RowIds
from raylab.folds.seeding import FoldSeeds
from raylab.models.build import Model
from raylab.models.estimators import Estimator, People
from raylab.models.precision import float32_products
from raylab.techniques import method as declared
from raylab.training.anchored_head import fit_anchored_head
from raylab.training.batches import Signals
from raylab.training.class_means import set_class_means
from raylab.training.contrastive import ContrastiveLoss
from raylab.training.entropy import EntropyLoss
from raylab.training.episodes import descend_by_episodes
from raylab.training.gradient import Loop, descend
from raylab.training.history import HistoryReader, descend_with_history
from raylab.training.job import (
    CPU,
    EVALUATION_BATCH,
    Epoch,
    FeatureReader,
    Job,
    OnBatch,
    OnEpoch,
    TrainingError,
    TrainingResult,
    features_of,
    refuse_nonfinite,
    slices,
)
from raylab.training.norm_statistics import OnlineStatistics, set_norm_statistics
from raylab.training.people_penalty import descend_over_people
from raylab.training.stage_hash import PlannedStage
from raylab.training.worker_group import ALONE, WorkerGroup
from raylab.windows.segmentation import NO_LABEL

__all__ = [
    "CPU",
    "EVALUATION_BATCH",
    "Epoch",
    "TrainingError",
    "TrainingResult",
    "attention",
    "features_of",
    "predict",
    "train",
]

# What carries a stage's method out: the one place where methods are known to the training.
METHODS: dict[type[declared.Method], Callable[[Job], TrainingResult]] = {
    declared.GradientDescent: descend,
    declared.ClassMeans: set_class_means,
    declared.NormStatistics: set_norm_statistics,
    declared.AnchoredHead: fit_anchored_head,
    declared.History: descend_with_history,
    declared.PeoplePenalty: descend_over_people,
    declared.Episodes: descend_by_episodes,
    declared.Contrastive: lambda job: Loop(job, ContrastiveLoss(job)).run(job.on_epoch),
    declared.EntropyMinimization: lambda job: Loop(job, EntropyLoss(job)).run(job.on_epoch),
}


def predict(
    model: Model, signals: Signals, rows: RowIds, device: torch.device, reader: FeatureReader = features_of
) -> npt.NDArray[np.float32]:
    """Probabilities of the classes in inference mode, (n, n_classes).

    Args:
        reader: how features of windows are read (``reader_of``): for most techniques from each window alone.
    """
    if isinstance(model, Estimator):
        with threadpool_limits(1):  # sums in another order give other bits, so numpy gets one thread, as torch has
            parts = [model.decide(signals.padded(part)) for part in slices(rows)]
        return np.concatenate(parts).astype(np.float32)
    with float32_products(model.precision), torch.no_grad():
        features = reader(model, signals, rows, device)
        p: npt.NDArray[np.float32] = torch.softmax(model.classify(features), dim=1).cpu().numpy()
    return p


def attention(model: Model, signals: Signals, rows: RowIds, device: torch.device) -> npt.NDArray[np.float32] | None:
    """Weight of each channel in each window in inference mode, (n, n_channels); None if the model does not weight channels by window."""
    if isinstance(model, Estimator):
        return None
    model.eval()
    signals.expect(rows)
    with float32_products(model.precision), torch.no_grad():
        parts = [model.attention(signals.batch(part, device)) for part in slices(rows)]
    weights = [part for part in parts if part is not None]
    return torch.cat(weights).cpu().numpy() if weights else None


def train(
    model: Model,
    signals: Signals,
    classes: npt.NDArray[np.int8],
    stage: PlannedStage,
    draws: FoldSeeds,
    device: torch.device,
    on_batch: OnBatch = lambda rows: None,
    on_epoch: OnEpoch = lambda epoch: None,
    group: WorkerGroup = ALONE,
    people: People | None = None,
) -> TrainingResult:
    """Set the parts that a stage frees, in place, by the stage's method; or fit a classical model.

    Args:
        model: the model; its parts hold the initial weights or those of the parent stage.
        signals: the channels of the model, for all rows of the index.
        classes: (n_windows,) class index of every row of the index; the method sees those of the stage's labelled windows only.
        stage: windows, trainable parts and hyperparameters.
        draws: the random streams of the fold: dropout, augmentation, regularization and shuffling.
        device: the device that the model is on.
        on_batch: called with the rows of every batch that this worker's optimizer receives.
        on_epoch: called with the record of each epoch; every worker of a group gets equal records.
        group: the workers that train together; each calls this function with the same arguments except for its rank.
        people: (n_windows,) who every row of the index is of, for models, mixup and methods that look at people one by one; None: one person.

    Raises:
        TrainingError: if a loss is not finite, or if the optimizers received other windows than planned; on every worker of the group.
    """
    began = time.process_time()
    if isinstance(model, Estimator) and stage.method == declared.GRADIENT_DESCENT:
        result = _fit(model, signals, classes, stage, people, on_batch, on_epoch)
    else:
        add_parts(model, stage, draws)
        job = Job(model, signals, known_classes(classes, stage), stage, draws, device, on_batch, on_epoch, group, people)
        with threadpool_limits(1) if isinstance(model, Estimator) else float32_products(model.precision):
            result = METHODS[type(stage.method)](job)
    result.cpu_s = time.process_time() - began
    return result


def known_classes(classes: npt.NDArray[np.int8], stage: PlannedStage) -> npt.NDArray[np.int64]:
    """The class of every row as a method may see it: a label that the stage does not give is not there."""
    known = np.full(len(classes), NO_LABEL, dtype=np.int64)
    known[stage.labelled] = classes[stage.labelled]
    return known


def add_parts(model: Model, stage: PlannedStage, draws: FoldSeeds) -> None:
    """Give a network the parts that the stage adds, before the stage is trained or its stored weights are loaded."""
    for part, size in stage.adds.items():
        if not isinstance(model, Estimator):
            model.add(part, size, draws)


def reader_of(stages: Sequence[PlannedStage], people: People) -> FeatureReader:
    """How the windows of a trial are read when they are predicted: each by itself, unless a stage's method looks at others with it.

    Args:
        stages: of the trial.
        people: (n_windows,) who every row of the index is of.
    """
    for stage in stages:
        if isinstance(stage.method, declared.NormStatistics) and stage.method.online:
            return OnlineStatistics(stage.unlabelled, stage.method.prior)
        if isinstance(stage.method, declared.History):
            # of the target the stage names the windows themselves: all that are before, or all of those that it names
            which: declared.Which = "past" if stage.method.which == "past" else "all"
            return HistoryReader(people, stage.unlabelled, replace(stage.method, which=which))
    return features_of


def _fit(
    model: Estimator,
    signals: Signals,
    classes: npt.NDArray[np.int8],
    stage: PlannedStage,
    people: People | None,
    on_batch: OnBatch,
    on_epoch: OnEpoch,
) -> TrainingResult:
    """Fit a classical model at once; recorded as one epoch of one step, with the loss on the windows it was fitted on.

    It has no early stopping and so no use for validation windows: they are fitted too, and both kinds of model use the same windows.

    Raises:
        TrainingError: if there are too few windows, or if the loss is not finite.
    """
    rows = np.union1d(stage.train, stage.validation)
    weights = None
    if stage.weights is not None:
        of_rows = dict(zip(np.concatenate([stage.train, stage.validation]).tolist(), stage.weights.tolist(), strict=True))
        weights = np.array([of_rows[row] for row in rows.tolist()])
    model.load_libraries()
    try:
        with threadpool_limits(1):
            model.fit(signals.padded(rows), classes[rows].astype(np.int64), None if people is None else people[rows], weights)
    except ValueError as error:
        raise TrainingError(f"stage {stage.name}: {error}") from error
    on_batch(rows)
    p = predict(model, signals, rows, CPU)[np.arange(len(rows)), classes[rows]]
    loss = float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())
    record: Epoch = {"epoch": 1, "loss": loss, "learning_rate": 0.0}
    refuse_nonfinite(record, stage)
    on_epoch(record)
    return TrainingResult([record], best_epoch=1, steps=1, seen=rows)
