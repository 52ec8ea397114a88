"""What a method refuses when it is carried out."""

from dataclasses import replace

import pytest
from builders.training import a_stage, carried_out, context_of, people

from raylab.models.network import ModelSpec
from raylab.techniques.method import AnchoredHead, ClassMeans, History
from raylab.training.augment import Augmentation
from raylab.training.loop import TrainingError
from raylab.windows.dataset import Windows


def test_history_refuses_windows_that_change_at_every_step(made: Windows) -> None:
    """The conditioning input is computed once, so augmentation has no place in its stage."""
    context = context_of(made)
    stage = a_stage(
        History(), people(context, "P2"), trainable=("film", "head"), adds={"film": 2}, augmentation=Augmentation(noise=0.1)
    )
    with pytest.raises(TrainingError, match="computed once"):
        carried_out(made, context, stage)


def test_a_part_of_the_wrong_head_is_refused(made: Windows) -> None:
    """Class means and anchored heads need a linear head, which ``weighted`` fusion has not."""
    context = replace(context_of(made), model=ModelSpec("fcn", "weighted", 0.02))
    own = people(context, "P1")[[0, 10]]
    for method in (ClassMeans(), AnchoredHead(1.0)):
        with pytest.raises(TrainingError, match="linear head"):
            carried_out(made, context, a_stage(method, own, trainable=("head",), source=people(context, "P2")))
