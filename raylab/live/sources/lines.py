"""Standard input: a line of JSON is a chunk or a mark."""

import json
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any, BinaryIO

import numpy as np

from raylab.live.core.messages import LATEST_S, LONGEST_LABEL, Chunk, Item, LabelMark, Note, Source, is_time, shortened
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import SourceOptions

MAX_LINE = 10_000_000  # bytes; a longer line is not read into memory as a whole
MAX_SHOWN, MAX_REASON = 60, 200


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
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            yield Note("stdin", f"line {number} is left out (it is longer than {MAX_LINE} bytes): {_beginning(line)}")
            while not stop.is_set() and (rest := lines.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            continue
        if not line.strip():
            continue
        try:
            yield parse(line)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, MemoryError) as error:
            yield Note("stdin", f"line {number} is left out ({shortened(str(error), MAX_REASON)}): {_beginning(line)}")


def _beginning(line: bytes) -> str:
    """The beginning of a line, for a note."""
    return line[: 4 * MAX_SHOWN].strip()[:MAX_SHOWN].decode(errors="replace")


def parse(line: bytes | str) -> Chunk | LabelMark:
    """The item of one line.

    Raises:
        ValueError: naming the problem.
    """
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("it is no object")
    if "mark" in record:
        return _mark(record)
    if missing := [name for name in ("channel", "time", "samples") if name not in record]:
        raise ValueError(f"it has no {', '.join(missing)}")
    if not isinstance(record["channel"], str):
        raise ValueError(f"channel is {_shown(record['channel'])}, expected a text")
    if not isinstance(record["samples"], list):
        raise ValueError("samples are no list")
    samples = np.array(_numbers(record["samples"]), dtype=np.float64)
    if samples.ndim == 1:
        samples = samples[:, None]
    return Chunk(record["channel"], _time(record["time"]), samples)


def _mark(record: dict[str, Any]) -> LabelMark:
    if extra := [name for name in ("channel", "samples") if name in record]:
        raise ValueError(f"it has a mark and {', '.join(extra)}: give them in two lines")
    label = record["mark"]
    if not (label is None or isinstance(label, str)):
        raise ValueError(f"mark is {_shown(label)}, expected a class as text, or null")
    if label and len(label) > LONGEST_LABEL:
        raise ValueError(f"mark has {len(label)} characters, at most {LONGEST_LABEL} are read")
    return LabelMark(label or "", _time(record["time"]) if record.get("time") is not None else None)


def _time(value: Any) -> float:
    """A time stamp.

    Raises:
        ValueError: if it is no number, or none that a clock shows in seconds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"time is {_shown(value)}, expected seconds")
    number = float(value)
    if not is_time(number):
        raise ValueError(
            f"time is {number}, expected seconds from {-LATEST_S:g} to {LATEST_S:g} (is it in milliseconds, or less?)"
        )
    return number


def _numbers(values: list[Any]) -> list[Any]:
    """The values with null, a missing sample, as NaN.

    Raises:
        ValueError: if one is no number.
    """
    return [_numbers(value) if isinstance(value, list) else _number(value) for value in values]


def _number(value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"could not convert {_shown(value)} to a number")
    return float(value)


def _shown(value: Any) -> str:
    """A value of the wrong type, for a note."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return shortened(json.dumps(value), MAX_SHOWN)
