"""Raw files to windows, one participant a task, by Ray Data."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import ray

import raylab
from raylab.errors import RaylabError, RecordingError
from raylab.files import Folder
from raylab.hashing import hash_record
from raylab.recordings import DATASETS
from raylab.recordings.recording import Dataset, Label, Options, Recording
from raylab.runs.cluster import Executor, connect
from raylab.windows.dataset import CARD, channel_cards, fingerprint_of, read_rows, stored_columns, to_table
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut, summary
from raylab.windows.utterances import Utterances, cut_utterances

PROGRESS_EVERY_S = 3.0
NOTES = "making"  # what the tasks tell the driver, one small file a participant; removed when the card is written


@dataclass(frozen=True)
class PrepareRequest:
    """What to prepare.

    Attributes:
        labels: label names; the dataset's default labels where empty.
        preprocessing: of signals; the paper's where None.
        normalization: of utterances; none where None.
        exclude: participants to leave out.
    """

    dataset: str
    root: str
    out: str
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    normalization: Literal["none", "per_speaker"] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()

    @cached_property
    def reader(self) -> Dataset:
        return DATASETS[self.dataset].at(Path(self.root))

    @property
    def all_options(self) -> Options:
        """The dataset's options, with those that were asked for in their place."""
        return {**self.reader.options, **self.options}

    @cached_property
    def settings(self) -> Preprocessing | Utterances:
        """How this dataset becomes windows.

        Raises:
            RaylabError: where the settings asked for are of the other kind.
        """
        if self.reader.utterances:
            if self.preprocessing is not None:
                raise RaylabError(
                    f"{self.dataset} holds utterances: they have no stride, and are normalized none or per_speaker"
                )
            return Utterances(float(self.all_options["longest_s"]), self.normalization or "none")
        if self.normalization is not None:
            raise RaylabError(f"{self.dataset} holds running signals: they are normalized recording or past")
        return self.preprocessing or Preprocessing()

    def cut(self, recording: Recording, labels: list[Label]) -> ParticipantWindows:
        """One participant's windows."""
        if isinstance(self.settings, Utterances):
            return cut_utterances(recording, labels, self.settings)
        return cut(recording, labels, self.settings)

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.labels or self.reader.default_labels


def _one(batch: pa.Table, order: PrepareRequest) -> pa.Table:
    """The windows of one participant; what the card will say of them, or what was wrong, goes beside."""
    participant, number = batch["participant"][0].as_py(), batch["number"][0].as_py()
    folder = Folder(order.out)
    try:
        labels = [order.reader.label(name) for name in order.label_names]
        recording = order.reader.read(Path(order.root), participant, order.all_options)
        made = order.cut(recording, labels)
    except Exception as error:  # whatever a reader raises is noted for the driver, by participant, and goes on
        fault = f"participant {participant}: a fault in raylab, which --traceback shows: {type(error).__name__}: {error}"
        problem = str(error) if isinstance(error, RaylabError | OSError) else fault
        folder.write_json(f"{NOTES}/{participant}.json", {"error": problem})
        raise
    note = {"summary": summary(recording, made, labels), "channels": channel_cards(recording, made)}
    folder.write_json(f"{NOTES}/{participant}.json", note)
    return to_table(made, participant, number, list(order.label_names))


def people_of(order: PrepareRequest) -> list[str]:
    """The participants to read, in the dataset's order.

    Raises:
        RaylabError: where the folder is missing, a name is unknown, an option does not exist, or nobody is left.
    """
    if DATASETS[order.dataset].needs_root and not Path(order.root).is_dir():
        raise RecordingError("is no folder", file=order.root, remedy="give the dataset's folder with --root")
    _check_options(order)
    people = order.reader.participants(Path(order.root), order.all_options)
    if unknown := sorted(set(order.exclude) - set(people)):
        raise RaylabError(f"--exclude names {', '.join(unknown)}; {order.dataset} has {', '.join(people)}")
    kept = [name for name in people if name not in order.exclude]
    if not kept:
        raise RaylabError(f"--exclude leaves nobody of {order.dataset}'s {len(people)} participants")
    return kept


def _check_options(order: PrepareRequest) -> None:
    """Refuse options that the dataset does not have, and text if its default is a number."""
    defaults = order.reader.options
    if unknown := sorted(set(order.options) - set(defaults)):
        raise RaylabError(f"{order.dataset} has no option {', '.join(unknown)} (it has {', '.join(defaults) or 'none'})")
    for name, value in order.options.items():
        if type(defaults[name]) in (int, float) and type(value) not in (int, float):
            raise RaylabError(f"--option {name}={value}: expected a number, as {name}={defaults[name]}")


def _claim(folder: Folder, overwrite: bool) -> None:
    """Make room: half-written windows go; finished ones only if asked."""
    if folder.exists(CARD) and not overwrite:
        raise RaylabError(f"{folder.uri} holds prepared windows already; a dataset is prepared once (--overwrite replaces it)")
    if folder.exists(CARD) or folder.exists(NOTES):
        folder.remove(CARD)
        for name in folder.folders(""):
            if name.startswith("participant=") or name == NOTES:
                folder.remove(name)
    elif folder.exists("") and (folder.folders("") or folder.names("")):
        raise RaylabError(f"{folder.uri} is not empty and holds no windows; give another --out")


@contextlib.contextmanager
def _said_as_done(folder: Folder, people: list[str], say: Callable[[str], None]) -> Iterator[None]:
    """Say every few seconds how many participants are done: Ray Data's own lines speak of blocks."""
    stop = threading.Event()

    def watch() -> None:
        last = 0
        while not stop.wait(PROGRESS_EVERY_S):
            done = len(folder.names(NOTES, ".json")) - 1  # less the note that it started
            if done > last:
                say(f"  {done}/{len(people)} participants")
                last = done

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _write(order: PrepareRequest, people: list[str]) -> None:
    connect()  # before Ray Data starts a Ray of its own, which would listen on every interface
    items = [{"participant": name, "number": i} for i, name in enumerate(people)]
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # go on to the other participants, so that every problem is named at once
    folder = Folder(order.out)
    rows = ray.data.from_items(items, override_num_blocks=len(items))
    made = rows.map_batches(_one, batch_size=1, batch_format="pyarrow", fn_kwargs={"order": order})
    made.write_parquet(folder.path, filesystem=folder.system, partition_cols=["participant"])


def _write_local(order: PrepareRequest, people: list[str]) -> None:
    """The same files without Ray, one participant after the other."""
    for number, name in enumerate(people):
        table = _one(pa.table({"participant": [name], "number": [number]}), order)
        Folder(order.out).write_table(f"participant={name}/part-0.parquet", table.drop_columns(["participant"]))


def _notes(folder: Folder, people: list[str]) -> list[dict[str, Any]]:
    """What the tasks said, in the participants' order.

    Raises:
        RaylabError: with every problem.
    """
    there = set(folder.names(NOTES, ".json"))
    notes = [
        folder.read_json(f"{NOTES}/{name}.json")
        if f"{name}.json" in there
        else {"error": f"participant {name}: its task was lost"}
        for name in people
    ]
    problems = [note["error"] for note in notes if "error" in note]
    first = notes[0].get("channels")
    odd = [name for name, note in zip(people, notes, strict=True) if "channels" in note and first and note["channels"] != first]
    if odd:
        problems.append(
            f"participant(s) {', '.join(odd)} have other channels or rates than {people[0]}; prepare them apart, or set a device by --option"
        )
    if problems:
        raise RaylabError("nothing was prepared:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return notes


def prepare(
    order: PrepareRequest, overwrite: bool = False, say: Callable[[str], None] = print, where: Executor = "ray"
) -> dict[str, Any]:
    """Prepare a dataset on the connected Ray (a local one is started if there is none), or in this process (``local``).

    Returns:
        the card.

    Raises:
        RaylabError: with every participant's problem; no card is written then.
    """
    folder, people = Folder(order.out), people_of(order)
    for name in order.label_names:
        order.reader.label(name)
    _claim(folder, overwrite)
    say(
        f"{order.dataset}: {len(people)} participants, label(s) {', '.join(order.label_names)}, normalization {order.settings.normalization}"
    )
    folder.write_json(f"{NOTES}/started.json", {"participants": people})
    try:
        with _said_as_done(folder, people, say):
            (_write if where == "ray" else _write_local)(order, people)
    except Exception as error:  # Ray wraps the cause; the notes say it in our words
        _notes(folder, people)
        raise RaylabError(f"writing the windows failed: {error}") from error
    card = _card(order, people, _notes(folder, people), folder)
    folder.write_json(CARD, card)
    folder.remove(NOTES)
    for line in _report(card):
        say(line)
    return card


def _card(order: PrepareRequest, people: list[str], notes: list[dict[str, Any]], folder: Folder) -> dict[str, Any]:
    reader = order.reader
    labels = [reader.label(name) for name in order.label_names]
    card: dict[str, Any] = {
        "format": 1,
        "dataset": reader.name,
        "raylab": raylab.__version__,
        "caution": f"{reader.caution} {order.settings.caution}".strip(),
        "licence": reader.licence,
        "citation": reader.citation,
        "options": dict(order.all_options),
        "preprocessing": order.settings.as_dict(),
        "labels": [{"name": label.name, "classes": list(label.classes), "decide": label.decide} for label in labels],
        "channels": notes[0]["channels"],
        "similarity_traits": list(reader.traits),
        "participants": [note["summary"] for note in notes],
    }
    columns = stored_columns(card)
    for entry in card["participants"]:
        entry["fingerprint"] = fingerprint_of(read_rows(folder, entry["name"], columns), columns)
    card["fingerprint"] = hash_record([[entry["name"], entry["fingerprint"]] for entry in card["participants"]])
    return card


def _report(card: dict[str, Any]) -> list[str]:
    lines = []
    for entry in card["participants"]:
        counts = "; ".join(
            f"{label}: " + ", ".join(f"{n} {name}" for name, n in by.items()) for label, by in entry["counts"].items()
        )
        lines.append(f"  {entry['name']:>5}  {entry['duration_s']:8.1f} s  {entry['windows']:5d} windows  {counts}")
        lines += [f"         {note}" for note in entry["notes"]]
    total = sum(entry["windows"] for entry in card["participants"])
    lines.append(
        f"{total:,} windows over {len(card['participants'])} people, {len(card['channels'])} channels, fingerprint {card['fingerprint']}"
    )
    return lines
