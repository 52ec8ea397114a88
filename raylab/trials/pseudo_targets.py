"""Whether a person will gain from calibration, learned from training people who stand in for the target (technique ``when_to_personalize``).

All people are drawn into a few groups, the same for every target. For a target of one group, the people of each other group stand in: a model is
trained on everyone but these two groups, and each stand-in is calibrated and tested as the target is. So the trainings are shared by the targets: for
G groups there are G (G - 1) / 2 trainings on everyone else more, however many people there are, and one calibration more for each person and
other group. Nobody of the target's group, the target least of all, has a part in what decides for the target.

What decides is one number that a wearer's calibration windows give without any further training: the AUROC of the general model on them. From the
stand-ins a straight line leads from that number to the gain in AUROC on their later windows; the target keeps the general model unless the line says
that the gain is above 0. With fewer than ``LEAST_STAND_INS`` of whom that can be told, or one number for all, the line is their mean gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raylab.folds.fold import Fold, FoldError
from raylab.folds.split_scheme import labelled_participants, participant_groups
from raylab.techniques.stage import Stage
from raylab.training.protocol import Protocol
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages

# These decide predictions and are in no hash: whoever changes one raises ``NUMERICS`` (raylab.training.stage_hash).
LEAST_STAND_INS = 4


def groups_of(fold: Fold, count: int) -> tuple[tuple[str, ...], ...]:
    """All people with the label in ``count`` groups; the draw depends on the people, the dataset and the study's seed alone."""
    people = labelled_participants(fold.index, fold.label)
    return participant_groups(fold.index, fold.label, fold.seed, count, people)


def pseudo_folds(fold: Fold, count: int) -> list[Fold]:
    """The folds of the people who stand in for the target, one after the other; none of them trains on the target or the target's group.

    Raises:
        FoldError: if there are too few people, or if the fold trains on a drawn number of them.
    """
    if fold.n_participants is not None:
        raise FoldError(
            "when_to_personalize draws groups of all people and has none to spare for `people:`; leave one of them out"
        )
    groups = groups_of(fold, count)
    own = next(group for group in groups if fold.target in group)
    away = {fold.target, *fold.held_out_with, *own}
    folds = []
    for group in groups:
        for name in group:
            if name in away or group == own:
                continue
            together = tuple(sorted((away | set(group)) - {name}))
            folds.append(replace(fold, target=name, held_out_with=together))
    if not folds:
        raise FoldError(
            f"{len(labelled_participants(fold.index, fold.label))} people are too few for {count} groups that stand in"
        )
    return folds


def plan_pseudo_targets(
    context: TrainingContext, stages: Sequence[Stage], protocol: Protocol, count: int
) -> tuple[PlannedStage, ...]:
    """The stages of all who stand in for the target; one whose fold cannot give a stage its windows is left out.

    Raises:
        FoldError: as ``pseudo_folds``, or if nobody can stand in, with the last one's reason.
    """
    planned: list[PlannedStage] = []
    reason: FoldError | None = None
    for fold in pseudo_folds(context.fold, count):
        try:
            part = plan_stages(replace(context, fold=fold), stages, protocol)
        except FoldError as error:
            reason = error
            continue
        if len(part) == len(stages):  # a budget of 0 leaves nothing to decide
            planned += [replace(stage, fold=fold) for stage in part]
    if not planned and reason:
        raise FoldError(f"nobody can stand in for {context.fold.target}: {reason}")
    return tuple(planned)


@dataclass(frozen=True)
class StandIn:
    """What a person who stands in for the target shows.

    Attributes:
        general: AUROC of the general model on the calibration windows; NaN if these are of one class.
        gain: AUROC of the calibrated model less that of the general one, on the windows that are left; NaN if these are of one class.
    """

    general: float
    gain: float


def expected_gain(general: float, stand_ins: Sequence[StandIn]) -> float:
    """The gain that stand-ins let expect of a person for whom the general model has this AUROC on the calibration windows; 0 without any."""
    told = [person for person in stand_ins if np.isfinite(person.gain)]
    if not told:
        return 0.0
    known = [person for person in told if np.isfinite(person.general)]
    x, gains = np.array([person.general for person in known]), np.array([person.gain for person in known])
    if len(known) < LEAST_STAND_INS or np.ptp(x) == 0 or not np.isfinite(general):
        return float(np.mean([person.gain for person in told]))
    slope = float(((x - x.mean()) * gains).sum() / ((x - x.mean()) ** 2).sum())
    return float(gains.mean() + slope * (general - x.mean()))
