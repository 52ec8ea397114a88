"""Model files, and what a live stream reads."""

import io
import json
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

import analysis
from benchmarks.fuzz.mutate_models import MODEL
from benchmarks.fuzz.of_runs import write_run
from benchmarks.fuzz.of_sounds import write_sounds
from benchmarks.fuzz.reader import FuzzedReader, UnlikeSeedError
from raylab.live.core.messages import Chunk, Note
from raylab.live.core.model_file import read_model
from raylab.live.core.windows import WindowAssembler
from raylab.live.export import export
from raylab.live.sources.lines import items
from raylab.live.sources.source import SourceOptions
from raylab.live.sources.wav import wav

MODELS = {"network": ("fcn", "hybrid"), "machine": ("svm", "non_personalized")}


def _write_models(folder: Path) -> None:
    """Model files of a network that can be calibrated, and of a support vector machine."""
    run = folder.with_name(f"{folder.name}-run")
    write_run(run, datasets=[{"windows": "simulated", "label": "stress", "participants": ["P01"]}])
    trials = analysis.load(str(run)).trials
    for name, (model_name, technique) in MODELS.items():
        trial = trials[trials["model"].str.startswith(model_name) & trials["technique"].eq(technique)]["trial"].iloc[0]
        export(str(run), str(trial), folder / f"{name}.raylab", windows=str(run.with_name(f"{run.name}-windows")))
    shutil.rmtree(run)


def _write_lines(folder: Path) -> None:
    """The model file of the stream, and two windows of its channels as lines of JSON, with marks."""
    _write_models(folder)
    (folder / "machine.raylab").unlink()
    card = read_model(folder / "network.raylab").card
    rng = np.random.default_rng(0)
    lines: list[dict[str, Any]] = []
    for quarter in range(4 * 21):
        for channel in card.channels:
            samples = np.round(rng.normal(5, 1, (round(channel.recorded_hz / 4), channel.n_features)), 3)
            lines.append({"channel": channel.name, "time": 100 + quarter / 4, "samples": samples.squeeze(1).tolist()})
        if quarter % 12 == 0:
            lines.append({"mark": card.classes[0], "time": 100 + quarter / 4})
    (folder / "stream.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")


def _read_models(folder: Path) -> None:
    """Each model file, and its network."""
    for path in sorted(folder.glob("*.raylab")):
        model = read_model(path)
        model.card.lines()
        model.network(calibrated=True)


def _replay_sounds(folder: Path) -> None:
    """Each sound as a live source replays it."""
    card: Any = None  # the source does not look at it
    for path in sorted(folder.glob("*.wav")):
        for item in wav(card, SourceOptions(f"wav:{path}", speed=0.0)).items(Event()):
            if isinstance(item, Chunk) and not np.isfinite(item.time_s):
                raise UnlikeSeedError(f"a chunk of {path.name} has the time {item.time_s}")


def _read_lines(folder: Path) -> None:
    """The lines of a stream, to the windows of the model. A line that is left out gives a note, and the stream goes on.

    Raises:
        UnlikeSeedError: if a window holds NaN or infinity.
    """
    notes: list[Note] = []
    assembler = WindowAssembler(read_model(folder / "network.raylab").card, notes.append)
    for item in items(io.BytesIO((folder / "stream.jsonl").read_bytes()), Event()):
        for window in assembler.feed(item) if isinstance(item, Chunk) else ():
            values = [values for name, values in window.values.items() if name not in window.missing]
            if not np.isfinite([window.start_s, window.end_s]).all() or not all(np.isfinite(array).all() for array in values):
                raise UnlikeSeedError(f"window {window.number} at {window.start_s} s holds NaN or infinity")
    assembler.counts()


READERS = {
    "model": FuzzedReader("model files", _write_models, ("*.raylab",), _read_models, binary=True, mutators={".raylab": MODEL}),
    "live_wav": FuzzedReader("sounds that are replayed", write_sounds, ("*.wav",), _replay_sounds, binary=True),
    "live_lines": FuzzedReader("lines of a live stream", _write_lines, ("*.jsonl",), _read_lines),
}
