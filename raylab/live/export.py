"""Export of a trial's model from a run folder to a model file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import analysis
from raylab import __version__
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.live.core.model_card import CalibrationCard, ModelCard, ModelChannel
from raylab.live.core.model_file import LiveModel, write_model
from raylab.models.build import build_model
from raylab.models.network import PARTS
from raylab.models.registry import CLASSICAL_MODELS, batch_size
from raylab.models.scikit_learn import ScikitLearnModel
from raylab.recordings import DATASETS
from raylab.runs.folder import SEARCH, RunFolder
from raylab.runs.run import indexes_of
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import Calibration
from raylab.techniques.stage import Stage
from raylab.training.protocol import resolve
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import StageStore
from raylab.training.staged_model import without_asked
from raylab.trials.compatibility import technique_problem
from raylab.trials.hyperparameter_search import choose
from raylab.trials.plan import plan, stages_of
from raylab.trials.run_stack import run_stack
from raylab.trials.run_trial import Outcome
from raylab.trials.stacks import Unit, units_of
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial
from raylab.windows.cross_corpus import Kept, open_windows
from raylab.windows.dataset import WindowIndex
from raylab.yaml_file import decode, parse_yaml

MAX_LISTED = 12
LIVE_BUDGET = 1  # decides nothing here: a stage's hyperparameters do not depend on its budget


def _finished_record(run: RunFolder, prefix: str) -> dict[str, Any]:
    """The record of the finished trial whose key begins with the prefix.

    Raises:
        RaylabError: naming the trials that exist.
    """
    records = {row["trial"]: row for row in run.records()}
    matches = [key for key in records if prefix and key.startswith(prefix)]
    if len(matches) == 1 and records[matches[0]]["status"] == "ok":
        return records[matches[0]]
    if len(matches) == 1:
        record = records[matches[0]]
        raise RaylabError(
            f"trial {matches[0]} is {record['status']} ({record.get('error')}); only a trial that is ok has a model"
        )
    candidates = matches or list(records)
    columns = ("dataset", "label", "model", "technique", "variant", "participant", "seed")
    listed = [f"  {key}: {' '.join(str(records[key][name]) for name in columns)}" for key in sorted(candidates)[:MAX_LISTED]]
    more = [f"  and {len(candidates) - MAX_LISTED} more, see trials.parquet"] if len(candidates) > MAX_LISTED else []
    problem = f"{len(matches)} trials begin with {prefix!r}" if matches else f"{run.uri} has no finished trial {prefix!r}"
    raise RaylabError("\n".join([f"{problem}; give one of:", *listed, *more]))


def _planned_unit(run: RunFolder, study: Study, indexes: dict[str, WindowIndex], key: str) -> Unit:
    """The trial as the study plans it, with those that its stages are trained beside.

    Raises:
        RaylabError: if it is no longer in the plan: windows or study have changed since it ran.
    """
    hyperparameters = None
    if study.search:
        scores = analysis.score(analysis.load(run.folder.sub(SEARCH).uri), "published")
        hyperparameters = choose(study, study.search, indexes, scores)
    trials = list(plan(study, indexes, hyperparameters))
    if own := [trial for trial in trials if trial.key == key]:
        return units_of(trials, own)[0]
    raise RaylabError(
        f"trial {key} is not in the plan of {run.uri} and its windows: they were prepared anew or raylab has changed since; run the study again"
    )


def require_causal(index: WindowIndex, channels: tuple[str, ...]) -> None:
    """Refuse windows that a stream does not have, such as those whose normalization used later samples, and models of features, which are
    not computed from a stream.

    Args:
        channels: that the model sees.

    Raises:
        RaylabError: with the option that prepares others, or the channels of features.
    """
    if features := [name for name in channels if name not in index.card.signal_channels]:
        raise RaylabError(
            f"the model sees {', '.join(features)}, and features are not computed from a stream yet: export a model of the signals themselves"
        )
    settings = index.card.preprocessing
    if settings.kind == "signals" and settings.detrend == "running_median":
        raise RaylabError(
            f"{index.name} was detrended by a running median, which a stream does not have. Prepare it with --detrend high_pass (or none) and run "
            "the study on that"
        )
    if settings.normalization == settings.causal and not settings.can_stream:
        raise RaylabError(
            f"{index.name} was scaled by its z-score, and a stream has the running minimum and maximum only. Prepare it with --normalization "
            f"{settings.causal} --scale minmax and run the study on that"
        )
    if not settings.can_stream:
        raise RaylabError(
            f"{index.name} was normalized by {settings.normalization!r}, which uses what a stream has not brought yet: live numbers would not be "
            f"those of the study. Prepare it with --normalization {settings.causal} and run the study on that"
        )


def require_exportable(trial: Trial) -> None:
    """Refuse techniques whose predictions are of several models, or of one that was decided on for the target alone, and those whose models are
    more than the study's networks and classical models: a model file holds one of those.

    Raises:
        RaylabError: naming the trial, with the reason.
    """
    technique = TECHNIQUES[trial.technique]
    named = f"trial {trial.key} is of {technique.table_name} {trial.labels['variant']}"
    if not technique.attainable or technique.pseudo_groups:
        raise RaylabError(f"{named}, which has no one model to export; export a trial of fine_tuning or adaptive")
    require_arrays(trial.model.encoder)
    for stage in technique.stages(trial.variant):
        why = ""
        if stage.adds:
            why = f"adds the part {', '.join(stage.adds)} to the network"
        elif stage.method.reads_at_prediction:
            why = "predicts each window with other windows of the person beside it"
        elif stage.method.classical and trial.model.encoder in CLASSICAL_MODELS:
            why = f"puts another decision in the place of {trial.model.encoder}'s"
        if why:
            raise RaylabError(
                f"{named}, which {why}: a model file cannot hold that yet; export a trial of fine_tuning or non_personalized"
            )


def require_arrays(model: str) -> None:
    """Refuse a model whose stages hold windows in place of what was learned of them.

    Raises:
        RaylabError: naming the model.
    """
    if isinstance(CLASSICAL_MODELS.get(model), ScikitLearnModel):
        raise RaylabError(
            f"{model} is a classifier of scikit-learn by a plugin, which is stored as the windows that it was fitted on, and a model file holds "
            "nobody's windows; take lda, logistic, ridge, random_forest, gradient_boosting, svm or a network"
        )


def _target_windows(stages: tuple[PlannedStage, ...], record: dict[str, Any], index: WindowIndex, trial: Trial) -> int:
    """Windows of the target that were trained on: those that were asked for, if a stage asks."""
    if any(stage.asks for stage in stages):
        return int(record["labels_used"])
    rows = np.unique(np.concatenate([rows for stage in stages for rows in (stage.train, stage.validation)]))
    return int((np.asarray(index.participants)[index.participant_index[rows]] == trial.target).sum())


def calibration_of(trial: Trial) -> tuple[CalibrationCard | None, str]:
    """The stage that the wearer's marks can train, or None and the reason."""
    stages = TECHNIQUES[trial.technique].stages(trial.variant)
    classical = trial.model.encoder in CLASSICAL_MODELS
    if classical and type(stages[-1].windows) is Calibration:
        return (
            None,
            f"{trial.model.encoder} of {trial.technique} is fitted at once on the calibration windows of {trial.target}, and is nothing before; "
            "export a network of fine_tuning or non_personalized",
        )
    if is_wearers(stages[-1]):
        return _calibration_card(trial, stages[-1], {str(trial.variant.get("layers", "all")): stages[-1].trainable}), ""
    if trial.technique != "non_personalized":
        return (
            None,
            f"{trial.technique} has no stage that trains on the wearer's windows alone; export fine_tuning or non_personalized",
        )
    fine_tuning = TECHNIQUES["fine_tuning"]
    variants = [{**fine_tuning.variants({})[0], "layers": layers, "budget": LIVE_BUDGET} for layers in ("all", "last")]
    if problem := technique_problem(trial.model, "fine_tuning", variants[0]):
        return None, problem
    last_stages = {str(variant["layers"]): fine_tuning.stages(variant)[-1] for variant in variants}
    trainable = {layers: stage.trainable for layers, stage in last_stages.items()}
    return _calibration_card(trial, last_stages["all"], trainable), ""


def is_wearers(stage: Stage) -> bool:
    """Whether it is a stage that a wearer's marked windows can train: on nothing else (a subclass looks at others too), and whole parts."""
    return type(stage.windows) is Calibration and set(stage.trainable) <= set(PARTS)


def _calibration_card(trial: Trial, stage: Stage, trainable: dict[str, tuple[str, ...]]) -> CalibrationCard:
    hyper = resolve(trial.protocol, stage.name, stage.overrides, batch_size(trial.model.encoder))
    return CalibrationCard(stage=stage.name, trainable=trainable, hyper=hyper.as_dict())


def sentences_of(index: WindowIndex, channels: tuple[str, ...]) -> tuple[str, ...]:
    """The sentences that a recognizer may hear, if words are among the channels and the dataset declares them."""
    dataset = DATASETS.get(index.name)
    units = {channel.unit for channel in index.card.channels if channel.name in channels}
    return tuple(text for unit, texts in dataset.sentences.items() if unit in units for text in texts) if dataset else ()


@contextmanager
def _stages_of_run(run: RunFolder, unit: Unit, root: str, kept: Kept) -> Iterator[StageStore]:
    """A store with all stages of the trial: the run's own if it has them, else one in which those that it did not keep are trained again. The run
    folder is only read.

    Args:
        unit: of the trial alone.
        root: folder of the study's windows.
        kept: where the study has their signals.

    Raises:
        RaylabError: if a stage cannot be trained again.
    """
    (trial,) = unit.trials
    stored = {stage: run.store.load(stage) for stage in trial.stages}
    if all(state is not None for state in stored.values()):
        yield run.store
        return
    with TemporaryDirectory(prefix="raylab-export-") as folder:
        store = StageStore(Folder(folder))
        for stage, state in stored.items():
            if state is not None:
                store.save(stage, state)
        outcomes: list[Outcome] = []
        run_stack(unit, open_windows(root, trial.windows, kept), store, outcomes.append)
        (outcome,) = outcomes
        if outcome.status != "ok":
            raise RaylabError(
                f"{run.uri}: the weights of trial {trial.key} were not kept, and training them again failed: {outcome.record['error']}"
            )
        yield store


def _load_weights(
    run: RunFolder, unit: Unit, context: TrainingContext, stages: tuple[PlannedStage, ...], root: str, kept: Kept
) -> tuple[Any, Any]:
    """The model's weights, and the weights of the parts that its calibration trained, before that calibration.

    Raises:
        RaylabError: if a model file cannot hold the model, or if the weights of a stage are gone and cannot be trained again.
    """
    (trial,) = unit.trials
    require_exportable(trial)
    network = build_model(context.model, context.shapes, context.n_classes, context.adapter, context.fold.draws)
    calibrates = is_wearers(TECHNIQUES[trial.technique].stages(trial.variant)[-1])
    weights_before: Any = {}
    with _stages_of_run(run, unit, root, kept) as store:
        for stage in stages:
            if calibrates and stage is stages[-1]:
                weights_before = {name: value.clone() for name, value in network.state_of(stage.trainable).items()}
            network.load_parts(without_asked(store.load(stage.hash) or {}))
    return network.state_of(PARTS), weights_before


def windows_fields(index: WindowIndex, trial: Trial, context: TrainingContext) -> dict[str, Any]:
    """What a card says of the windows, the model's form and its calibration, whoever trained it."""
    channels = {channel.name: channel for channel in index.card.channels}
    calibration, no_calibration = calibration_of(trial)
    return {
        "format": 1,
        "raylab": __version__,
        "dataset": trial.dataset,
        "reader": index.name,
        "label": trial.label,
        "classes": index.classes(trial.label),
        "model": trial.model.as_dict(),
        "adapter": context.adapter,
        "seed": trial.seed,
        "draws": asdict(context.fold.draws),
        "channels": tuple(ModelChannel(**channels[name].model_dump()) for name in trial.channels),  # in the order of the towers
        "preprocessing": index.card.preprocessing.as_dict(),
        "options": index.card.options,
        "fingerprint": index.fingerprint,
        "caution": index.card.caution,
        "licence": index.card.licence,
        "calibration": calibration,
        "no_calibration": no_calibration,
        "sentences": sentences_of(index, trial.channels),
    }


def export(run_folder: str, key: str, out: Path, windows: str | None = None) -> LiveModel:
    """Write the model of a finished trial to a file.

    Args:
        run_folder: a path or a URI.
        key: of the trial, or the beginning of its key.
        windows: folder of the study's windows; the one that the run read unless given.

    Raises:
        RaylabError: if there is no such trial, its weights are gone, or the normalization of its windows used later samples.
    """
    run = RunFolder(run_folder)
    record = _finished_record(run, key)
    provenance, source = run.folder.read_json("provenance.json"), f"{run.uri}/study.yaml"
    study = parse_study(parse_yaml(decode(run.folder.read("study.yaml"), source), source), source)
    root = windows or str(provenance["windows"])
    indexes = indexes_of(study, root)
    unit = _planned_unit(run, study, indexes, record["trial"])
    (trial,) = unit.trials
    index = indexes[trial.windows]
    require_causal(index, trial.channels)
    context, stages = stages_of(trial, index)
    weights, weights_before = _load_weights(run, unit, context, stages, root, study.resources.windows)
    rows = np.unique(np.concatenate([rows for stage in stages for rows in (stage.train, stage.validation)]))
    card = ModelCard(
        **windows_fields(index, trial, context),
        commit=str(provenance.get("commit") or ""),
        study=study.name,
        trial=trial.key,
        technique=trial.technique,
        variant=str(trial.labels["variant"]),
        participant=trial.target,
        people=len(np.unique(index.participant_index[rows])),
        target_windows=_target_windows(stages, record, index, trial),
        stages=trial.stages,
        n_test=int(record["n_test"]),
        auroc=record["auroc"],
    )
    write_model(model := LiveModel(card, weights, weights_before), out)
    return model
