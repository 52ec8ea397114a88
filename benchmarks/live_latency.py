"""Latency of decisions on this machine: model files, each on its stream in real time, on one core.

    python -m benchmarks.live_latency MODEL SOURCE [MODEL SOURCE ...] --minutes 10 [--participant S2] [--core 0]

One after the other, each in a process of its own that may use one core only; a table with every part goes to standard output.
"""

import json
import multiprocessing
import os
import platform
import threading
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from raylab.errors import RaylabError
from raylab.live.core.event_bus import EventBus
from raylab.live.core.inference import one_window_at_a_time
from raylab.live.core.model_file import read_model
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.sources import open_source
from raylab.live.sources.source import SourceOptions

SHARES = (50, 95, 99, 100)


def _measure(model_path: Path, options: SourceOptions, minutes: float, core: int) -> dict[str, Any]:
    """Follow the source for so many minutes; the quantiles of each part's duration."""
    os.sched_setaffinity(0, {core})
    one_window_at_a_time()
    model = read_model(model_path)
    stream = Stream(model, open_source(model.card, options), EventBus(), StreamSettings())
    load_before = os.getloadavg()[0]
    timer = threading.Timer(60 * minutes, stream.stop)
    timer.start()
    statistics = stream.run()
    timer.cancel()
    parts = {"in all": statistics.latencies_ms, **statistics.parts_ms}
    table = {name: [float(np.percentile(list(values), share)) for share in SHARES] for name, values in parts.items() if values}
    return {
        "model": model.card.spec.name,
        "window_s": model.card.preprocessing["window_s"],
        "source": stream.source.description,
        "windows": statistics.windows,
        "dropped": {name: count for name, count in statistics.dropped.items() if count},
        "errors": statistics.errors,
        "load": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "ms": table,
    }


def _measure_and_send(answer: Any, *arguments: Any) -> None:
    answer.send(_measure(*arguments))


def lines(measured: dict[str, Any]) -> list[str]:
    """A measurement as a table in Markdown."""
    load_before, load_after = measured["load"]
    title = (
        f"{measured['model']}, windows of {measured['window_s']:g} s, {measured['windows']} windows of {measured['source']}; "
        f"dropped {measured['dropped'] or 'none'}, errors {measured['errors']}; load {load_before} at the start, {load_after} at the end"
    )
    head = ["| part (ms) | median | p95 | p99 | most |", "| --- | --- | --- | --- | --- |"]
    return [
        title,
        "",
        *head,
        *(f"| {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |" for name, row in measured["ms"].items()),
        "",
    ]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()


def main(
    what: Annotated[list[str], typer.Argument(help="MODEL SOURCE [MODEL SOURCE ...]")],
    minutes: Annotated[float, typer.Option(min=0.1)] = 10.0,
    participant: Annotated[str, typer.Option(help="of folders")] = "",
    core: Annotated[int, typer.Option(help="the one that may be used")] = 0,
) -> None:
    """Measure, and print a table for each model."""
    if len(what) % 2:
        raise RaylabError("give a source with every model")
    typer.echo(f"{_processor()}, one of {os.cpu_count()} cores (number {core}), {minutes:g} minutes each in real time\n")
    spawn = multiprocessing.get_context("spawn")
    for model, source in zip(what[::2], what[1::2], strict=True):
        receiver, sender = spawn.Pipe(duplex=False)
        process = spawn.Process(
            target=_measure_and_send, args=(sender, Path(model), SourceOptions(source, participant), minutes, core)
        )
        process.start()
        sender.close()
        try:
            measured = receiver.recv()
        except EOFError:
            raise SystemExit(1) from None  # the process has printed its error
        process.join()
        typer.echo("\n".join(lines(measured)))
        typer.echo(f"<!-- {json.dumps(measured)} -->\n")


if __name__ == "__main__":
    typer.run(main)
