"""A user's dataset with names that a file system, Ray, a terminal or a spreadsheet might take for something else."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

PEOPLE = (
    "anna b",
    "ü",
    "50%",
    "%41",
    "a+b=c#d?&e",
    ".hidden",
    "=1+1",
    "[red]",
    ":smile:",
    "started",
    "中" * 45,
    "-1",
    "a'\"b\\c",
)
CHANNEL, LABEL, CLASSES = "eda links", "gefühl +", ("=ruhig", "str,eß")


def write(root: Path, people: tuple[str, ...] = PEOPLE, decomposed: tuple[str, ...] = ("ü",), seconds: int = 60) -> Path:
    """A folder for ``csv_folder``; the folders of ``decomposed`` people are named in NFD, as an old macOS names them."""
    root.mkdir(parents=True)
    description = {
        "name": "odd",
        "channels": {CHANNEL: {"modality": "eda", "rate_hz": 4, "unit": "uS"}},
        "labels": {LABEL: {"decide": "majority", "classes": list(CLASSES), "codes": {0: 0, 1: 1}}},
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(description, allow_unicode=True), encoding="utf-8")
    for number, person in enumerate(people):
        folder = root / (unicodedata.normalize("NFD", person) if person in decomposed else person)
        folder.mkdir()
        samples = np.random.default_rng(number).normal(0, 1, 4 * seconds)
        pd.DataFrame({"value": samples}).to_csv(folder / f"{CHANNEL}.csv", index=False)
        pd.DataFrame({"time_s": [0, seconds / 2], LABEL: [0, 1]}).to_csv(folder / "labels.csv", index=False)
    return root
