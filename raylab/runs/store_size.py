"""How much room the weights of a study take, before it runs: from the shapes of its networks."""

from collections.abc import Iterable, Mapping

from raylab.models.build import build_model
from raylab.models.estimators import Estimator
from raylab.runs.stage_lifetime import MIB, bases
from raylab.runs.stage_timing import DistinctStage
from raylab.training.loop import add_parts
from raylab.trials.plan import training_context
from raylab.trials.study import Keep
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex


def _stage_bytes(one: DistinctStage, index: WindowIndex) -> int | None:
    """Bytes of a stage's weights; None of a classical model, which tells when it is fitted."""
    context = training_context(one.trial, index)
    draws = context.fold.draws
    model = build_model(context.model, context.shapes, context.n_classes, context.adapter, draws)
    if isinstance(model, Estimator):
        return None
    add_parts(model, one.stage, draws)
    return sum(value.numel() * value.element_size() for value in model.state_of(one.stage.trainable).values())


def store_lines(
    stages: Mapping[str, DistinctStage], trials: Iterable[Trial], indexes: Mapping[str, WindowIndex], keep: Keep
) -> tuple[str, ...]:
    """A line on the bytes that the weights of a plan's stages take: if all are kept, and as the study says.

    Args:
        stages: every distinct stage by its hash (``raylab.runs.stage_timing.survey``).
        indexes: the key of each dataset's windows to their index.
    """
    sizes: dict[tuple[object, ...], int | None] = {}
    of_stage: dict[str, int | None] = {}
    for key, one in stages.items():
        shape = (
            one.trial.windows,
            one.trial.channels,
            one.trial.label,
            one.trial.model,
            one.trial.technique,
            one.shape.stage,
            *one.stage.trainable,
        )
        if shape not in sizes:
            sizes[shape] = _stage_bytes(one, indexes[one.trial.windows])
        of_stage[key] = sizes[shape]
    total = sum(size or 0 for size in of_stage.values())
    kept = {"all": set(of_stage), "bases": bases((trial.technique, trial.stages) for trial in trials), "none": set()}[keep]
    stay = sum(of_stage[key] or 0 for key in kept & of_stage.keys())
    classical = sum(size is None for size in of_stage.values())
    return (
        f"weights: {total / MIB:,.1f} MiB if all {len(of_stage)} stages are kept; with keep: {keep} {stay / MIB:,.1f} MiB stay"
        + (f" ({classical} stages of classical models are not counted)" if classical else ""),
    )
