"""Standard input: a line of JSON is a chunk or a mark."""

import json
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any, BinaryIO

import numpy as np

from raylab.live.core.messages import Chunk, LabelMark, Note
from raylab.live.core.model_file import ModelCard
from raylab.live.sources.source import Item, Source, SourceOptions

LONGEST = 10_000_000  # characters; a longer line is not read to its end into memory
SHOWN = 60


def stdin(card: ModelCard, asked: SourceOptions) -> Source:
    """``stdin``."""
    return Source("lines of JSON on standard input", lambda stop: items(sys.stdin.buffer, stop), recorded=False)


def items(lines: BinaryIO, stop: Event) -> Iterator[Item]:
    """What the lines say; a line that says nothing is told and left out.

    ``{"channel": "wrist_bvp", "time": 12.5, "samples": [1.0, 2.0]}``: time in seconds of the first sample; a sample of several features is a list,
    one that is missing is null. ``{"mark": "stress"}`` (with ``"time"`` where it is another than now) marks, ``{"mark": null}`` ends the mark.
    """
    number = 0
    while not stop.is_set() and (line := lines.readline(LONGEST)):
        number += 1
        if not line.strip():
            continue
        try:
            yield parse(line)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            yield Note("stdin", f"line {number} is left out ({error}): {line.strip()[:SHOWN].decode(errors='replace')}")


def parse(line: bytes | str) -> Chunk | LabelMark:
    """One line.

    Raises:
        ValueError: saying what is wrong with it.
    """
    said = json.loads(line)
    if not isinstance(said, dict):
        raise ValueError("it is no object")
    if "mark" in said:
        return LabelMark(str(said["mark"] or ""), _number(said["time"]) if said.get("time") is not None else None)
    if lacking := [name for name in ("channel", "time", "samples") if name not in said]:
        raise ValueError(f"it has no {', '.join(lacking)}")
    if not isinstance(said["samples"], list):
        raise ValueError("samples are no list")
    samples = np.array(_numbers(said["samples"]), dtype=np.float64)
    if samples.ndim == 1:
        samples = samples[:, None]
    return Chunk(str(said["channel"]), _number(said["time"]), samples)


def _number(value: Any) -> float:
    found = float(value)
    if not np.isfinite(found):
        raise ValueError(f"time is {value}")
    return found


def _numbers(values: list[Any]) -> list[Any]:
    """null is a sample that is missing."""
    return [_numbers(value) if isinstance(value, list) else float("nan") if value is None else value for value in values]
