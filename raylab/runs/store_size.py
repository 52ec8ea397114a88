"""How much room the weights of a study take, before it runs: from the shapes of its networks."""

from collections.abc import Iterable, Mapping

import torch

from raylab.models.build import build_model
from raylab.models.estimators import Estimator
from raylab.runs.stage_lifetime import bases
from raylab.training.loop import add_parts
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import stage_file
from raylab.training.staged_model import ASKED
from raylab.trials.plan import stages_of
from raylab.trials.resources import mib
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex


def _file_size(context: TrainingContext, stage: PlannedStage) -> int | None:
    """Bytes of a stage's file, at most; None of a classical model, which tells when it is fitted."""
    draws = context.fold.draws
    model = build_model(context.model, context.shapes, context.n_classes, context.adapter, draws)
    if isinstance(model, Estimator):
        return None
    add_parts(model, stage, draws)
    asked = {ASKED: torch.zeros(len(stage.train), dtype=torch.int64)} if stage.asks else {}
    return len(stage_file(model.state_of(stage.trainable) | asked))


def stage_sizes(trials: Iterable[Trial], indexes: Mapping[str, WindowIndex]) -> dict[str, int | None]:
    """Bytes of each stage's file, at most, by its hash; None of a classical model's.

    One trial of each dataset, model and variant is planned: those of the others have the same shapes, stage by stage.

    Args:
        trials: of a plan.
        indexes: the key of each dataset's windows to their index.

    Returns:
        All stages of these trials.
    """
    of_kind: dict[tuple[object, ...], list[int | None]] = {}
    sizes: dict[str, int | None] = {}
    for trial in trials:
        if not trial.stages:
            continue
        variant = tuple(sorted(trial.variant.items()))
        kind = (trial.windows, trial.channels, trial.label, trial.model, trial.technique, variant, len(trial.stages))
        if kind not in of_kind:
            context, stages = stages_of(trial, indexes[trial.windows])
            of_kind[kind] = [_file_size(context, stage) for stage in stages]
        sizes.update(zip(trial.stages, of_kind[kind], strict=True))
    return sizes


def store_lines(study: Study, trials: Iterable[Trial], sizes: Mapping[str, int | None], problem: str = "") -> tuple[str, ...]:
    """Lines on the bytes that the weights of a plan's stages take: if all are kept, as the study says, and beside its quota.

    Args:
        sizes: of ``stage_sizes`` for these trials.
        problem: why a run would not start with the study's quota.
    """
    kept = bases((trial.technique, trial.stages) for trial in trials)
    stay = _total(sizes, {"all": sizes.keys(), "bases": kept, "none": ()}[study.keep])
    classical = sum(size is None for size in sizes.values())
    return (
        f"weights: {mib(_total(sizes, sizes))} if all {len(sizes)} stages are kept; with keep: {study.keep} {mib(stay)} stay"
        + (f" ({classical} stages of classical models are not counted)" if classical else ""),
        *_quota_lines(study, sizes, kept, problem),
    )


def _quota_lines(study: Study, sizes: Mapping[str, int | None], kept: set[str], problem: str) -> tuple[str, ...]:
    quota, wanted = study.resources.quota, _total(sizes, sizes if study.keep == "all" else kept)
    if quota is None:
        return ()
    if problem:
        return (problem,)
    if wanted <= quota:
        return (f"  quota {mib(quota)} (resources.stage_store): all that is stored fits, {mib(wanted)}",)
    return (
        f"  quota {mib(quota)} (resources.stage_store): less than the {mib(wanted)} of all {len(kept)} bases, so those go whose trials have ended",
    )


def _total(sizes: Mapping[str, int | None], stages: Iterable[str]) -> int:
    return sum(sizes.get(stage) or 0 for stage in stages)
