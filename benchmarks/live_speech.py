"""Speech models on a stream of the speaker whom they never heard: live against offline.

    python -m benchmarks.live_speech RUN --root DIR --model "svm functionals" [--windows WINDOWS]

For every finished non-personalized trial of that model with one speaker held out: the speaker's files one after another, with pauses, as one stream;
what the exported model decides of it, beside what the study predicted of the same files. A file's live probabilities are the mean over the
decisions that lie in it; a file without a decision counts as wrong.
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
from raylab.live.core.messages import SOUND, Chunk
from raylab.live.core.model_file import LiveModel
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.export import export
from raylab.live.sources.source import Source
from raylab.recordings import DATASETS
from raylab.runs.folder import RunFolder

PAUSE_S, CHUNK = 1.0, 1600


def _files(model: LiveModel, root: Path) -> list[tuple[Path, int]]:
    """File and class of each utterance that has a class, in the order of prepared windows."""
    card = model.card
    dataset = DATASETS[card.reader]
    label = dataset.label(card.label)
    recording = dataset.read(root, card.participant, {**card.options, "linguistic": False})
    where = {path.stem: path for path in root.rglob("*.wav")}
    found = []
    for segment in recording.segments:
        number = label.codes.get(int(segment.tracks[label.track].values[0]))
        if number is not None:
            found.append((where[segment.session], number))
    return found


def _stream(files: list[tuple[Path, int]]) -> tuple[np.ndarray[Any, Any], list[tuple[float, float]]]:
    """One sound at 16 kHz, and where each file lies in it, in seconds."""
    parts, spans, at = [np.zeros(round(PAUSE_S * RATE_HZ))], list[tuple[float, float]](), PAUSE_S
    for path, _ in files:
        samples = read_wav(path).samples
        parts += [samples, np.zeros(round(PAUSE_S * RATE_HZ))]
        spans.append((at, at + len(samples) / RATE_HZ))
        at = spans[-1][1] + PAUSE_S
    return np.concatenate(parts), spans


def _decisions(model: LiveModel, sound: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """What the stream decides, nothing dropped."""

    def items(stop: Event) -> Any:
        for first in range(0, len(sound), CHUNK):
            yield Chunk(SOUND, first / RATE_HZ, sound[first : first + CHUNK, None])

    listeners = EventBus(waits=True)
    queue, heard = listeners.join(waits=True), list[dict[str, Any]]()

    def listen() -> None:
        while not queue.done:
            event = queue.get(0.5)
            if event and event["event"] == "decision":
                heard.append(event)

    thread = Thread(target=listen)
    thread.start()
    Stream(model, Source("files", items, recorded=True), listeners, StreamSettings(), waits=True).run()
    thread.join()
    return heard


def _uar(y: np.ndarray[Any, Any], decided: np.ndarray[Any, Any]) -> float:
    return float(np.mean([(decided[y == k] == k).mean() for k in np.unique(y)]))


def compare(model: LiveModel, root: Path, offline: pd.DataFrame) -> dict[str, Any]:
    """One speaker: both recalls, and what became of the files.

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
    each: list[list[dict[str, Any]]] = []
    for i, (begin, end) in enumerate(spans):
        mine = [d for d in decisions if min(d["end_s"], end) - max(d["start_s"], begin) > 0.5 * (d["end_s"] - d["start_s"])]
        each.append(mine)
        if mine:
            live[i] = int(np.mean([list(d["p"].values()) for d in mine], axis=0).argmax())
    before = np.array([p.argmax() for p in offline["p"]])
    outside = len(decisions) - sum(len(mine) for mine in each)
    return {
        "speaker": model.card.participant,
        "files": len(files),
        "offline UAR": _uar(y, before),
        "live UAR": _uar(y, live),
        "same decision": float((live == before).mean()),
        "not found": sum(not mine for mine in each),
        "in pieces": sum(len(mine) > 1 for mine in each),
        "UAR of files in one piece: offline": _uar(y[_one(each)], before[_one(each)]),
        "live": _uar(y[_one(each)], live[_one(each)]),
        "decided across files": outside,
        "not understood": sum("linguistic" in d["missing"] for d in decisions),
    }


def _one(each: list[list[dict[str, Any]]]) -> np.ndarray[Any, Any]:
    return np.array([len(mine) == 1 for mine in each])


def main(
    run: Annotated[str, typer.Argument(help="a run folder")],
    root: Annotated[Path, typer.Option(help="the corpus")],
    model: Annotated[str, typer.Option(help="as tables call it")],
    dataset: Annotated[str, typer.Option(help="as tables call it; one whose folds hold speakers out")] = "",
    windows: Annotated[str | None, typer.Option(help="folder that the study's windows are in, if it has moved")] = None,
) -> None:
    """A line for each speaker, and the means."""
    trials = analysis.load(run).trials
    wanted = trials["model"].eq(model) & trials["technique"].eq("non_personalized") & trials["status"].eq("ok")
    held_out = trials["dataset"].eq(dataset) if dataset else ~trials["dataset"].str.contains("LEAKING")
    trials = trials[wanted & held_out]
    if trials.empty:
        raise RaylabError(f"{run} has no finished trial of {model!r}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for key in trials["trial"]:
            made = export(run, key, Path(folder) / "model", windows)
            offline = RunFolder(run).folder.read_table(f"predictions/{key}.parquet").to_pandas()
            rows.append(compare(made, root, offline.sort_values("window")))
            typer.echo(", ".join(f"{name} {_shown(value)}" for name, value in rows[-1].items()))
    table = pd.DataFrame(rows)
    means = {name: table[name].sum() if table[name].dtype.kind == "i" else table[name].mean() for name in table.columns[1:]}
    typer.echo(
        f"all {len(table)} speakers (counts: sums, others: means): " + ", ".join(f"{n} {_shown(v)}" for n, v in means.items())
    )


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    typer.run(main)
