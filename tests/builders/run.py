"""A run folder written by hand: simulated predictions of a few people, in the files that `analysis` reads."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VARIANTS = (
    ("non_personalized", "-"),
    ("fine_tuning", "layers=all budget=0.2"),
    ("fine_tuning", "layers=all budget=0.4"),
    ("hybrid", "budget=0.2"),
    ("hybrid", "budget=0.4"),
    ("cluster_specific", "k=2"),
    ("cluster_specific", "k=silhouette"),
)
GAIN = {"fine_tuning": 1.0, "hybrid": 0.5, "cluster_specific": -0.7}
WINDOWS = 40


def write_run(
    folder: Path,
    people: Iterable[str] = ("S2", "S3", "S10", "S11", "S12", "S13"),
    variants: Iterable[tuple[str, str]] = VARIANTS,
    names: tuple[str, str, str] = ("simulated", "stress", "fcn w0.1"),
    statuses: dict[tuple[str, str], str] | None = None,
    equal: bool = False,
    plain_models: dict[str, float] | None = None,
) -> Path:
    """Write a run.

    Args:
        statuses: of (technique, participant) that are not ok (``""``: not run).
        equal: every technique predicts the same.
        plain_models: further models, without personalization only, to what each gains.
    """
    plain = plain_models or {}
    rows = [(names[2], *variant) for variant in variants] + [(model, "non_personalized", "-") for model in plain]
    trials = [
        {
            "trial": f"{place:03}{number:03}",
            "dataset": names[0],
            "label": names[1],
            "model": model,
            "technique": technique,
            "variant": variant,
            "participant": person,
            "seed": 0,
            "status": (statuses or {}).get((technique, person), "ok"),
        }
        for place, (model, technique, variant) in enumerate(rows)
        for number, person in enumerate(people)
    ]
    for part in ("predictions", "trainings", "trials"):
        (folder / part).mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([{k: v for k, v in t.items() if k != "status"} for t in trials]), folder / "plan.parquet"
    )
    for trial in trials:
        if trial["status"]:
            (folder / "trials" / f"{trial['trial']}.json").write_text(json.dumps(trial), encoding="utf-8")
        if trial["status"] == "ok":
            pq.write_table(
                _predictions(trial, equal, plain.get(trial["model"], 0.0)), folder / "predictions" / f"{trial['trial']}.parquet"
            )
            (folder / "trainings" / f"{trial['trial']}.a.json").write_text(json.dumps(_training(trial)), encoding="utf-8")
    origin = {
        "study": "made",
        "notes": ["Simulated predictions."],
        "datasets": {names[0]: {"fingerprint": "f1"}},
        "versions": {"raylab": "0"},
    }
    (folder / "provenance.json").write_text(json.dumps(origin), encoding="utf-8")
    (folder / "study.yaml").write_text("name: made\n", encoding="utf-8")
    records = [_person(person, place, names) for place, person in enumerate(people)]
    (folder / "participants.json").write_text(json.dumps(records), encoding="utf-8")
    return folder


def _person(name: str, place: int, names: tuple[str, str, str]) -> dict[str, Any]:
    traits = {"age": 20.0 + place, "gender": ("female", "male")[place % 2]}
    return {
        "dataset": names[0],
        "label": names[1],
        "participant": name,
        "traits": traits,
        "windows": {"rest": 20, "stress": 20},
    }


def _predictions(trial: dict[str, Any], equal: bool, gain: float = 0.0) -> pa.Table:
    """Logits around the class with a noise of the person, and what the technique gains; budgets leave out the first windows."""
    technique = "non_personalized" if equal else trial["technique"]
    rng = np.random.default_rng([sum(trial["participant"].encode()), len(technique)])
    y = np.arange(WINDOWS) % 2
    logit = (1 + GAIN.get(technique, gain)) * (2 * y - 1) + rng.normal(0, 2, WINDOWS)
    p = (1 / (1 + np.exp(-logit))).astype(np.float32)
    window = np.arange(WINDOWS)[4 if "budget" in trial["variant"] else 0 :]
    return pa.table(
        {
            "trial": [trial["trial"]] * len(window),
            "participant": [trial["participant"]] * len(window),
            "window": window,
            "y_true": y[window].astype(np.int8),
            "p": [[1 - x, x] for x in p[window]],
            "purged": np.zeros(len(window), dtype=bool),
        }
    )


def _training(trial: dict[str, Any]) -> dict[str, Any]:
    """Two epochs of a stage; the baseline's has a validation part."""
    validated = {"val_loss": 0.6} if trial["technique"] == "non_personalized" else {}
    curve = [{"epoch": e, "loss": 1 / e, "learning_rate": 0.003, **validated} for e in (1, 2)]
    return {**trial, "name": "everyone_else", "stage": trial["trial"], "status": "completed", "curve": curve}
