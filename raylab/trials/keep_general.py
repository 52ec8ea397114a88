"""The decision of ``when_to_personalize`` for one target, from predictions (``raylab.trials.pseudo_targets`` plans and learns)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from analysis.scores.metrics import auroc
from raylab.folds.fold import Fold, RowIds
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_tree import PredictedPart, Stages, own_stages, trained_windows
from raylab.trials.pseudo_targets import StandIn, expected_gain

Predict = Callable[[PlannedStage, RowIds], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class KeepDecision:
    """Which weights predict the target.

    Attributes:
        part: the windows of the target with the path that was chosen; the windows are the same whichever it is.
        expected_gain: in AUROC, of the calibrated model over the general one.
    """

    part: PredictedPart
    expected_gain: float

    @property
    def kept_general(self) -> bool:
        """Whether the general model predicts."""
        return self.expected_gain <= 0


def decide(context: TrainingContext, stages: Stages, part: PredictedPart, predict: Predict) -> KeepDecision:
    """Keep the general model, or use the calibrated one.

    Args:
        part: the target's windows with the path to the calibrated model.
        predict: probabilities (n, n_classes) of rows after a stage.
    """
    own = own_stages(stages)
    stand_ins = [
        _stand_in(_fold_of(members[0]), members, predict)
        for _, group in groupby((stage for stage in stages if stage.fold is not None), key=lambda stage: _fold_of(stage).target)
        for members in [tuple(group)]
    ]
    gain = expected_gain(_general(context.fold, own, predict), stand_ins)
    return KeepDecision(part if gain > 0 else replace(part, path=own[:1]), gain)


def _fold_of(stage: PlannedStage) -> Fold:
    assert stage.fold is not None
    return stage.fold


def _general(fold: Fold, stages: Stages, predict: Predict) -> float:
    """AUROC of the first stage's model on the windows that the last stage calibrates with."""
    rows = stages[-1].train
    return auroc(fold.y[rows], predict(stages[0], rows))


def _stand_in(fold: Fold, stages: Stages, predict: Predict) -> StandIn:
    """Calibrate and test a person as the target is."""
    trained = trained_windows(stages)
    rows = np.setdiff1d(fold.target_windows, trained)
    rows = np.setdiff1d(rows, fold.overlapping(rows, trained))
    y = fold.y[rows]
    general, calibrated = (auroc(y, predict(stage, rows)) for stage in (stages[0], stages[-1]))
    return StandIn(_general(fold, stages, predict), calibrated - general)
