"""Score tables of one (dataset, label, model) with known differences."""

from typing import Any

import pandas as pd

CELL = {"dataset": "d", "label": "l", "model": "fcn"}


def scores(gains: dict[tuple[str, str], list[float]], base: float = 0.5, **names: str) -> pd.DataFrame:
    """Scores of a baseline and of variants that differ from it by ``gains`` (one per participant), each paired with the baseline."""
    rows: list[dict[str, Any]] = []
    shared = {**CELL, "seed": 0, "scoring": "paired", "n_test": 10, **names}
    for (technique, variant), differences in gains.items():
        for i, d in enumerate(differences):
            fold = {**shared, "participant": f"P{i}"}
            rows.append({**fold, "technique": technique, "variant": variant, "against": "", "auroc": base + d})
            against = f"{technique} {variant}".removesuffix(" -")
            rows.append({**fold, "technique": "non_personalized", "variant": "-", "against": against, "auroc": base})
    for i in range(max(map(len, gains.values()))):
        fold = {**shared, "participant": f"P{i}"}
        rows.append({**fold, "technique": "non_personalized", "variant": "-", "against": "", "auroc": base})
    return pd.DataFrame(rows)
