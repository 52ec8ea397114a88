"""Standard input: a line of JSON is a chunk or a mark."""

import json
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any, BinaryIO

import numpy as np

from raylab.live.core.messages import Chunk, Item, LabelMark, Note, Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import SourceOptions

MAX_LINE = 10_000_000  # bytes; a longer line is not read into memory as a whole
MAX_SHOWN = 60


def stdin(card: ModelCard, options: SourceOptions) -> Source:
    """``stdin``."""
    return Source("lines of JSON on standard input", lambda stop: items(sys.stdin.buffer, stop), recorded=False)


def items(lines: BinaryIO, stop: Event) -> Iterator[Item]:
    """The items of the lines; a line without one gives a note and is left out.

    ``{"channel": "wrist_bvp", "time": 12.5, "samples": [1.0, 2.0]}``: time in seconds of the first sample; a sample of several features is a list,
    one that is missing is null. ``{"mark": "stress"}`` (with ``"time"`` if it is not now) marks, ``{"mark": null}`` ends the mark.
    """
    number = 0
    while not stop.is_set() and (line := lines.readline(MAX_LINE)):
        number += 1
        if not line.strip():
            continue
        try:
            yield parse(line)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            yield Note("stdin", f"line {number} is left out ({error}): {line.strip()[:MAX_SHOWN].decode(errors='replace')}")


def parse(line: bytes | str) -> Chunk | LabelMark:
    """The item of one line.

    Raises:
        ValueError: naming the problem.
    """
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("it is no object")
    if "mark" in record:
        return LabelMark(str(record["mark"] or ""), _number(record["time"]) if record.get("time") is not None else None)
    if missing := [name for name in ("channel", "time", "samples") if name not in record]:
        raise ValueError(f"it has no {', '.join(missing)}")
    if not isinstance(record["samples"], list):
        raise ValueError("samples are no list")
    samples = np.array(_numbers(record["samples"]), dtype=np.float64)
    if samples.ndim == 1:
        samples = samples[:, None]
    return Chunk(str(record["channel"]), _number(record["time"]), samples)


def _number(value: Any) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"time is {value}")
    return number


def _numbers(values: list[Any]) -> list[Any]:
    """The values with null, a missing sample, as NaN."""
    return [_numbers(value) if isinstance(value, list) else float("nan") if value is None else value for value in values]
