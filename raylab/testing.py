"""The tests that raylab's own techniques pass, as functions, for techniques of plugins (docs/extend.md)."""

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from raylab.files import Folder
from raylab.folds.fold import NO_ROWS, Fold, RowIds
from raylab.models.network import ADDED, PARTS, WITHIN_TRUNK, ModelSpec, Network, build
from raylab.techniques.method import AnchoredHead, ClassMeans, Contrastive, EntropyMinimization, NormStatistics
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import TARGET_LABELS, TARGET_SIGNALS, Calibration
from raylab.techniques.similarity import unlabelled
from raylab.techniques.stage import AUTO, Stage, Technique, Variant
from raylab.training.batches import Signals
from raylab.training.loop import add_parts, predict, reader_of, train
from raylab.training.protocol import Protocol, StageProtocol
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages
from raylab.training.stage_store import StageStore
from raylab.training.stage_tree import path_to, predicted_parts
from raylab.trials.plan import plan, stages_of
from raylab.trials.run_trial import Outcome, run_trial
from raylab.trials.study import parse_study
from raylab.trials.trial import Trial
from raylab.windows.card import LabelCard, ParticipantCard, WindowsCard
from raylab.windows.channel_card import ChannelCard
from raylab.windows.dataset import WindowIndex, Windows
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import NO_LABEL, statistics

PROTOCOL = Protocol(epochs=2, batch_size=16, stages={"pretrain": StageProtocol(epochs=1)})
WIDTH = 1 / 16
LABEL = "stress"
State = dict[str, torch.Tensor]  # of a network, by the names of its weights


def simulated_windows(people: int = 8, seed: int = 0, runs: int = 2, run: int = 8) -> Windows:
    """A simulated cohort for tests: two channels of noise plus the class, traits of age and gender, and in the middle of each person's time a
    window without a label.

    Args:
        people: participants, named P1, P2, ...
        runs: runs of each of the two classes, in turn.
        run: windows of a run; one starts every 5 s and lasts 10 s.
        seed: of the noise.

    Returns:
        windows of the label ``stress`` with the channels ``a`` (n, 8, 1) and ``b`` (n, 16, 1).

    Units:
        signals have none; times in seconds, age in years.

    Source:
        ours, for tests: nothing in it is of a person.
    """
    rng = np.random.default_rng(seed)
    names = [f"P{i}" for i in range(1, people + 1)]
    labels = np.repeat(np.arange(2 * runs) % 2, run)
    labels = np.insert(labels, len(labels) // 2, NO_LABEL)
    y = np.tile(labels, people).astype(np.int8)
    person = np.repeat(np.arange(people, dtype=np.int32), len(labels))
    position = np.tile(np.arange(len(labels)), people)
    signals = {
        name: (rng.normal(0, 1, (len(y), length, 1)) + y[:, None, None]).astype(np.float32)
        for name, length in (("a", 8), ("b", 16))
    }
    traits: list[dict[str, Any]] = [
        {"age": float(20 + 5 * i % 37), "gender": "female" if i % 2 else "male"} for i in range(people)
    ]
    card = _card({name: values.shape[1] for name, values in signals.items()}, dict(zip(names, traits, strict=True)))
    card = card.changed(fingerprint=f"simulated-{people}-{seed}-{runs}-{run}")
    index = WindowIndex(
        card,
        tuple(names),
        (person * 1_000_000 + position).astype(np.int64),
        person,
        np.zeros(len(y), np.int32),
        position * 5.0,
        {LABEL: y},
        {name: statistics(values) for name, values in signals.items()},
    )
    return Windows(index, signals)


def _card(lengths: Mapping[str, int], traits: Mapping[str, Mapping[str, Any]]) -> WindowsCard:
    """The card of the cohort: channel to steps of a window of 10 s, participant to traits."""
    counts = {LABEL: dict.fromkeys(("rest", "stress"), 0)}
    one = {"modality": "a.u.", "unit": "a.u.", "n_features": 1, "variable": False}
    return WindowsCard(
        format=1,
        dataset="simulated_test",
        raylab="0",
        caution="simulated",
        licence="none",
        citation="none",
        options={},
        preprocessing=Preprocessing(),
        labels=(LabelCard(name=LABEL, classes=("rest", "stress"), decide="mode"),),
        channels=tuple(
            ChannelCard.model_validate({"name": name, "recorded_hz": n / 10, "rate_hz": n / 10, "length": n, **one})
            for name, n in lengths.items()
        ),
        similarity_traits=("age", "gender"),
        participants=tuple(
            ParticipantCard(name=name, windows=0, duration_s=0.0, counts=counts, traits=dict(values), fingerprint="simulated")
            for name, values in traits.items()
        ),
        fingerprint="simulated",
    )


def check_technique(technique: Technique, encoders: Sequence[str] = ("fcn",), windows: Windows | None = None) -> None:
    """The test of raylab's own techniques, for one that is in the table (``raylab.plugins.enter_files`` enters a plugin's).

    On a simulated cohort, for every variant that runs unless a study names others: each stage moves the parts that it frees and no other, and
    receives the windows that it names and no other; no window of the target in a stage that needs no label of it; none that is tested was
    trained on, or shares samples with one that was.

    Args:
        technique: as it is in the table.
        encoders: the first variant's stages are trained with each of them.
        windows: other windows, with traits and the label ``stress``.

    Raises:
        AssertionError: saying what was expected.

    Units:
        as the windows'.

    Source:
        docs/extend.md, Test it.
    """
    assert TECHNIQUES.get(technique.name) is technique, f"{technique.name} is not in the table; enter the plugin first"
    data = windows or simulated_windows()
    variants = technique.variants({})
    for encoder in encoders:
        check_stages(technique, variants[0], encoder, data)
    for variant in variants:
        check_leaks(technique, variant, data)


def check_stages(
    technique: Technique,
    variant: Mapping[str, Any],
    encoder: str,
    windows: Windows,
    target: str = "",
    states: dict[str, State] | None = None,
) -> None:
    """After each stage exactly the freed parts have moved; it received exactly the windows that it names, and no label of the target beyond the
    calibration windows; and what the stages make predicts.

    Args:
        target: the held-out participant; the second one if empty.
        states: of stages that were looked at before, by their hash; those that are looked at now are added.
    """
    variant = {**variant, "unit": "window"} if variant.get("unit") == AUTO else variant  # the plan of a study resolves it
    shapes = {name: (values.shape[1], values.shape[2]) for name, values in windows.signals.items()}
    fold = Fold(windows.index, LABEL, target or windows.index.participants[1], 0)
    context = TrainingContext(fold, ModelSpec(encoder, width=WIDTH), technique.adapter, shapes)
    stages = technique.stages(variant)
    planned = plan_stages(context, stages, PROTOCOL)
    given = _label_budget(variant, fold)
    known: dict[str, State] = {} if states is None else states
    people = fold.index.participant_index
    for stage, declared in zip(planned, stages, strict=True):
        network = build(context.model, shapes, context.n_classes, context.adapter, fold.draws)
        for earlier in path_to(planned, stage):
            add_parts(network, earlier, fold.draws)
        if stage.parent:
            network.load_parts(known[stage.parent])
        if stage.hash in known:
            network.load_parts(known[stage.hash])
        else:
            known[stage.hash] = _check_stage(network, stage, declared, fold, windows)
        assert given is None or set(np.intersect1d(stage.labelled, fold.target_windows)) <= given, (
            f"stage {stage.name} reads labels of the target beyond the calibration windows"
        )
        rows = fold.target_windows if stage.predicts is None else stage.predicts
        reader = reader_of(path_to(planned, stage), people)
        p = predict(network, Signals(windows.signals), rows, torch.device("cpu"), reader)
        assert np.isfinite(p).all(), f"after stage {stage.name} the network predicts NaN"


def _check_stage(network: Network, stage: PlannedStage, declared: Stage, fold: Fold, windows: Windows) -> State:
    """Train one stage and look at what moved and what was received; the state after it."""
    unknown = set(declared.trainable) - {*PARTS, *ADDED, *WITHIN_TRUNK}
    assert not unknown, f"stage {stage.name} frees {sorted(unknown)}; there are {', '.join((*PARTS, *ADDED, *WITHIN_TRUNK))}"
    before, received = _copied(network), list[RowIds]()
    people = fold.index.participant_index
    train(network, Signals(windows.signals), fold.y, stage, fold.draws, torch.device("cpu"), received.append, people=people)
    after = _copied(network)
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    for part in declared.trainable:
        freed = network.state_of([part])
        assert freed.keys() & moved or not freed, f"stage {stage.name} frees {part}, which did not move"
    strangers = moved - network.state_of(declared.trainable).keys()
    assert not strangers, f"stage {stage.name} frees {sorted(declared.trainable)}, and {sorted(strangers)} moved"
    expected = _expected(declared, fold)
    assert expected == np.unique(np.concatenate(received)).tolist(), f"stage {stage.name} received other windows"
    return after


def _expected(stage: Stage, fold: Fold) -> list[int]:
    """The windows that a stage should receive, from its selection and its method."""
    split = stage.windows.choose(fold)
    parts = [split.train]
    if isinstance(stage.method, Contrastive | EntropyMinimization) or (
        isinstance(stage.method, NormStatistics) and not stage.method.online
    ):
        parts.append(split.unlabelled)
    if isinstance(stage.method, ClassMeans | AnchoredHead):
        parts += [split.source, *(rows for pair in split.pseudo_targets for rows in pair)]
    rows: list[int] = np.unique(np.concatenate(parts)).tolist()
    return rows


def _label_budget(variant: Mapping[str, Any], fold: Fold) -> set[int] | None:
    """Windows of the target whose labels the variant may read; None if it has no axis that says so."""
    budget = variant.get("budget", variant.get("pool"))
    if budget is None:
        return None
    return set(Calibration(budget, variant.get("draw", "initial"), variant.get("unit", "window")).windows(fold).tolist())


def _copied(network: Network) -> State:
    return {name: value.clone() for name, value in network.state_dict().items()}


def check_leaks(technique: Technique, variant: Mapping[str, Any], windows: Windows) -> None:
    """Train the variant for the first participant by the worker, and look at every window that an optimizer received."""
    study = parse_study(
        {
            "name": "check",
            "datasets": [{"windows": "made", "label": LABEL, "participants": [windows.index.participants[0]]}],
            "models": [{"encoder": "fcn", "width": 1 / 128}],
            "techniques": [{"name": technique.name, "axes": {name: [value] for name, value in variant.items()}}],
            "protocol": {"epochs": 1, "batch_size": 16, "stages": {"pretrain": {"epochs": 1}}},
        },
        "check_technique",
    )
    for trial in plan(study, {"made": windows.index}):
        assert not trial.problem, f"{technique.name} {dict(variant)}: {trial.problem}"
        received: dict[str, list[RowIds]] = {}

        def watch(stage: PlannedStage, rows: RowIds, received: dict[str, list[RowIds]] = received) -> None:
            received.setdefault(stage.hash, []).append(np.intersect1d(rows, stage.labelled))

        with tempfile.TemporaryDirectory() as folder:
            outcome = run_trial(trial, windows, StageStore(Folder(folder)), on_batch=watch)
        assert outcome.status == "ok", f"{technique.name} {dict(variant)}: {outcome.record['error']}"
        seen = {name: np.unique(np.concatenate(rows)) for name, rows in received.items()}
        assert_no_leak(trial, windows.index, seen, outcome)


def assert_no_leak(trial: Trial, index: WindowIndex, seen: Mapping[str, RowIds], outcome: Outcome) -> None:
    """No leak in one trial.

    Args:
        seen: hash of each stage to the rows that it received with their labels, in this trial or in one that trained it before.
    """
    assert outcome.predictions is not None
    table = outcome.predictions
    ids, purged = table["window"].to_numpy(), np.asarray(table["purged"].to_pylist(), dtype=bool)
    mine = np.flatnonzero(index.participant_index == index.participants.index(trial.target))
    needs = TECHNIQUES[trial.technique].needs(trial.variant)
    context, stages = stages_of(trial, index)
    fold, held_out = context.fold, [index.participants.index(name) for name in (trial.target, *trial.held_out_with)]
    for stage in stages:
        rows = seen[stage.hash]
        theirs = np.isin(index.participant_index[rows], held_out if stage.fold else held_out[1:])
        assert not theirs.any(), f"stage {stage.name} received windows of people who are held out"
        if TARGET_LABELS not in needs:
            assert not len(np.intersect1d(rows, mine)), f"stage {stage.name} received the target's windows"
    parts = predicted_parts(stages, fold)
    predicted = np.concatenate([part.rows for part in parts])
    assert len(np.unique(predicted)) == len(predicted), "a window is predicted twice"
    assert sorted(index.window[predicted]) == sorted(ids), "the predictions are of other windows than planned"
    looked_at = unlabelled(fold) if _purges(trial.technique, trial.variant) else NO_ROWS
    dropped = dict(zip(ids.tolist(), purged.tolist(), strict=True))
    every = NO_ROWS
    for part in parts:
        received = np.unique(np.concatenate([seen[stage.hash] for stage in part.bars]))
        pools = [stage.train for stage in part.bars if stage.asks]  # that are not asked for are not tested either
        every = np.union1d(every, np.concatenate([received, *pools]))
        assert not len(np.intersect1d(received, part.rows)), "a tested window was trained on"
        used = index.start_s[np.union1d(np.intersect1d(np.concatenate([received, *pools]), mine), looked_at)]
        for row in part.rows:
            overlaps = bool((np.abs(used - index.start_s[row]) < index.window_s).any())
            told = dropped[int(index.window[row])]
            assert overlaps == told, f"window {index.window[row]} shares samples with a trained one: {overlaps}, purged: {told}"
    labelled = mine[index.labels[trial.label][mine] != NO_LABEL]
    if len(parts) == 1:
        assert sorted(np.setdiff1d(labelled, every)) == sorted(predicted), "windows are missing among the predictions"
    else:
        assert sorted(labelled) == sorted(predicted), "windows are missing among the predictions"


def _purges(technique: str, variant: Variant) -> bool:
    """Whether the target's first windows are looked at before the test without labels, and so not tested on. Of the ways to look at them, ``past``
    looks at none after a window, and ``all`` is declared to look at those that are tested on."""
    chosen = [stage.windows for stage in TECHNIQUES[technique].stages(variant) if TARGET_SIGNALS in stage.windows.needs]
    return any(getattr(windows, "which", "first") == "first" for windows in chosen)
