"""A dataset of one channel in csv files, which tests spoil."""

from pathlib import Path

import numpy as np

HEAD = "name: my_data\nchannels:\n  eda: {modality: eda, rate_hz: 4}\n"
STRESS = "labels:\n  stress: {decide: majority, classes: [calm, stress], codes: {0: 0, 1: 1}}\n"
SECONDS = 120


def samples(seed: int = 0, seconds: int = SECONDS) -> list[str]:
    return [f"{value:.4f}" for value in np.random.default_rng(seed).normal(2, 0.1, 4 * seconds)]


def table(rows: list[str], header: str = "eda") -> str:
    return "\n".join([header, *rows]) + "\n"


def folder(
    root: Path,
    names: tuple[str, ...] = ("anna", "ben", "cara"),
    description: str = HEAD + STRESS,
    labels: str = "time_s,stress\n0,0\n60,1\n",
) -> Path:
    """A dataset of one channel, calm for a minute, then stress."""
    root.mkdir(exist_ok=True, parents=True)
    (root / "dataset.yaml").write_text(description)
    for seed, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "eda.csv").write_text(table(samples(seed)))
        (root / name / "labels.csv").write_text(labels)
    return root
