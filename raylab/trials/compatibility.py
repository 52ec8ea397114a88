"""Which models, techniques and data go together; each refusal is a sentence that says why and what to do."""

from collections.abc import Mapping
from typing import Any

from raylab.models.network import ModelSpec
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.stage import Variant
from raylab.training.protocol import Protocol


def model_problems(model: ModelSpec) -> list[str]:
    """What is wrong with a model, whatever it is used for."""
    baseline = CLASSICAL_MODELS.get(model.encoder)
    if baseline is None:
        return []
    problems = [baseline.missing] if baseline.missing else []
    if model.fusion != "late":
        problems.append(
            f"{model.encoder} is no network, so there is nothing for fusion {model.fusion} to fuse; leave fusion out"
        )
    if model.width != 1.0:
        problems.append(f"{model.encoder} has no layers for a width to scale; leave width out")
    return problems


def technique_problem(model: ModelSpec, technique: str, variant: Variant) -> str:
    """Why the model cannot be trained by this variant; empty where it can."""
    asked = TECHNIQUES[technique]
    if model.encoder in CLASSICAL_MODELS:
        if asked.adapter:
            return f"{technique} trains an adapter, and {model.encoder} is no network; leave {technique} out for it"
        if len(asked.stages(variant)) > 1:
            return (
                f"{technique} continues from the weights of its first stage, and {model.encoder} is fitted at once (it has neither "
                "layers nor steps); use hybrid, which fits everyone's windows and the target's together"
            )
        return ""
    if asked.adapter and not FUSIONS[model.fusion].adaptable:
        return (
            f"{technique} puts an adapter between features and head, and {model.fusion} fusion averages the channels' probabilities: there is "
            "nothing between; use late, stacked or attention fusion"
        )
    return ""


def protocol_problem(model: ModelSpec, protocol: Protocol) -> str:
    """Why the model cannot follow the protocol; empty where it can."""
    augments = any(part.augmentation for part in (protocol, *protocol.stages.values()))
    if model.encoder in CLASSICAL_MODELS and augments:
        return f"augmentation changes windows anew in every epoch, and {model.encoder} has none; leave one of them out"
    return ""


def channels_of(model: ModelSpec, channels: tuple[str, ...], card: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of the channels that the model sees: all, or those of its modalities."""
    if not model.modalities:
        return channels
    modality = {entry["name"]: entry["modality"] for entry in card["channels"]}
    return tuple(name for name in channels if modality[name] in model.modalities)


def dataset_problems(model: ModelSpec, channels: tuple[str, ...], card: Mapping[str, Any], where: str) -> list[str]:
    """What these channels of a dataset do not give the model.

    Args:
        where: names the dataset in messages.
    """
    entries = {entry["name"]: entry for entry in card["channels"] if entry["name"] in channels}
    offered = sorted({entry["modality"] for entry in entries.values()}) if model.modalities else []
    if unknown := [name for name in model.modalities if name not in offered]:
        return [f"{where} has no modality {', '.join(unknown)} for {model.name} (it has {', '.join(offered)})"]
    seen = channels_of(model, channels, card)
    variable = [name for name in seen if entries[name].get("variable")]
    encoder = ENCODERS.get(model.encoder)
    if encoder and not encoder.variable and variable:
        return [
            f"{model.encoder} takes windows of one length only, and {where} has {', '.join(variable)} of variable length; "
            "use another encoder, or channels of one length"
        ]
    return []
