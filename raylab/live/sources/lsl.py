"""The lab streaming layer: streams that are named like the model's channels, or whose channels are labelled like them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.live.core.messages import Chunk, Item, Note, Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import SourceOptions

FIND_S, MAX_SAMPLES, PIECE_S = 5.0, 512, 0.25


@dataclass(frozen=True)
class _Inlet:
    """An opened stream.

    Attributes:
        columns: channel of the model to its columns in the stream.
    """

    stream: Any
    columns: dict[str, list[int]]
    name: str
    uid: str
    rate_hz: float


def _labels(info: Any) -> list[str]:
    """The channels' names in the stream's description."""
    labels, node = [], info.desc().child("channels").child("channel")
    while not node.empty():
        labels.append(node.child_value("label"))
        node = node.next_sibling("channel")
    return labels


def _columns(info: Any, card: ModelCard) -> dict[str, list[int]]:
    """Channel to columns: by label, or the whole stream if it is named like a channel."""
    labels = _labels(info)
    by_label = {c.name: [i for i, label in enumerate(labels) if label == c.name] for c in card.channels if c.name in labels}
    by_name = {c.name: list(range(info.channel_count())) for c in card.channels if c.name == info.name()}
    return by_label or by_name


def _open_inlets(card: ModelCard, stream_name: str) -> list[_Inlet]:
    """Every stream that brings channels of the model.

    Args:
        stream_name: of the only stream that is used; any stream if empty.

    Raises:
        RaylabError: if a channel is missing, or has another rate or width than the model's.
    """
    pylsl = load("pylsl", "live")
    channels = {channel.name: channel for channel in card.channels}
    inlets: list[_Inlet] = []
    until = time.monotonic() + FIND_S
    while time.monotonic() < until and {name for inlet in inlets for name in inlet.columns} < set(channels):
        opened = {inlet.uid for inlet in inlets}
        for info in pylsl.resolve_streams(wait_time=0.5):
            if info.uid() in opened or (stream_name and info.name() != stream_name) or info.channel_format() == pylsl.cf_string:
                continue
            stream = pylsl.StreamInlet(info, max_buflen=30, processing_flags=pylsl.proc_clocksync)
            try:
                columns = _columns(stream.info(timeout=FIND_S), card)
            except (RuntimeError, TimeoutError):  # it went away in the meantime
                continue
            if columns:
                inlets.append(_Inlet(stream, columns, info.name(), info.uid(), info.nominal_srate()))
    present = {name for inlet in inlets for name in inlet.columns}
    problems = [f"no stream brings {name}" for name in channels if name not in present]
    for inlet in inlets:
        for name, numbers in inlet.columns.items():
            channel = channels[name]
            if inlet.rate_hz != channel.recorded_hz:
                problems.append(f"{name} comes at {inlet.rate_hz:g} Hz, the model needs {channel.recorded_hz:g} Hz")
            if len(numbers) != channel.n_features:
                problems.append(f"{name} has {len(numbers)} columns, the model needs {channel.n_features}")
    if problems:
        raise RaylabError(
            f"lsl: {'; '.join(problems)}. Looked {FIND_S:g} s for streams named, or with channels labelled, as the model's"
        )
    return inlets


def lsl(card: ModelCard, options: SourceOptions) -> Source:
    """``lsl`` or ``lsl:NAME``."""
    inlets = _open_inlets(card, options.spec.partition(":")[2])
    return Source(
        f"lab streaming layer: {', '.join(inlet.name for inlet in inlets)}", lambda stop: _items(inlets, stop), recorded=False
    )


def _items(inlets: list[_Inlet], stop: Event) -> Iterator[Item]:
    """The chunks of the streams. The library looks for a stream that is lost, which goes on when it is back."""
    failed: set[str] = set()
    while not stop.is_set():
        received = False
        for inlet in inlets:
            try:
                samples, stamps = inlet.stream.pull_chunk(timeout=0.0, max_samples=MAX_SAMPLES)
            except Exception as error:  # the library's errors have no common class; a stream must not end the others
                if inlet.name not in failed:
                    yield Note(inlet.name, f"cannot be read ({error})")
                failed.add(inlet.name)
                continue
            if stamps:
                received = True
                failed.discard(inlet.name)
                yield from _pieces(inlet, np.asarray(samples, dtype=np.float64), stamps)
        if not received:
            stop.wait(0.005)


def _pieces(inlet: _Inlet, values: np.ndarray[Any, np.dtype[np.float64]], stamps: list[float]) -> Iterator[Chunk]:
    """Pulled samples in chunks of a quarter of a second, each with its own stamp, so that a gap among them is seen."""
    size = max(1, round(PIECE_S * inlet.rate_hz))
    for start in range(0, len(values), size):
        for name, columns in inlet.columns.items():
            yield Chunk(name, float(stamps[start]), values[start : start + size, columns])
