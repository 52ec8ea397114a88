"""Where a run comes from, and the sentences that every table made from it must carry."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raylab.trials.plan import CheckedDataset
from raylab.trials.study import Study
from raylab.windows.duplicate_recordings import duplicate_recordings
from raylab.windows.utterances import USES

PACKAGES = ("raylab", "ray", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")


def _commit() -> str:
    """raylab's own commit, with ``+`` where the tree was changed; empty for an installed wheel."""
    here = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def notes(study: Study, datasets: list[CheckedDataset]) -> list[str]:
    """What departs from the paper, and what the data cannot show."""
    said = []
    for ready in datasets:
        card = ready.index.card
        how = card["preprocessing"]["normalization"]
        text = {
            "recording": "normalized over each participant's whole recording, test part included (the paper's way)",
            "past": "normalized by the running minimum and maximum of the past only",
            **USES,
        }[how]
        steps = card["preprocessing"]
        cut = (
            f"utterances of at most {steps['window_s']:g} s"
            if how in USES
            else f"windows of {steps['window_s']:g} s every {steps['step_s']:g} s"
        )
        said.append(
            f"{ready.name}: {len(ready.index.participants)} people, {len(ready.channels)} channels, {cut}, {text}; "
            f"fingerprint {ready.index.fingerprint}."
        )
        if card["caution"]:
            said.append(f"{ready.name}: {card['caution']}")
        if ready.kind.description:
            said.append(f"{ready.name}: {ready.kind.description}")
        if ready.index.name == "wesad" and not {"chest", "wrist"} <= {channel.split("_")[0] for channel in ready.channels}:
            said.append(f"{ready.name}: one device only, not the paper's input of 14 channels from chest and wrist.")
        said += [
            f"{ready.name}: warning: the recordings of {pair.first} and {pair.second} are near-identical ({pair.share:.0%} of the windows "
            f"compared). If that is one person under two names, a held-out person is trained on: prepare again with --exclude {pair.second}."
            for pair in duplicate_recordings(ready.index)
        ]
    changed = study.protocol.model_dump(exclude_none=True, exclude={"stages"})
    changed |= {name: stage.model_dump(exclude_none=True) for name, stage in study.protocol.stages.items()}
    if changed:
        said.append(
            "The study departs from the paper's protocol: "
            + ", ".join(f"{name}={value}" for name, value in changed.items())
            + "."
        )
    if not study.purge:
        said.append("purge: false: test windows may share 5 s of signal with calibration windows.")
    if study.resources.workers > 1:
        said.append(
            f"Each stage was trained by {study.resources.workers} workers together: batch norm and dropout act on each one's share "
            "of a batch, so the weights are others than one worker's."
        )
    said.append(f"{len(study.seeds)} seed(s), averaged per participant before any test.")
    return said


def classes(datasets: list[CheckedDataset]) -> dict[str, dict[str, list[str]]]:
    """Dataset to label to the names of its classes, in their order."""
    found: dict[str, dict[str, list[str]]] = {}
    for ready in datasets:
        found.setdefault(ready.name, {})[ready.entry.label] = list(ready.index.classes(ready.entry.label))
    return found


def provenance(study: Study, datasets: list[CheckedDataset], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, commit, machine, data fingerprints and notes."""
    return {
        "study": study.name,
        "primary_metric": study.primary_metric,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version(name) for name in PACKAGES},
        "datasets": {ready.name: {"windows": ready.source, "fingerprint": ready.index.fingerprint} for ready in datasets},
        "classes": classes(datasets),
        "notes": notes(study, datasets),
        **extra,
    }
