"""A user's own dataset as csv files, as docs/add-a-dataset.md shows it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "add-a-dataset.md").read_text(encoding="utf-8")


def write(root: Path, people: tuple[str, ...] = ("anna", "ben"), seconds: int = 100) -> Path:
    """The page's layout: eda 4 Hz, pulse 64 Hz, calm for the first half, then stress; ben has two sessions."""
    root.mkdir(exist_ok=True)
    (root / "dataset.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    pd.DataFrame({"participant": people, "age": [30 + i for i in range(len(people))], "gender": "female"}).to_csv(
        root / "traits.csv", index=False
    )
    for i, person in enumerate(people):
        for number, session in enumerate(["."] if person != "ben" else ["evening", "morning"]):
            folder = root / person / session
            folder.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([i, number])
            pd.DataFrame({"value": rng.normal(0, 1, 4 * seconds)}).to_csv(folder / "eda.csv", index=False)
            pd.DataFrame({"value": rng.normal(0, 1, 64 * seconds)}).to_csv(folder / "pulse.csv", index=False)
            pd.DataFrame({"time_s": [0, seconds / 2], "stress": [0, 1]}).to_csv(folder / "labels.csv", index=False)
    return root
