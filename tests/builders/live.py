"""A small run on a simulated cohort with causal normalization, and models of it as files."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

import analysis
from raylab.live.core.event_bus import EventBus
from raylab.live.core.messages import Chunk, Item, Note, Source, Window
from raylab.live.core.model_file import LiveModel
from raylab.live.export import export
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import parse_study
from raylab.windows.dataset import Windows
from raylab.windows.preprocess import Preprocessing

OPTIONS = {"participants": 4, "minutes": 4, "seed": 5}
STUDY = {
    "name": "live",
    "datasets": [{"windows": "simulated", "label": "stress", "participants": ["P01"]}],
    "models": [
        {"encoder": "fcn", "width": 0.0625},
        {"encoder": "fcn", "width": 0.0625, "fusion": "attention"},
        {"encoder": "mlp_lstm", "width": 0.0625},
        {"encoder": "svm"},
    ],
    "techniques": ["non_personalized", {"name": "hybrid", "budget": [3], "unit": "window"}],
    "protocol": {"epochs": 2, "batch_size": 16},
}
TUNED = {
    **STUDY,
    "models": STUDY["models"][:1],  # type: ignore[index]  # a list, by its name
    "techniques": [
        "non_personalized",
        {"name": "fine_tuning", "layers": ["all", "last"], "budget": [3], "unit": "window"},
        {"name": "user_dependent", "budget": [3], "unit": "window"},
    ],
}


def make_run(root: Path) -> Path:
    """``root/windows`` and the run folders ``root/run`` and ``root/tuned``."""
    past = Preprocessing(normalization="past")
    order = PrepareRequest("simulated", ".", str(root / "windows/simulated"), preprocessing=past, options=OPTIONS)
    prepare(order, say=lambda line: None, where="local")
    for name, study in (("run", STUDY), ("tuned", TUNED)):
        summary = start(parse_study(study, name), str(root / "windows"), str(root / name), "local", log=lambda line: None)
        assert summary.complete
    return root


def key_of(run: Path, **columns: str) -> str:
    """The key of the one trial with these columns."""
    trials = analysis.load(str(run)).trials
    for name, value in columns.items():
        trials = trials[trials[name] == value]
    (key,) = trials["trial"]
    return str(key)


def exported(root: Path, run: str = "run", **columns: str) -> LiveModel:
    """The model of the one trial with these columns, exported to ``root/models``."""
    selected = {"model": "fcn w0.0625", "technique": "non_personalized", **columns}
    return export(
        str(root / run),
        key_of(root / run, **selected),
        root / "models" / ("-".join(selected.values()).replace(" ", "_") + ".raylab"),
    )


def labelled(windows: Windows, participant: int, label: str) -> Iterator[tuple[Window, int]]:
    """A participant's prepared windows as a stream would give them, with their class indices."""
    for row in np.flatnonzero((windows.index.participant_index == participant) & (windows.index.labels[label] >= 0)):
        values = {name: signals[row].copy() for name, signals in windows.signals.items()}
        start = float(windows.index.start_s[row])
        yield Window(int(row), start, start + 10, values, {}, {}, {}, 0.0), int(windows.index.labels[label][row])


def subscribe(bus: EventBus) -> Any:
    """A queue of all events; ``events`` takes them out until the stream has ended."""
    return bus.subscribe(waits=True)


def events(queue: Any) -> list[dict[str, Any]]:
    """All events, once the stream has ended."""
    collected = []
    while not queue.done:
        event = queue.get(0.1)
        if event is not None:
            collected.append(event)
    return collected


def signal(rate_hz: float, seconds: float, seed: int = 0) -> Any:
    """(n, 1) of noise around a level that is not 0."""
    return np.random.default_rng(seed).normal(5.0, 1.0, (round(rate_hz * seconds), 1))


def chunks_of(signals: dict[str, tuple[float, Any]], each_s: float = 0.25, begin_s: float = 0.0) -> Iterator[Chunk]:
    """Chunks of ``each_s`` of all channels in turn.

    Args:
        signals: channel to (rate, samples (n, n_features)).
    """
    seconds = max(len(samples) / rate for rate, samples in signals.values())
    for number in range(int(np.ceil(seconds / each_s))):
        for name, (rate, samples) in signals.items():
            first, last = round(number * each_s * rate), round((number + 1) * each_s * rate)
            if len(samples[first:last]):
                yield Chunk(name, begin_s + first / rate, samples[first:last])


def source_of(items: Any, recorded: bool = True, picture: bool = False) -> Source:
    """A source of these items."""

    def give(stop: Event) -> Iterator[Item]:
        for item in items:
            if stop.is_set():
                return
            yield item

    return Source("made for a test", give, recorded, picture=picture)


class CollectedNotes(list[Note]):
    """Collects notes."""

    def __call__(self, note: Note) -> None:
        self.append(note)

    @property
    def texts(self) -> list[str]:
        return [f"{note.about}: {note.text}" for note in self]
