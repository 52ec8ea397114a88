"""A trial of a run to a model file."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import analysis
from raylab.errors import RaylabError
from raylab.live.core.model_file import CalibrationCard, LiveModel, ModelCard, ModelChannel, draws_of, write_model
from raylab.models.build import build_model
from raylab.models.network import PARTS
from raylab.models.registry import batch_size
from raylab.recordings import DATASETS
from raylab.runs.folder import SEARCH, RunFolder
from raylab.runs.run import indexes_of
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import Calibration
from raylab.techniques.stage import Stage
from raylab.training.protocol import resolve
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.trials.compatibility import technique_problem
from raylab.trials.hyperparameter_search import choose
from raylab.trials.plan import plan, stages_of
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex

SHOWN = 12
LIVE_BUDGET = 1  # decides nothing here: a stage's hyperparameters do not depend on its budget


def _record(run: RunFolder, asked: str) -> dict[str, Any]:
    """The finished trial whose key begins like this.

    Raises:
        RaylabError: naming the trials there are.
    """
    records = {row["trial"]: row for row in run.records()}
    found = [key for key in records if asked and key.startswith(asked)]
    if len(found) == 1 and records[found[0]]["status"] == "ok":
        return records[found[0]]
    if len(found) == 1:
        record = records[found[0]]
        raise RaylabError(
            f"trial {found[0]} is {record['status']} ({record.get('error')}); only a trial that is ok has a model"
        )
    fitting = found or list(records)
    columns = ("dataset", "label", "model", "technique", "variant", "participant", "seed")
    listed = [f"  {key}: {' '.join(str(records[key][name]) for name in columns)}" for key in sorted(fitting)[:SHOWN]]
    more = [f"  and {len(fitting) - SHOWN} more, see trials.parquet"] if len(fitting) > SHOWN else []
    what = f"{len(found)} trials begin with {asked!r}" if found else f"{run.uri} has no finished trial {asked!r}"
    raise RaylabError("\n".join([f"{what}; give one of:", *listed, *more]))


def _planned(run: RunFolder, study: Study, indexes: dict[str, WindowIndex], key: str) -> Trial:
    """The trial as the study plans it.

    Raises:
        RaylabError: where the plan has it no more: windows or study have changed since it ran.
    """
    chosen = None
    if study.search:
        searched = analysis.score(analysis.load(run.folder.sub(SEARCH).uri), "published")
        chosen = choose(study, study.search, indexes, searched)
    for trial in plan(study, indexes, chosen):
        if trial.key == key:
            return trial
    raise RaylabError(
        f"trial {key} is not in the plan of {run.uri} and its windows: they were prepared anew or raylab has changed since; run the study again"
    )


def _refuse_not_causal(index: WindowIndex) -> None:
    settings = index.card.preprocessing
    if settings.normalization != settings.causal:
        raise RaylabError(
            f"{index.name} was normalized by {settings.normalization!r}, which uses what a stream has not brought yet: live numbers would not be "
            f"those of the study. Prepare it with --normalization {settings.causal} and run the study on that"
        )


def _calibration(trial: Trial) -> tuple[CalibrationCard | None, str]:
    """What the wearer's marks can train, or why nothing."""
    own = TECHNIQUES[trial.technique].stages(trial.variant)
    if type(own[-1].windows) is Calibration:  # not its subclass, which trains on everyone else too
        return _card(trial, own[-1], {str(trial.variant.get("layers", "all")): own[-1].trainable}), ""
    if trial.technique != "non_personalized":
        return (
            None,
            f"{trial.technique} has no stage that trains on the wearer's windows alone; export fine_tuning or non_personalized",
        )
    tuned = TECHNIQUES["fine_tuning"]
    variants = [{**tuned.variants({})[0], "layers": layers, "budget": LIVE_BUDGET} for layers in ("all", "last")]
    if refused := technique_problem(trial.model, "fine_tuning", variants[0]):
        return None, refused
    stages = {str(variant["layers"]): tuned.stages(variant)[-1] for variant in variants}
    return _card(trial, stages["all"], {layers: stage.trainable for layers, stage in stages.items()}), ""


def _card(trial: Trial, stage: Stage, trainable: dict[str, tuple[str, ...]]) -> CalibrationCard:
    hyper = resolve(trial.protocol, stage.name, stage.overrides, batch_size(trial.model.encoder))
    return CalibrationCard(stage=stage.name, trainable=trainable, hyper=hyper.as_dict())


def _sentences(index: WindowIndex, channels: tuple[str, ...]) -> tuple[str, ...]:
    """The sentences that a recognizer may hear, if words are among the channels and the dataset declares them."""
    dataset = DATASETS.get(index.name)
    units = {channel.unit for channel in index.card.channels if channel.name in channels}
    return tuple(text for unit, texts in dataset.sentences.items() if unit in units for text in texts) if dataset else ()


def _weights(run: RunFolder, trial: Trial, subject: TrainingContext, stages: tuple[PlannedStage, ...]) -> tuple[Any, Any]:
    """The model's weights, and those of the parts that its calibration trained as they were before."""
    network = build_model(subject.model, subject.shapes, subject.n_classes, subject.adapter, subject.fold.draws)
    calibrates = type(TECHNIQUES[trial.technique].stages(trial.variant)[-1].windows) is Calibration
    before: Any = {}
    for stage in stages:
        state = run.store.load(stage.hash)
        if state is None:
            raise RaylabError(
                f"{run.uri}: the weights of stage {stage.name} ({stage.hash}) are missing or damaged; run the study again"
            )
        if calibrates and stage is stages[-1]:
            before = {name: value.clone() for name, value in network.state_of(stage.trainable).items()}
        network.load_parts(state)
    return network.state_of(PARTS), before


def export(where: str, asked: str, out: Path, windows: str | None = None) -> LiveModel:
    """Write the model of a finished trial to a file.

    Args:
        where: the run folder. ``asked``: the trial's key, or its beginning.
        windows: the folder that the study's windows are in; where the run found them unless given.

    Raises:
        RaylabError: where there is no such trial, its weights are gone, or its windows were normalized by what a stream does not have.
    """
    run = RunFolder(where)
    record = _record(run, asked)
    origin = run.folder.read_json("provenance.json")
    study = parse_study(yaml.safe_load(run.folder.read("study.yaml")), f"{run.uri}/study.yaml")
    indexes = indexes_of(study, windows or str(origin["windows"]))
    trial = _planned(run, study, indexes, record["trial"])
    index = indexes[trial.windows]
    _refuse_not_causal(index)
    subject, stages = stages_of(trial, index)
    weights, before = _weights(run, trial, subject, stages)
    calibration, why_not = _calibration(trial)
    last = np.concatenate([stages[-1].train, stages[-1].validation])
    channels = {channel.name: channel for channel in index.card.channels}
    card = ModelCard(
        format=1,
        raylab=version("raylab"),
        commit=str(origin.get("commit") or ""),
        study=study.name,
        trial=trial.key,
        dataset=trial.dataset,
        reader=index.name,
        label=trial.label,
        classes=index.classes(trial.label),
        model=trial.model.as_dict(),
        technique=trial.technique,
        variant=str(trial.labels["variant"]),
        adapter=subject.adapter,
        participant=trial.target,
        people=len(np.unique(index.participant_index[last])),
        seed=trial.seed,
        draws=draws_of(subject.fold.draws),
        stages=trial.stages,
        channels=tuple(ModelChannel(**dict(channels[name])) for name in trial.channels),  # in the order of the towers
        preprocessing=index.card.preprocessing.as_dict(),
        options=index.card.options,
        fingerprint=index.fingerprint,
        n_test=int(record["n_test"]),
        auroc=record["auroc"],
        caution=index.card.caution,
        licence=index.card.licence,
        calibration=calibration,
        no_calibration=why_not,
        sentences=_sentences(index, trial.channels),
    )
    model = LiveModel(card, weights, before)
    write_model(model, out)
    return model
