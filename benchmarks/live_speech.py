"""Speech models on a stream of a speaker who was held out: live against offline.

    python -m benchmarks.live_speech RUN --root DIR --model "svm functionals" [--windows WINDOWS]

For every finished non-personalized trial of that model with one speaker held out, the speaker's files follow one another, with pauses, as one
stream. The exported model's decisions on it are compared with the study's predictions of the same files. A file's live probabilities are the mean
over the decisions that lie in it; a file without a decision counts as wrong.
"""

import tempfile
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

import analysis
from raylab.errors import RaylabError
from raylab.features.sound import RATE_HZ, read_wav
from raylab.live.core.event_bus import EventBus
from raylab.live.core.messages import SOUND, Chunk, Source
from raylab.live.core.model_file import LiveModel
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.export import export
from raylab.recordings import DATASETS
from raylab.runs.folder import RunFolder

PAUSE_S, CHUNK = 1.0, 1600


def _files(model: LiveModel, root: Path) -> list[tuple[Path, int]]:
    """File and class of each utterance that has a class, in the order of prepared windows."""
    card = model.card
    dataset = DATASETS[card.reader]
    label = dataset.label(card.label)
    recording = dataset.read(root, card.participant, {**card.options, "linguistic": False})
    paths = {path.stem: path for path in root.rglob("*.wav")}
    files = []
    for segment in recording.segments:
        number = label.codes.get(int(segment.tracks[label.track].values[0]))
        if number is not None:
            files.append((paths[segment.session], number))
    return files


def _stream(files: list[tuple[Path, int]]) -> tuple[np.ndarray[Any, Any], list[tuple[float, float]]]:
    """One sound at 16 kHz, and begin and end of each file in it, in seconds."""
    parts, spans, begin_s = [np.zeros(round(PAUSE_S * RATE_HZ))], list[tuple[float, float]](), PAUSE_S
    for path, _ in files:
        samples = read_wav(path).samples
        parts += [samples, np.zeros(round(PAUSE_S * RATE_HZ))]
        spans.append((begin_s, begin_s + len(samples) / RATE_HZ))
        begin_s = spans[-1][1] + PAUSE_S
    return np.concatenate(parts), spans


def _decisions(model: LiveModel, sound: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """The decisions on the stream, with nothing dropped."""

    def items(stop: Event) -> Any:
        for first in range(0, len(sound), CHUNK):
            yield Chunk(SOUND, first / RATE_HZ, sound[first : first + CHUNK, None])

    bus = EventBus(waits=True)
    queue, decisions = bus.subscribe(waits=True), list[dict[str, Any]]()

    def listen() -> None:
        while not queue.done:
            event = queue.get(0.5)
            if event and event["event"] == "decision":
                decisions.append(event)

    thread = Thread(target=listen)
    thread.start()
    Stream(model, Source("files", items, recorded=True), bus, StreamSettings(), waits=True).run()
    thread.join()
    return decisions


def _uar(y: np.ndarray[Any, Any], decided: np.ndarray[Any, Any]) -> float:
    return float(np.mean([(decided[y == k] == k).mean() for k in np.unique(y)]))


def compare(model: LiveModel, root: Path, offline: pd.DataFrame) -> dict[str, Any]:
    """Compare both for one speaker: recalls, equal decisions, files that were missed or cut.

    Args:
        offline: the trial's predictions, in the order of the windows.
    """
    files = _files(model, root)
    sound, spans = _stream(files)
    decisions = _decisions(model, sound)
    y = np.array([number for _, number in files])
    if not np.array_equal(y, offline["y_true"].to_numpy()):
        raise RaylabError(f"{model.card.participant}: the files in {root} are not those that the study predicted")
    live = np.full(len(files), -1)
    decisions_of: list[list[dict[str, Any]]] = []  # each file
    for i, (begin, end) in enumerate(spans):
        inside = [d for d in decisions if min(d["end_s"], end) - max(d["start_s"], begin) > 0.5 * (d["end_s"] - d["start_s"])]
        decisions_of.append(inside)
        if inside:
            live[i] = int(np.mean([list(d["p"].values()) for d in inside], axis=0).argmax())
    before = np.array([p.argmax() for p in offline["p"]])
    one_piece = np.array([len(inside) == 1 for inside in decisions_of])  # files with one decision
    outside = len(decisions) - sum(len(inside) for inside in decisions_of)
    return {
        "speaker": model.card.participant,
        "files": len(files),
        "offline UAR": _uar(y, before),
        "live UAR": _uar(y, live),
        "same decision": float((live == before).mean()),
        "not found": sum(not inside for inside in decisions_of),
        "in pieces": sum(len(inside) > 1 for inside in decisions_of),
        "UAR of files in one piece: offline": _uar(y[one_piece], before[one_piece]),
        "live": _uar(y[one_piece], live[one_piece]),
        "decided across files": outside,
        "not understood": sum("linguistic" in d["missing"] for d in decisions),
    }


def main(
    run: Annotated[str, typer.Argument(help="a run folder")],
    root: Annotated[Path, typer.Option(help="the corpus")],
    model: Annotated[str, typer.Option(help="as tables call it")],
    dataset: Annotated[str, typer.Option(help="as tables call it; one whose folds hold speakers out")] = "",
    windows: Annotated[str | None, typer.Option(help="folder that the study's windows are in, if it has moved")] = None,
) -> None:
    """A line for each speaker, and the means."""
    trials = analysis.load(run).trials
    finished = trials["model"].eq(model) & trials["technique"].eq("non_personalized") & trials["status"].eq("ok")
    held_out = trials["dataset"].eq(dataset) if dataset else ~trials["dataset"].str.contains("LEAKING")
    trials = trials[finished & held_out]
    if trials.empty:
        raise RaylabError(f"{run} has no finished trial of {model!r}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for key in trials["trial"]:
            exported = export(run, key, Path(folder) / "model", windows)
            offline = RunFolder(run).folder.read_table(f"predictions/{key}.parquet").to_pandas()
            rows.append(compare(exported, root, offline.sort_values("window")))
            typer.echo(", ".join(f"{name} {_format(value)}" for name, value in rows[-1].items()))
    table = pd.DataFrame(rows)
    means = {name: table[name].sum() if table[name].dtype.kind == "i" else table[name].mean() for name in table.columns[1:]}
    typer.echo(
        f"all {len(table)} speakers (counts: sums, others: means): " + ", ".join(f"{n} {_format(v)}" for n, v in means.items())
    )


def _format(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    typer.run(main)
