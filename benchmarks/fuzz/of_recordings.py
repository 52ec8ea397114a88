"""Recordings of all layouts, from their files to the rows of their windows."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.builders import builder
from benchmarks.fuzz.reader import FuzzedReader, UnlikeSeedError
from raylab.recordings import DATASETS
from raylab.windows.card import channel_cards, participant_summary
from raylab.windows.dataset import to_table
from raylab.windows.preprocess import Preprocessing
from raylab.windows.recording_rules import checked
from raylab.windows.windowing import cut_windows


def _write_csv_folder(folder: Path) -> None:
    """One participant of a user's dataset, as docs/add-a-dataset.md shows it."""
    builder("csv_folder").write(folder, ("anna",), seconds=30)


def _write_people(folder: Path) -> None:
    """Three participants, one of them with two sessions."""
    builder("csv_folder").write(folder, ("anna", "ben", "007"), seconds=24)


def _write_e4(folder: Path) -> None:
    """Stress-Predict: exports of the Empatica E4, labels, questionnaires of one participant."""
    builder("stress_predict").write_stress_predict(folder, seconds=40)
    for number in (1, 3):
        shutil.rmtree(folder / f"Raw_data/S{number:02d}")
    table = folder / "Processed_data/Improved_All_Combined_hr_rsp_binary.csv"
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([head, *(row for row in rows if row.startswith("2,"))]) + "\n", encoding="utf-8")


def _write_kemocon(folder: Path) -> None:
    """K-EmoCon: one participant."""
    builder("kemocon").write_kemocon(folder, [1], seconds=42.0)


def _write_wesad(folder: Path) -> None:
    """WESAD: the wrist of one subject, as a pickle of Python 2."""
    wesad = builder("wesad_subject")
    wesad.write_wesad(folder, wesad.wesad_content(seconds=24))


def _write_amigos(folder: Path, release: str) -> None:
    """AMIGOS: one participant, two of the videos."""
    amigos = builder("amigos")
    amigos.write_amigos(folder, [1], release=release, seconds=12.0, absent=amigos.VIDEOS[2:])


def _write_ascertain(folder: Path) -> None:
    """ASCERTAIN: one participant, two clips."""
    builder("ascertain").write_ascertain(folder, [3], clips=[1, 2])


def _write_case(folder: Path) -> None:
    """CASE: one participant, up to the end of the first video."""
    builder("case").write_case(folder, [1], seconds=15.5)
    for name, per_s in (("physiological", 1000), ("annotations", 20)):
        path = folder / f"data/interpolated/{name}/sub_1.csv"
        lines = path.read_bytes().split(b"\n")
        path.write_bytes(b"\n".join(lines[: 1 + round(20.5 * per_s)]) + b"\n")


def _read(root: Path, name: str, options: Mapping[str, Any] | None = None) -> None:
    """Every participant to the rows of its windows, as ``raylab prepare`` does it.

    Raises:
        UnlikeSeedError: if a window holds NaN or infinity, or a class that the label does not have.
    """
    dataset = DATASETS[name].at(root)
    settings, chosen = Preprocessing(), {**dataset.options, **(options or {})}
    labels = [dataset.label(label) for label in dataset.default_labels]
    for number, participant in enumerate(dataset.participants(root, chosen)):
        recording = checked(dataset.read(root, participant, chosen), labels, settings)
        cut = cut_windows(recording, labels, settings)
        participant_summary(recording, cut, labels)
        channel_cards(recording, cut)
        to_table(cut, participant, number, [label.name for label in labels])
        if odd := [channel for channel, values in cut.signals.items() if not np.isfinite(values).all()]:
            raise UnlikeSeedError(f"windows of {', '.join(odd)} hold NaN or infinity")
        for label in labels:
            if not ((cut.labels[label.name] >= -1) & (cut.labels[label.name] < len(label.classes))).all():
                raise UnlikeSeedError(f"windows of label {label.name} have a class that it does not have")


_csv_folder, _stress_predict, _amigos = (partial(_read, name=name) for name in ("csv_folder", "stress_predict", "amigos"))
_preprocessed = partial(_amigos, options={"release": "preprocessed"})
READERS = {
    "tables": FuzzedReader("csv_folder: channels and labels", _write_csv_folder, ("anna/*.csv",), _csv_folder),
    "dataset_yaml": FuzzedReader("csv_folder: dataset.yaml", _write_csv_folder, ("dataset.yaml",), _csv_folder),
    "traits": FuzzedReader("csv_folder: traits.csv of three participants", _write_people, ("traits.csv",), _csv_folder),
    "e4": FuzzedReader("Stress-Predict: E4 files and labels", _write_e4, ("*.csv",), _stress_predict),
    "questionnaires": FuzzedReader("Stress-Predict: its Excel book", _write_e4, ("*.xlsx",), _stress_predict, binary=True),
    "kemocon": FuzzedReader(
        "K-EmoCon: its tables", _write_kemocon, ("*self.csv", "*/E4_*.csv", "*/subjects.csv"), partial(_read, name="kemocon")
    ),
    "wesad": FuzzedReader(
        "WESAD: pickle, readme", _write_wesad, ("*.pkl", "*readme.txt"), partial(_read, name="wesad"), binary=True
    ),
    "amigos": FuzzedReader(
        "AMIGOS: .mat, Excel books",
        partial(_write_amigos, release="preprocessed"),
        ("*.mat", "*.xlsx"),
        _preprocessed,
        binary=True,
    ),
    "amigos_original": FuzzedReader(
        "AMIGOS, original release: .mat", partial(_write_amigos, release="original"), ("*.mat",), _amigos, binary=True
    ),
    "ascertain": FuzzedReader(
        "ASCERTAIN: .mat, Excel book", _write_ascertain, ("*.mat", "*.xlsx"), partial(_read, name="ascertain"), binary=True
    ),
    "case": FuzzedReader(
        "CASE: tables, Excel book", _write_case, ("data/*.csv", "metadata/*"), partial(_read, name="case"), binary=True
    ),
}
