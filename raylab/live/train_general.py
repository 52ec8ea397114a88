"""The model for people who are yet to come: trained on everyone of a dataset, with the study's own estimate of how it will do on a new person.

A study's trials hold one person out each, and tell how a model does on somebody it has not seen. The model to use then is none of theirs: it
is trained in the same way on all people, nobody held out, and so on slightly more of them than the estimate is of.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import analysis
from raylab.errors import RaylabError
from raylab.live.core.model_card import ModelCard, NewPersonEstimate
from raylab.live.core.model_file import LiveModel, write_model
from raylab.live.export import is_wearers, require_arrays, require_causal, windows_fields
from raylab.models.build import build_model
from raylab.models.network import PARTS
from raylab.runs.folder import RunFolder
from raylab.runs.run import indexes_of
from raylab.techniques.registry import REFERENCE_TECHNIQUE, TECHNIQUES
from raylab.techniques.selection import EveryoneElse
from raylab.training.batches import Signals
from raylab.training.channel_choice import choose_channels
from raylab.training.loop import train
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages
from raylab.trials.plan import plan, training_context
from raylab.trials.run_trial import one_thread
from raylab.trials.study import parse_study
from raylab.trials.trial import Trial
from raylab.windows.cross_corpus import open_windows
from raylab.windows.dataset import Windows
from raylab.yaml_file import decode, parse_yaml

NOBODY = ""  # the target of a fold that holds nobody out: no participant has this name


def train_general(
    run_folder: str,
    model: str,
    technique: str,
    out: Path,
    wanted: dict[str, str],
    windows: str | None = None,
    log: Callable[[str], None] = print,
) -> LiveModel:
    """Train on everyone and write the model to a file, whose card has the estimate and the recipe of the technique's calibration.

    Args:
        run_folder: of the study, a path or a URI; its results are the estimate.
        model, technique: as tables name them.
        wanted: what else tells the study's entries apart, if there are several: dataset, label, variant.
        windows: folder of the study's windows; the one that the run read unless given.

    Raises:
        RaylabError: if the run has no, or more than one, such entry; if its technique learns from the target in training; or if its windows cannot
            be had from a stream.
    """
    run = RunFolder(run_folder)
    provenance, source = run.folder.read_json("provenance.json"), f"{run.uri}/study.yaml"
    study = parse_study(parse_yaml(decode(run.folder.read("study.yaml"), source), source), source)
    if study.search:
        raise RaylabError(
            "this study searches hyperparameters for each fold, so there are none for everyone: give those to use in a study without search"
        )
    root = windows or str(provenance["windows"])
    trial = _entry(list(plan(study, indexes_of(study, root))), {"model": model, "technique": technique, **wanted})
    require_arrays(trial.model.encoder)
    data = open_windows(root, trial.windows, study.resources.windows)
    require_causal(data.index, trial.channels)
    context, stage = general_stage(trial, data)
    estimates = estimates_of(run.uri, trial, study.primary_metric)
    people = len(np.unique(context.fold.index.participant_index[stage.learned_from]))
    log(
        f"{trial.labels['model']}: {people} people of {trial.dataset}, {len(stage.train)} windows to train and {len(stage.validation)} to validate on"
    )
    weights = trained_weights(context, stage, data, trial)
    card = _card(trial, context, stage, data, estimates, study.name, str(provenance.get("commit") or ""))
    written = LiveModel(card, weights, {})
    write_model(written, out)
    return written


def _entry(trials: list[Trial], wanted: dict[str, str]) -> Trial:
    """A trial of the one entry of the study that has these labels.

    Raises:
        RaylabError: naming the entries that there are.
    """
    matching = [trial for trial in trials if all(str(trial.labels[name]) == value for name, value in wanted.items())]
    names = ("dataset", "label", "model", "technique", "variant")
    entries = {tuple(str(trial.labels[name]) for name in names): trial for trial in reversed(matching)}
    if len(entries) == 1:
        return next(iter(entries.values()))
    listed = sorted(entries or {tuple(str(trial.labels[name]) for name in names) for trial in trials})
    problem = f"{len(entries)} entries of the study fit" if entries else "no entry of the study fits"
    given = ", ".join(f"{name} {value}" for name, value in wanted.items())
    raise RaylabError(
        "\n".join(
            [
                f"{problem} ({given}); give --dataset, --label or --variant too. There are:",
                *(f"  {' / '.join(row)}" for row in listed),
            ]
        )
    )


def general_stage(trial: Trial, windows: Windows) -> tuple[TrainingContext, PlannedStage]:
    """The context in which nobody is held out, and the stage that trains on everyone.

    Raises:
        RaylabError: if the technique trains on anything of the target but in a last stage that a wearer's marked windows can train.
    """
    technique = TECHNIQUES[trial.technique]
    first, *others = technique.stages(trial.variant)
    if (
        type(first.windows) is not EveryoneElse
        or first.adds
        or trial.shares
        or not all(map(is_wearers, others))
        or len(others) > 1
    ):
        raise RaylabError(
            f"{technique.table_name} learns from each target before it is tested, so there is no one model of it for everyone; train "
            "non_personalized or fine_tuning, which wearers calibrate"
        )
    context = training_context(replace(trial, target=NOBODY, held_out_with=()), windows.index)
    (stage,) = plan_stages(context, [first], trial.protocol)
    return context, stage


def trained_weights(context: TrainingContext, stage: PlannedStage, windows: Windows, trial: Trial) -> dict[str, torch.Tensor]:
    """The weights of a stage that is trained here and now, equal to the bit on one type of processor."""
    signals, fold, device = (
        Signals(windows.signals, windows.lengths).channels(trial.channels),
        context.fold,
        torch.device("cpu"),
    )
    with one_thread():
        network = build_model(context.model, context.shapes, context.n_classes, context.adapter, fold.draws, context.precision)
        if context.model.chooses_channels:
            network.select_channels(choose_channels(signals, fold, stage))
        train(network, signals, fold.y, stage, fold.draws, device, people=fold.index.participant_index)
        return dict(network.state_of(PARTS))


def estimates_of(run: str, trial: Trial, metric: str) -> tuple[NewPersonEstimate, ...]:
    """How the study's models did on people whom they had not seen: without personalization, and with the trial's technique.

    Raises:
        RaylabError: if no trial of either has ended well.
    """
    scores = analysis.score(analysis.load(run))
    own = scores[scores["against"].eq("")]
    estimates = []
    names = {name: trial.labels[name] for name in ("dataset", "label", "model")}
    for technique, variant in dict.fromkeys([(REFERENCE_TECHNIQUE, "-"), (trial.technique, str(trial.labels["variant"]))]):
        rows = own[np.logical_and.reduce([own[name].eq(value) for name, value in names.items()])]
        rows = rows[rows["technique"].eq(technique) & rows["variant"].eq(variant)]
        people = rows.groupby("participant", observed=True)[metric].mean().dropna()
        if len(people):
            values = {
                "mean": people.mean(),
                "sd": people.std(ddof=1) if len(people) > 1 else None,
                "low": people.min(),
                "high": people.max(),
            }
            estimates.append(NewPersonEstimate(technique=technique, variant=variant, metric=metric, n=len(people), **values))
    if not estimates:
        raise RaylabError(
            f"{run} has no score of {names['model']} on {names['dataset']} yet, so nothing tells how it will do: run the study first"
        )
    return tuple(estimates)


def _card(
    trial: Trial,
    context: TrainingContext,
    stage: PlannedStage,
    windows: Windows,
    estimates: tuple[NewPersonEstimate, ...],
    study: str,
    commit: str,
) -> ModelCard:
    return ModelCard(
        **windows_fields(windows.index, trial, context),
        commit=commit,
        study=study,
        trial=stage.hash,
        technique=REFERENCE_TECHNIQUE,
        variant="-",
        participant=NOBODY,
        people=len(np.unique(context.fold.index.participant_index[stage.learned_from])),
        target_windows=0,
        stages=(stage.hash,),
        n_test=0,
        auroc=None,
        estimates=estimates,
    )
