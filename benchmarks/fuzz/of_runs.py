"""Prepared windows, study files and run folders."""

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import analysis
from benchmarks.fuzz.mutate_trees import change_json, change_tree
from benchmarks.fuzz.reader import FuzzedReader
from raylab.files import Folder
from raylab.hashing import hash_record
from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease, describe_holder, driver
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.runs.status import status_lines
from raylab.trials.study import parse_study, read_study
from raylab.windows.dataset import read_card, read_index, read_windows
from raylab.windows.preprocess import Preprocessing

NO_DIGEST = "before raylab kept a digest"  # in the caution of a card of before
STUDY: dict[str, Any] = {
    "name": "fuzzed",
    "datasets": [{"windows": "simulated", "label": "stress", "participants": ["P01", "P02"]}],
    "models": [{"encoder": "fcn", "width": 1 / 64}, {"encoder": "svm"}],
    "techniques": ["non_personalized", {"name": "hybrid", "budget": [3]}],
    "protocol": {"epochs": 2, "batch_size": 16, "stages": {"everyone_else": {"learning_rate": 0.001}}},
    "folds": "leave_one_participant_out",
    "seeds": [0, 1],
    "resources": {"workers": 1, "cpu": 1, "gpu": "auto"},
}


def write_windows(folder: Path) -> None:
    """Prepared windows of a simulated cohort, normalized causally."""
    options = {"participants": 3, "minutes": 3, "seed": 3}
    request = PrepareRequest("simulated", ".", str(folder), preprocessing=Preprocessing(normalization="past"), options=options)
    prepare(request, say=lambda line: None, where="local")


def write_run(folder: Path, **changes: Any) -> None:
    """A run folder of the study, run in this process; beside it, ``-windows``, the windows of it."""
    cohort = folder.with_name(f"{folder.name}-windows")
    write_windows(cohort / "simulated")
    study = parse_study({**STUDY, "seeds": [0], **changes}, "fuzzed")
    start(study, str(cohort), str(folder), "local", log=lambda line: None)
    shutil.rmtree(folder / "tune", ignore_errors=True)


def _write_run(folder: Path) -> None:
    write_run(folder, models=[*STUDY["models"], {"encoder": "fcn", "width": 1 / 64, "fusion": "attention"}])


def _write_study(folder: Path) -> None:
    """A study file in which every part of a study is set."""
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")


def _write_lease(folder: Path) -> None:
    """The lease of a driver that holds the folder."""
    with Lease(Folder(str(folder))):
        held = {path.name: path.read_bytes() for path in (folder / "lease").glob("*.json")}
    for name, content in held.items():
        (folder / "lease" / name).write_bytes(content)


def _digest(*arrays: Any) -> str:
    joint = hashlib.sha256()
    for array in arrays:
        joint.update(np.ascontiguousarray(array).tobytes())
    return joint.hexdigest()


def _read_windows(folder: Path) -> object:
    """The card, and a digest of the windows, and of the index by itself."""
    read, index = read_windows(Folder(str(folder))), read_index(Folder(str(folder)))
    content = (
        *(part for one in (read.index, index) for part in (one.window, one.start_s, *one.labels.values())),
        *read.signals.values(),
    )
    return read.index.card.model_dump_json(), _digest(*content)


def _read_card(folder: Path) -> object:
    """The card; None if it says itself that nothing notices its changes: cards of before had no digest."""
    card = read_card(Folder(str(folder)))
    return None if NO_DIGEST in card.caution else card.model_dump_json()


def _read_resealed(folder: Path) -> None:
    """The card, and the windows that it describes."""
    read_windows(Folder(str(folder)))


def change_sealed(data: bytes, rng: random.Random) -> bytes:
    """Another value in a card, and the digest that goes with it: what a hostile writer would send."""
    try:
        content = json.loads(data)
        content.pop("digest", None)
        changed = change_tree(content, rng)
        return json.dumps({**changed, "digest": hash_record(changed)}).encode()
    except (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # an earlier change has left no mapping, or what no digest can be made of
        return change_json(data, rng)


def _read_study(folder: Path) -> None:
    read_study(folder / "study.yaml").as_dict()


def _read_run(folder: Path) -> None:
    """Status, tables, scores and stages of a run folder."""
    status_lines(str(folder))
    tables = analysis.load(str(folder))
    if len(tables.predictions):
        analysis.score(tables)
    store = RunFolder(str(folder)).store
    store.trainings()
    for stage in store.hashes():
        store.load(stage)


def _read_predictions(folder: Path) -> object:
    """A digest of the predictions."""
    frame = analysis.load(str(folder)).predictions
    ordered = frame.sort_values(["trial", "window"])
    return len(frame), _digest(*(ordered[name].to_numpy() for name in frame.columns if name not in ("trial", "participant")))


def _read_lease(folder: Path) -> None:
    driver(Folder(str(folder)))
    describe_holder(Folder(str(folder)))


_RESEALED = {".json": (change_sealed,)}
_RUN = ("trials/*", "trainings/*", "*.json", "*.parquet", "stages/*")
READERS = {
    "card": FuzzedReader("card.json of prepared windows", write_windows, ("card.json",), _read_card, notices_all=True),
    "resealed_card": FuzzedReader(
        "card.json with a digest of its own", write_windows, ("card.json",), _read_resealed, mutators=_RESEALED
    ),
    "windows": FuzzedReader(
        "Parquet files of windows", write_windows, ("*.parquet",), _read_windows, notices_all=True, binary=True
    ),
    "study": FuzzedReader("study files", _write_study, ("study.yaml",), _read_study),
    "run": FuzzedReader("run folders: plan, records, trainings, provenance, stages", _write_run, _RUN, _read_run),
    "predictions": FuzzedReader(
        "predictions of a run", _write_run, ("predictions/*",), _read_predictions, notices_all=True, binary=True
    ),
    "lease": FuzzedReader("leases of a run folder", _write_lease, ("lease/*",), _read_lease),
}
