"""How long decisions take on this machine: model files, each on its stream in real time, on one core.

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


def _measured(model: Path, asked: SourceOptions, minutes: float, core: int) -> dict[str, Any]:
    """Follow the source for so long; what each part took."""
    os.sched_setaffinity(0, {core})
    one_window_at_a_time()
    read = read_model(model)
    stream = Stream(read, open_source(read.card, asked), EventBus(), StreamSettings())
    before = os.getloadavg()[0]
    timer = threading.Timer(60 * minutes, stream.stop)
    timer.start()
    account = stream.run()
    timer.cancel()
    parts = {"in all": account.latencies_ms, **account.parts_ms}
    table = {name: [float(np.percentile(list(values), share)) for share in SHARES] for name, values in parts.items() if values}
    how = read.card.preprocessing["window_s"]
    return {
        "model": read.card.spec.name,
        "window_s": how,
        "source": stream.source.description,
        "windows": account.windows,
        "dropped": {name: count for name, count in account.dropped.items() if count},
        "errors": account.errors,
        "load": [round(before, 2), round(os.getloadavg()[0], 2)],
        "ms": table,
    }


def _child(answer: Any, *asked: Any) -> None:
    answer.send(_measured(*asked))


def lines(found: dict[str, Any]) -> list[str]:
    """A measurement as a table in Markdown."""
    said = (
        f"{found['model']}, windows of {found['window_s']:g} s, {found['windows']} windows of {found['source']}; "
        f"dropped {found['dropped'] or 'none'}, errors {found['errors']}; load {found['load'][0]} at the start, {found['load'][1]} at the end"
    )
    head = ["| part (ms) | median | p95 | p99 | most |", "| --- | --- | --- | --- | --- |"]
    return [
        said,
        "",
        *head,
        *(f"| {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |" for name, row in found["ms"].items()),
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
        mine, theirs = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_child, args=(theirs, Path(model), SourceOptions(source, participant), minutes, core))
        process.start()
        theirs.close()
        try:
            found = mine.recv()
        except EOFError:
            raise SystemExit(1) from None  # the process said why
        process.join()
        typer.echo("\n".join(lines(found)))
        typer.echo(f"<!-- {json.dumps(found)} -->\n")


if __name__ == "__main__":
    typer.run(main)
