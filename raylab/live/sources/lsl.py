"""The lab streaming layer: streams that are called like the model's channels, or one whose channels are."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.live.core.messages import Chunk, Note
from raylab.live.core.model_file import ModelCard
from raylab.live.sources.source import Item, Source, SourceOptions

FIND_S, PULL, PIECE_S = 5.0, 512, 0.25


@dataclass(frozen=True)
class _Inlet:
    """An opened stream and which of its columns are which channels."""

    stream: Any
    columns: dict[str, list[int]]
    name: str
    uid: str
    rate_hz: float


def _labels(info: Any) -> list[str]:
    """The channels' names in the stream's description."""
    found, node = [], info.desc().child("channels").child("channel")
    while not node.empty():
        found.append(node.child_value("label"))
        node = node.next_sibling("channel")
    return found


def _columns(info: Any, card: ModelCard) -> dict[str, list[int]]:
    """Channel to columns: by label, or the whole stream where it is called like a channel."""
    labels = _labels(info)
    by_label = {c.name: [i for i, label in enumerate(labels) if label == c.name] for c in card.channels if c.name in labels}
    whole = {c.name: list(range(info.channel_count())) for c in card.channels if c.name == info.name()}
    return by_label or whole


def _open(card: ModelCard, wanted: str) -> list[_Inlet]:
    """Every stream that brings channels of the model.

    Raises:
        RaylabError: where one is missing, or has another rate or width than the model's.
    """
    lsl_ = load("pylsl", "live")
    channels = {channel.name: channel for channel in card.channels}
    found: list[_Inlet] = []
    until = time.monotonic() + FIND_S
    while time.monotonic() < until and {name for inlet in found for name in inlet.columns} < set(channels):
        known = {inlet.name for inlet in found}
        for info in lsl_.resolve_streams(wait_time=0.5):
            if info.uid() in known or (wanted and info.name() != wanted) or info.channel_format() == lsl_.cf_string:
                continue
            inlet = lsl_.StreamInlet(info, max_buflen=30, processing_flags=lsl_.proc_clocksync)
            try:
                columns = _columns(inlet.info(timeout=FIND_S), card)
            except (RuntimeError, TimeoutError):  # it went away while it was looked at
                continue
            if columns:
                found.append(_Inlet(inlet, columns, info.name(), info.uid(), info.nominal_srate()))
    there = {name for inlet in found for name in inlet.columns}
    problems = [f"no stream brings {name}" for name in channels if name not in there]
    for inlet in found:
        for name, picked in inlet.columns.items():
            card_ = channels[name]
            if inlet.rate_hz != card_.recorded_hz:
                problems.append(f"{name} comes at {inlet.rate_hz:g} Hz, the model needs {card_.recorded_hz:g} Hz")
            if len(picked) != card_.n_features:
                problems.append(f"{name} has {len(picked)} columns, the model needs {card_.n_features}")
    if problems:
        raise RaylabError(
            f"lsl: {'; '.join(problems)}. Looked {FIND_S:g} s for streams named, or with channels labelled, as the model's"
        )
    return found


def lsl(card: ModelCard, asked: SourceOptions) -> Source:
    """``lsl`` or ``lsl:NAME``."""
    inlets = _open(card, asked.where.partition(":")[2])
    return Source(
        f"lab streaming layer: {', '.join(inlet.name for inlet in inlets)}", lambda stop: _items(inlets, stop), recorded=False
    )


def _items(inlets: list[_Inlet], stop: Event) -> Iterator[Item]:
    """What the streams bring. A stream that is lost is looked for by the library, and goes on when it is back."""
    gone: set[str] = set()
    while not stop.is_set():
        came = False
        for inlet in inlets:
            try:
                samples, stamps = inlet.stream.pull_chunk(timeout=0.0, max_samples=PULL)
            except Exception as error:  # the library's errors have no common class; a stream must not end another one
                if inlet.name not in gone:
                    yield Note(inlet.name, f"cannot be read ({error})")
                gone.add(inlet.name)
                continue
            if stamps:
                came = True
                gone.discard(inlet.name)
                yield from _pieces(inlet, np.asarray(samples, dtype=np.float64), stamps)
        if not came:
            stop.wait(0.005)


def _pieces(inlet: _Inlet, values: np.ndarray[Any, np.dtype[np.float64]], stamps: list[float]) -> Iterator[Chunk]:
    """A pull in pieces of a quarter of a second, each with its own stamp: a hole inside is then seen."""
    size = max(1, round(PIECE_S * inlet.rate_hz))
    for start in range(0, len(values), size):
        for name, columns in inlet.columns.items():
            yield Chunk(name, float(stamps[start]), values[start : start + size, columns])
