"""A run's origin, and the sentences that every table made from it must carry."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raylab import __version__
from raylab.models.precision import FLOAT32
from raylab.models.registry import CLASSICAL_MODELS
from raylab.plugins import Plugin, entered
from raylab.recordings import DATASETS
from raylab.techniques.registry import TECHNIQUES
from raylab.training.protocol import REFERENCE
from raylab.trials.choices import calibration_sentences, circumstances, window_sentences
from raylab.trials.plan import CheckedDataset
from raylab.trials.study import Study
from raylab.windows.duplicate_recordings import duplicate_recordings
from raylab.windows.order import order_sentences

PRECISION_SENTENCES = {
    "tf32": "precision: tf32: networks were trained and evaluated with products by TensorFloat-32 on GPUs, and in float32 on processors.",
    "bf16": "precision: bf16: the layers of networks were computed in bfloat16 (torch's autocast), in training and in prediction.",
}
PACKAGES = ("ray", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")


def _commit() -> str:
    """raylab's own commit, with ``+`` if the tree was changed; empty for an installed wheel."""
    here = Path(__file__).resolve().parents[2]
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()


def _dataset_notes(dataset: CheckedDataset) -> list[str]:
    """One dataset: its size and preprocessing, and every reservation about it."""
    card, reader = dataset.index.card, DATASETS.get(dataset.index.name)
    lines = [
        f"{len(dataset.index.participants)} people, {len(dataset.channels)} channels, {card.preprocessing.description}; "
        f"fingerprint {card.fingerprint}.",
        f"warning: {card.caution}" if card.caution else "",
        *order_sentences(dataset.index, dataset.entry.label),
        f"{'warning: ' if dataset.kind.shares else ''}{dataset.kind.description}",
        *(reader.channel_notes(dataset.channels) if reader else ()),
        *(
            f"warning: the recordings of {pair.first} and {pair.second} are near-identical ({pair.share:.0%} of the windows "
            f"compared). If that is one person under two names, a held-out person is trained on: prepare again with --exclude {pair.second}."
            for pair in duplicate_recordings(dataset.index)
        ),
    ]
    return [f"{dataset.name}: {line}" for line in lines if line]


def choices(study: Study, datasets: list[CheckedDataset]) -> list[str]:
    """What the study leaves to the data: sentences that ``raylab run --plan`` prints too."""
    return [
        f"{dataset.name}: {line}"
        for dataset in datasets
        for line in (*window_sentences(study, dataset), *calibration_sentences(study, dataset))
    ]


def added(plugin: Plugin) -> str:
    """What a plugin adds, in words."""
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in plugin.record["adds"].items())


def plugin_changes(last: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A sentence on each plugin that an earlier start of the run had in another version, or had and this one lacks.

    Args:
        last, now: provenances.
    """
    versions = {plugin["name"]: plugin["version"] for plugin in now.get("plugins", [])}
    lines = []
    for plugin in last.get("plugins", []):
        name, before = plugin["name"], plugin["version"]
        if name not in versions:
            lines.append(f"plugin {plugin['origin']}, which an earlier start of this run had, is not given now (--plugin)")
        elif versions[name] != before:
            lines.append(
                f"plugin {name} has changed since an earlier start of this run (version {before}, now {versions[name]}): what its models trained "
                "is trained again; trials of its techniques are run again if their windows or hyperparameters changed"
            )
    return lines


def notes(study: Study, datasets: list[CheckedDataset]) -> list[str]:
    """Departures from the paper, and the limits of the data."""
    lines = [line for dataset in datasets for line in _dataset_notes(dataset)] + choices(study, datasets)
    lines += [f"{dataset.name}: {line}" for dataset in datasets for line in circumstances(study, dataset)]
    changed = study.protocol.model_dump(exclude_none=True, exclude={"stages", "numerics", "precision"})
    changed |= {name: stage.model_dump(exclude_none=True) for name, stage in study.protocol.stages.items()}
    if changed:
        values = ", ".join(f"{name}={value}" for name, value in changed.items())
        lines.append(f"The study departs from the paper's protocol: {values}.")
    warnings = {name: TECHNIQUES[name].warning for name in (entry.name for entry in study.techniques)}
    lines += [f"warning: {text}" for text in warnings.values() if text]
    if not study.purge:
        lines.append("purge: false: test windows may share 5 s of signal with calibration windows.")
    if study.protocol.numerics != REFERENCE:
        lines.append(
            f"numerics: {study.protocol.numerics} (stack: {study.resources.stack}): folds were trained side by side, in other "
            "orders of summation than alone, and so to other bits."
        )
    if any(model.encoder not in CLASSICAL_MODELS for model in study.models):
        lines += [PRECISION_SENTENCES[study.protocol.precision]] if study.protocol.precision != FLOAT32 else []
    if study.resources.workers > 1:
        lines.append(
            f"Each stage was trained by {study.resources.workers} workers together: batch norm and dropout act on each one's share "
            "of a batch, so the weights are others than one worker's."
        )
    lines += [f"Plugin {plugin.origin} (version {plugin.version}) adds {added(plugin)}." for plugin in entered()]
    lines.append(f"{len(study.seeds)} seed(s), averaged per participant before any test.")
    return lines


def classes(datasets: list[CheckedDataset]) -> dict[str, dict[str, list[str]]]:
    """Dataset to label to the names of its classes, in their order."""
    by_dataset: dict[str, dict[str, list[str]]] = {}
    for dataset in datasets:
        by_dataset.setdefault(dataset.name, {})[dataset.entry.label] = list(dataset.index.classes(dataset.entry.label))
    return by_dataset


def provenance(study: Study, datasets: list[CheckedDataset], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, commit, machine, data fingerprints and notes."""
    return {
        "study": study.name,
        "primary_metric": study.primary_metric,
        "primary": {
            "technique": study.primary.technique or "",
            "smallest_effect": study.primary.smallest_effect,
            "references": study.primary.references,
        },
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {"raylab": __version__} | {name: version(name) for name in PACKAGES},
        "datasets": {
            dataset.name: {"windows": dataset.source, "fingerprint": dataset.index.fingerprint} for dataset in datasets
        },
        "classes": classes(datasets),
        "notes": notes(study, datasets),
        **({"plugins": [plugin.record for plugin in entered()]} if entered() else {}),
        **extra,
    }
