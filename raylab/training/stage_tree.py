"""Which weights predict which windows, if the stages of a trial are not one chain (docs/protocol.md, Techniques).

Most techniques are a chain: each stage continues from the one before, and the last one predicts. A stage may also continue from an earlier one,
or from the initial weights, and say which windows of the target it predicts (``StageSplit.predicts``): an oracle has one such stage for each
block of the target's time, and the predictions are put together. A stage of another fold (``PlannedStage.fold``) predicts nothing of the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raylab.folds.fold import Fold, RowIds
from raylab.training.stage_hash import PlannedStage

Stages = tuple[PlannedStage, ...]


@dataclass(frozen=True)
class PredictedPart:
    """Windows of the target that one state of the weights predicts.

    Attributes:
        path: the stages that lead to these weights, in order.
        rows: the windows that are predicted, rising.
        bars: the stages whose windows are not predicted; more than the path if it was chosen among several (``raylab.trials.pseudo_targets``).
    """

    path: Stages
    rows: RowIds
    bars: Stages

    @property
    def used(self) -> RowIds:
        """The windows that the prediction depends on in any way; what shares samples with one is not tested on."""
        return np.union1d(trained_windows(self.bars), np.concatenate([stage.signals_used for stage in self.bars]))


def trained_windows(stages: Sequence[PlannedStage]) -> RowIds:
    """The windows that any of the stages trains or validates on."""
    return np.unique(np.concatenate([np.concatenate([stage.train, stage.validation]) for stage in stages]))


def own_stages(stages: Sequence[PlannedStage]) -> Stages:
    """The stages of the trial's own fold."""
    return tuple(stage for stage in stages if stage.fold is None)


def path_to(stages: Sequence[PlannedStage], last: PlannedStage) -> Stages:
    """The stages that lead to a stage, itself the last."""
    by_hash = {stage.hash: stage for stage in stages}
    path = [last]
    while path[0].parent:
        path.insert(0, by_hash[path[0].parent])
    return tuple(path)


def predicted_parts(stages: Sequence[PlannedStage], fold: Fold) -> list[PredictedPart]:
    """The parts of the target's windows with the weights that predict each; together all that is not trained on, and none twice."""
    own = own_stages(stages)
    tellers = [stage for stage in own if stage.predicts is not None]
    if not tellers:
        return [PredictedPart(path_to(own, own[-1]), np.setdiff1d(fold.target_windows, trained_windows(own)), own)]
    paths = [(path_to(own, stage), stage.predicts) for stage in tellers if stage.predicts is not None]
    return [PredictedPart(path, rows, path) for path, rows in paths]
