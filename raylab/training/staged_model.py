"""A model that can be put into the state after any stage of a trial, from the store."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from raylab.models.build import Model, build_model
from raylab.training.loop import TrainingError, add_parts
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import StageStore
from raylab.training.stage_tree import Stages, path_to
from raylab.training.worker_group import WorkerGroup

ASKED = "asked.windows"  # beside a stage's weights: ids of the windows that were asked for, in their order


def without_asked(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """A stage's weights alone."""
    return {name: value for name, value in stored.items() if name != ASKED}


@dataclass
class StagedModel:
    """One model and the stage whose weights it holds. Stages of a chain follow one another without being read again.

    Attributes:
        context: of the trial; stages of other folds (``PlannedStage.fold``) begin with their own initial weights.
        group: the workers that train together: all of them make the same calls.
    """

    context: TrainingContext
    store: StageStore
    device: torch.device
    group: WorkerGroup
    _model: Model | None = None
    _holds: str = ""

    @property
    def model(self) -> Model:
        """The model as it is now."""
        assert self._model is not None
        return self._model

    def before(self, stages: Stages, stage: PlannedStage) -> Model:
        """The model with the weights that the stage continues from."""
        if self._model is None or stage.parent != self._holds:
            self._restore(path_to(stages, stage)[:-1], stage)
        return self.model

    def after(self, stages: Stages, stage: PlannedStage) -> Model:
        """The model with the weights after the stage, which is in the store."""
        if self._model is None or stage.hash != self._holds:
            self._restore(path_to(stages, stage), stage)
        return self.model

    def take(self, stages: Stages, stage: PlannedStage, stored: dict[str, Tensor]) -> None:
        """Load weights of a stage that were found in the store."""
        model = self.before(stages, stage)
        add_parts(model, stage, (stage.fold or self.context.fold).draws)
        model.load_parts(without_asked(stored))
        self._holds = stage.hash

    def holds(self, stage: PlannedStage) -> None:
        """The model was trained: it holds the weights after this stage."""
        self._holds = stage.hash

    def _restore(self, path: Stages, of: PlannedStage) -> None:
        """A new model with the weights of these stages, one after the other.

        Raises:
            TrainingError: if the store lacks one of them.
        """
        context, fold = self.context, of.fold or self.context.fold
        model = build_model(
            context.model, context.shapes, context.n_classes, context.adapter, fold.draws, context.precision
        ).to(self.device)
        self._model, self._holds = model, ""
        for stage in path:
            stored = self.group.broadcast_from_leader(partial(self.store.load, stage.hash))
            if stored is None:
                raise TrainingError(
                    f"the weights of stage {stage.name} ({stage.hash}) have gone from the store; run the trial again"
                )
            add_parts(model, stage, fold.draws)
            model.load_parts(without_asked(stored))
            self._holds = stage.hash
