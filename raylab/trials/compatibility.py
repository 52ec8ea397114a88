"""Which models, techniques and data can be combined. Each refusal is a sentence that says why, and what to do instead.

All checks are made before a run starts, from the study and the datasets' cards alone, and all problems are reported at once.
"""

from collections.abc import Sequence

from raylab.models.network import ModelSpec
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS
from raylab.techniques.method import BATCH_NORM, FUSED_FEATURES, GRADIENT_DESCENT, LINEAR_HEAD
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import SimilarWeigh
from raylab.techniques.stage import Stage, Variant
from raylab.training.protocol import REFERENCE, Protocol, StageProtocol
from raylab.training.regularize import Regularization
from raylab.windows.card import WindowsCard
from raylab.windows.channel_card import FEATURES, QUALITY


def model_problems(model: ModelSpec) -> list[str]:
    """Problems of a model that do not depend on the technique or the data; empty if there are none."""
    classical = CLASSICAL_MODELS.get(model.encoder)
    if classical is None:
        return []
    problems = [classical.missing] if classical.missing else []
    if model.fusion != "late":
        problems.append(
            f"{model.encoder} is no network, so there is nothing for fusion {model.fusion} to fuse; leave fusion out"
        )
    if model.width != 1.0:
        problems.append(f"{model.encoder} has no layers for a width to scale; leave width out")
    return problems


def technique_problem(model: ModelSpec, technique: str, variant: Variant) -> str:
    """Why the model cannot be trained by this variant of a technique; empty if it can.

    A classical model cannot continue from weights by steps and has no parts; ``weighted`` fusion has no features for an adapter; and a method may
    ask for batch norm, a linear head or fused features.
    """
    declared = TECHNIQUES[technique]
    stages = declared.stages(variant)
    if model.encoder in CLASSICAL_MODELS:
        if declared.adapter:
            return f"{technique} trains an adapter, and {model.encoder} is no network; leave {technique} out for it (`techniques` of a model)"
        return next(filter(None, (_classical_problem(model, technique, path) for path in declared.paths(variant))), "")
    if declared.adapter and not FUSIONS[model.fusion].accepts_adapter:
        return (
            f"{technique} puts an adapter between features and head, and {model.fusion} fusion averages the channels' probabilities: there is "
            "nothing between; use late, stacked or attention fusion"
        )
    return next(filter(None, (_network_problem(model, technique, stage) for stage in stages)), "")


def _classical_problem(model: ModelSpec, technique: str, path: tuple[Stage, ...]) -> str:
    """Why a classical model cannot do the last stage of a path (``Technique.paths``); empty if it can."""
    stage = path[-1]
    classical, leave = CLASSICAL_MODELS[model.encoder], f"leave {technique} out for it (`techniques` of a model)"
    if stage.method.classical:
        why = (
            f"{technique} decides by class means, and {model.encoder} has no feature space in which a class has a mean; {leave}"
        )
        return "" if classical.has_space else why
    problems = (
        (
            stage.method != GRADIENT_DESCENT,
            f"{technique} needs a network ({stage.method}), and {model.encoder} is none; {leave}",
        ),
        (
            bool(stage.overrides.get("regularization")),
            f"{technique} changes the windows of every step, and {model.encoder} has no steps; {leave}",
        ),
        (
            isinstance(stage.windows, SimilarWeigh) and not classical.weighs,
            f"{technique} gives windows weights, which {model.encoder} has no place for in its fit; {leave}",
        ),
        (
            len(path) > 1,
            f"{technique} continues from the weights of its first stage, and {model.encoder} is fitted at once (it has neither "
            "layers nor steps); use hybrid, which fits everyone's windows and the target's together",
        ),
    )
    return next((why for refused, why in problems if refused), "")


def _network_problem(model: ModelSpec, technique: str, stage: Stage) -> str:
    """Why a network cannot do this stage; empty if it can."""
    norm, fusion, requires = ENCODERS[model.encoder].norm, FUSIONS[model.fusion], stage.method.requires
    if (BATCH_NORM in requires or "norm_statistics" in stage.trainable) and norm != "batch":
        return f"{technique} takes batch norm's statistics anew, and {model.encoder} has no batch norm; use fcn, resnet, cnn, cnn_rnn or inception"
    if "norm_affine" in stage.trainable and not norm:
        return f"{technique} trains scale and shift of normalization layers, and {model.encoder} has none; use another encoder, or lora"
    if LINEAR_HEAD in requires and not fusion.linear_head:
        return f"{technique} sets a linear head, and {model.fusion} fusion averages the channels' probabilities; use another fusion"
    # what is below the features is trained through the votes' own losses, which only the cross-entropy has
    if fusion.fuses_votes and FUSED_FEATURES in requires:
        return f"{technique} works on fused features, and those of {model.fusion} fusion are the channels' votes; use late, early or attention fusion"
    return ""


def workers_problem(technique: str, variant: Variant) -> str:
    """Why several workers cannot train this variant together; empty if they can."""
    for stage in TECHNIQUES[technique].stages(variant):
        if stage.method.one_worker:
            return f"resources.workers: {technique} is trained by one worker: {stage.method.one_worker}; leave it out, or ask for 1 worker"
    return ""


def order_problem(technique: str, variant: Variant, protocol: Protocol) -> str:
    """Why this variant of a technique cannot draw its windows from a buffer, if the protocol says so; empty if it can."""
    for stage in TECHNIQUES[technique].stages(variant):
        named = protocol.stages.get(stage.name, StageProtocol())
        if stage.method.own_order and (protocol.shuffle_buffer or named.shuffle_buffer):
            return f"protocol.shuffle_buffer: {technique} has an order of its own ({stage.method.own_order}); leave one of them out"
    return ""


def streaming_problems(models: Sequence[ModelSpec], protocol: Protocol) -> list[str]:
    """Why these models cannot be trained on windows that are read one person after the other; empty if they can."""
    streamed, problems = "resources.windows: streamed", []
    if protocol.numerics != REFERENCE:
        problems.append(
            f"{streamed}: folds that are trained side by side need all windows at hand; leave protocol.numerics: stacked out"
        )
    if protocol.shuffle_buffer is None and any(model.encoder in ENCODERS for model in models):
        problems.append(
            f"{streamed}: windows are read one person after the other, and the protocol shuffles all of them; set protocol.shuffle_buffer to the "
            "number of windows that a trial may hold, such as 4096"
        )
    whole = [model.encoder for model in models if (c := CLASSICAL_MODELS.get(model.encoder)) and c.follows_steps]
    return problems + [f"{streamed}: {name} takes all training windows at once; leave it out" for name in whole]


def declared_regularization(technique: str, variants: Sequence[Variant]) -> tuple[Regularization, ...]:
    """What the stages of these variants declare."""
    stages = [stage for variant in variants for stage in TECHNIQUES[technique].stages(variant)]
    return tuple(Regularization(**settings) for stage in stages if (settings := stage.overrides.get("regularization")))


def protocol_problem(model: ModelSpec, protocol: Protocol) -> str:
    """Why the model cannot follow the study's protocol; empty if it can."""
    parts = (protocol, *protocol.stages.values())
    augments = any(part.augmentation for part in parts)
    drops = any(part.regularization and part.regularization.dropout for part in parts)
    if model.encoder in ENCODERS and FUSIONS[model.fusion].fuses_votes and drops:
        return (
            f"regularization.dropout drops fused features, and {model.fusion} fusion has none but the channels' votes; leave it out, or use "
            "late, early or attention fusion"
        )
    if model.encoder in CLASSICAL_MODELS and augments:
        return f"augmentation changes windows anew in every epoch, and {model.encoder} has none; leave one of them out"
    return ""


def regularization_problems(
    model: ModelSpec,
    protocol: Protocol,
    declared: tuple[Regularization, ...],
    channels: tuple[str, ...],
    card: WindowsCard,
    dataset: str,
) -> list[str]:
    """Why a network's windows cannot be regularized as the protocol, or a technique, says; empty if they can. A classical model has no steps and is
    not affected.

    Args:
        declared: the regularization that the techniques' own stages declare (``declared_regularization``).
        channels: the channels of the dataset entry.
        card: the card of the windows.
        dataset: the dataset's name in messages.
    """
    settings = [part.regularization for part in (protocol, *protocol.stages.values()) if part.regularization]
    settings += declared
    if model.encoder in CLASSICAL_MODELS or not settings:
        return []
    used = channels_of(model, channels, card)
    variable = [channel.name for channel in card.channels if channel.name in used and channel.variable]
    problems = []
    if variable and any(part.mixup for part in settings):
        problems.append(
            f"regularization.mixup adds windows sample by sample, and {dataset} has {', '.join(variable)} of variable length; leave it out"
        )
    if len(used) == 1 and any(part.channel_dropout for part in settings):
        problems.append(
            f"regularization.channel_dropout keeps one channel, and {model.name} has no other on {dataset}; leave it out"
        )
    return problems


def channels_of(model: ModelSpec, channels: tuple[str, ...], card: WindowsCard) -> tuple[str, ...]:
    """The channels that the model gets, in their order: all of them, or those of its modalities if it names some.

    A dataset entry that names no channels of features leaves them out; a model that names the modality ``features`` gets those of the entry's
    channels, and ``quality`` alike.

    Args:
        channels: the channels of the dataset entry.
        card: the card of the windows.
    """
    if not model.modalities:
        return channels
    modality = {channel.name: channel.modality for channel in card.channels}
    return tuple(name for name in _offered(model, channels, card) if modality[name] in model.modalities)


def _offered(model: ModelSpec, channels: tuple[str, ...], card: WindowsCard) -> tuple[str, ...]:
    """The channels that a model may choose from: those of the entry, and the features that are computed from them."""
    if not {FEATURES, QUALITY} & set(model.modalities):
        return channels
    theirs = [c.name for c in card.channels if c.features and c.name not in channels and set(c.sources) <= set(channels)]
    return (*channels, *theirs)


def dataset_problems(model: ModelSpec, channels: tuple[str, ...], card: WindowsCard, dataset: str) -> list[str]:
    """Problems of a model with the channels of a dataset; empty if there are none.

    Args:
        channels: the channels of the dataset entry.
        card: the card of the windows.
        dataset: the dataset's name in messages.
    """
    may_use = _offered(model, channels, card)
    cards = {channel.name: channel for channel in card.channels if channel.name in may_use}
    for asked in sorted({FEATURES, QUALITY} & set(model.modalities)):
        if not any(channel.modality == asked for channel in card.channels):
            return [f"{dataset} was prepared without {asked}, which {model.name} asks for; prepare it again with --features"]
    offered = sorted({channel.modality for channel in cards.values()}) if model.modalities else []
    if unknown := [name for name in model.modalities if name not in offered]:
        return [f"{dataset} has no modality {', '.join(unknown)} for {model.name} (it has {', '.join(offered)})"]
    used = channels_of(model, channels, card)
    variable = [name for name in used if cards[name].variable]
    if model.encoder in ENCODERS and card.kind == "signals" and card.preprocessing.normalization == "none":
        return [
            f"{model.name} cannot use {dataset}: its signals are in their units, which lie orders of magnitude apart, and a network does not "
            "scale what it sees; prepare it with another --normalization, or use a model without a network, which standardizes within the fold"
        ]
    declared = ENCODERS.get(model.encoder) or CLASSICAL_MODELS[model.encoder]
    if not declared.variable and variable:
        return [
            f"{model.encoder} takes windows of one length only, and {dataset} has {', '.join(variable)} of variable length; "
            "use another model, or channels of one length"
        ]
    return _feature_problems(model, [name for name in used if cards[name].features])


def _feature_problems(model: ModelSpec, features: list[str]) -> list[str]:
    """Why a model cannot use channels of features; empty if it can, or has none."""
    classical = CLASSICAL_MODELS.get(model.encoder)
    if not features or (classical and not classical.follows_steps):
        return []
    why = (
        "follows the steps of a window, and features have one"
        if classical
        else "is a network, which has no mask for features that are missing"
    )
    return [
        f"{model.name} cannot use {', '.join(features)}: {model.encoder} {why}; features are for classical models such as svm"
    ]
