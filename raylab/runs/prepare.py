"""Raw files to windows, one participant a task, by Ray Data."""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import ray

import raylab
from raylab.errors import RaylabError, RecordingError
from raylab.files import Folder
from raylab.names import check_names, nfc
from raylab.plugins import Plugin, enter_same
from raylab.recordings import DATASETS
from raylab.recordings.recording import CIRCUMSTANCES, SESSION_GROUP, Baseline, Dataset, Label, Options, Recording
from raylab.runs.card_report import card_report
from raylab.runs.cluster import Executor, connect
from raylab.runs.participant_notes import NOTES, ParticipantNote, begun_file, note_file, problem_of, read_notes
from raylab.runs.ray_data_settings import quiet_ray_data
from raylab.runs.ray_errors import cause_of, death_of, first_line, sentence
from raylab.windows.card import (
    FORMAT,
    ParticipantCard,
    WindowsCard,
    channel_cards,
    joint_fingerprint,
    label_card,
    participant_summary,
)
from raylab.windows.channel_card import ChannelCard
from raylab.windows.copied_sessions import contents
from raylab.windows.dataset import CARD, fingerprint_of, stored_columns, to_table, write_index
from raylab.windows.feature_channels import feature_channels
from raylab.windows.feature_table import FeatureTable
from raylab.windows.index_file import INDEX
from raylab.windows.order import order_sentences
from raylab.windows.preprocess import Preprocessing
from raylab.windows.quality_channels import mean_quality, quality_channels
from raylab.windows.recording_rules import checked
from raylab.windows.segmentation import OnChannel
from raylab.windows.stored_rows import write_rows
from raylab.windows.utterances import Utterances
from raylab.windows.windowing import cut_windows

PROGRESS_EVERY_S = 3.0
RETRIES = 3  # of a participant whose process or node died


@dataclass(frozen=True)
class PrepareRequest:
    """A dataset to prepare.

    Attributes:
        labels, exclude: label names, the dataset's default labels if empty; participants to leave out.
        preprocessing, normalization: of signals, the paper's if None; of utterances, none if None.
        feature_contexts_s: seconds that features are computed from (``raylab.windows.feature_channels``); empty: a window; None: no features.
        feature_table: a table of the user's own features; None for none.
        plugins: that a process which reads has to enter, as this one did (``raylab.plugins``).
    """

    dataset: str
    root: str
    out: str
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    normalization: Literal["none", "per_speaker"] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    feature_contexts_s: tuple[float, ...] | None = None
    feature_table: FeatureTable | None = None
    plugins: tuple[Plugin, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was derived of them may hold code of a plugin, which another process has yet to enter."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def reader(self) -> Dataset:
        """The dataset, as the root describes it if it describes itself."""
        enter_same(self.plugins)
        return DATASETS[self.dataset].at(Path(self.root))

    @property
    def all_options(self) -> Options:
        """The dataset's options, with those that were asked for in their place."""
        return {**self.reader.options, **self.options}

    @cached_property
    def settings(self) -> Preprocessing | Utterances:
        """How this dataset becomes windows.

        Raises:
            RaylabError: if the settings asked for are of the other kind.
        """
        if self.reader.kind == "utterances":
            if self.feature_contexts_s is not None or self.feature_table:
                raise RaylabError(
                    f"{self.dataset} holds utterances: --features and --feature-table are for running signals of the body"
                )
            if self.preprocessing is not None:
                raise RaylabError(
                    f"{self.dataset} holds utterances: they have no stride, and are normalized none or per_speaker"
                )
            return Utterances(float(self.all_options["longest_s"]), self.normalization or "none")
        if self.normalization is not None:
            raise RaylabError(f"{self.dataset} holds running signals: say how they are normalized in their preprocessing")
        settings = self.preprocessing or Preprocessing()
        if settings.normalization == "baseline_condition" and not settings.baseline:
            return replace(settings, baseline=self._baseline())
        return settings

    def _baseline(self) -> Baseline:
        """The dataset's baseline condition.

        Raises:
            RaylabError: if it has none, or a label asked for has a class that is nothing else.
        """
        baseline = self.reader.baseline
        if baseline is None:
            raise RaylabError(
                f"{self.dataset} declares no baseline condition, so no samples of it can be normalized by: use --normalization first_minutes, or, "
                "in a csv_folder whose protocol has one, declare it in dataset.yaml (`baseline:`)"
            )
        for label in self.label_rules:
            for index, name in enumerate(label.classes):
                codes = [code for code, its_index in label.codes.items() if its_index == index]
                if label.track == baseline.track and codes == [baseline.code] and not baseline.first_run:
                    raise RaylabError(
                        f"class {name} of label {label.name} is the baseline condition itself ({baseline.description}): its windows would be "
                        "scaled by themselves, so none is given. Use another --normalization, or prepare other labels"
                    )
        return baseline

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels asked for, or the default ones."""
        return tuple(map(nfc, self.labels)) or self.reader.default_labels

    @property
    def label_rules(self) -> list[Label]:
        """The labels asked for, with the own mean that the options ask for.

        Raises:
            ValueError: if the dataset does not offer one of them, or there is no such own mean.
        """
        return [self.reader.label(name).with_own_mean(self.all_options) for name in self.label_names]


def _prepare_participant(batch: pa.Table, order: PrepareRequest) -> pa.Table:
    """Write the windows of one participant; a note for the card, or on the problem, goes into a file. Returns how many windows there are."""
    participant, number = batch["participant"][0].as_py(), batch["number"][0].as_py()
    folder, name = Folder(order.out), note_file(participant)
    folder.write(begun_file(participant), b"")  # without a note after it, the process died
    try:
        labels = order.label_rules
        recording = replace(order.reader.read(Path(order.root), participant, order.all_options), participant=participant)
        _check_inner_names(recording, order.root)
        recording = checked(recording, labels, order.settings)
        sessions = contents(recording)
        # Without features nobody needs a channel's samples beside its windows: a long recording goes as its windows come.
        done = _released(recording) if order.feature_contexts_s is None and not order.feature_table else (lambda name: None)
        windows = cut_windows(recording, labels, order.settings, done)
        summary, cards = participant_summary(recording, windows, labels), channel_cards(recording, windows)
        if order.feature_contexts_s is not None:
            features = feature_channels(recording, windows, float(order.settings.window_s), order.feature_contexts_s)
            quality = quality_channels(recording, windows, float(order.settings.window_s))
            windows, cards = quality.beside(features.beside(windows)), (*cards, *features.cards, *quality.cards)
            summary = summary.changed(missing=features.missing, quality=mean_quality(quality))
        if order.feature_table:
            table = order.feature_table.of(recording, windows, float(order.settings.window_s))
            windows, cards = table.beside(windows), (*cards, *table.cards)
            summary = summary.changed(missing={**summary.missing, **table.missing})
        rows = to_table(windows, participant, number, list(order.label_names))
        digest = fingerprint_of(rows, stored_columns(map(label_card, labels), cards))
        note = ParticipantNote(summary=summary, fingerprint=digest, channels=cards, sessions=sessions)
        write_rows(folder, participant, rows)
    except Exception as error:  # whatever a reader raises is noted for the driver, by participant, and goes on
        folder.write_json(name, ParticipantNote(error=problem_of(error, participant)).model_dump(mode="json"))
        if isinstance(error, RaylabError | OSError):  # the note says it, and Ray Data would print a stack beside
            return pa.table({"participant": [participant], "windows": [0]})
        raise
    folder.write_json(name, note.model_dump(mode="json"))
    return pa.table({"participant": [participant], "windows": [len(windows.start_s)]})


def _released(recording: Recording) -> OnChannel:
    """Takes the samples of a channel out of the recording."""

    def done(name: str) -> None:
        for segment in recording.segments:
            if isinstance(segment.signals, dict):
                del segment.signals[name]

    return done


def _check_inner_names(recording: Recording, root: str) -> None:
    """Refuse names of channels and sessions that cannot be used."""
    sessions = dict.fromkeys(segment.session for segment in recording.segments)
    names = {"channel": [channel.name for channel in recording.channels], "session": list(sessions)}
    check_names(f"participant {recording.participant}, {root}", names)


def participants_of(order: PrepareRequest) -> list[str]:
    """The participants to read, in the dataset's order.

    Raises:
        RaylabError: if the folder is missing, a name is unknown, an option does not exist, or no participant is left.
    """
    if DATASETS[order.dataset].needs_root and not Path(order.root).is_dir():
        raise RecordingError("is no folder", file=order.root, remedy="give the dataset's folder with --root")
    _check_options(order)
    _ = order.label_rules, order.settings  # refused before anything is read
    available = [nfc(name) for name in order.reader.participants(Path(order.root), order.all_options)]
    excluded = {nfc(name) for name in order.exclude}
    if unknown := sorted(excluded - set(available)):
        raise RaylabError(f"--exclude names {', '.join(unknown)}; {order.dataset} has {', '.join(available)}")
    names = [name for name in available if name not in excluded]
    check_names(order.root, {"participant": names} | _names_of_labels(order))
    if not names:
        raise RaylabError(f"--exclude leaves nobody of {order.dataset}'s {len(available)} participants")
    return names


def _names_of_labels(order: PrepareRequest) -> dict[str, list[str]]:
    """Names of the labels asked for and of their classes, by kind."""
    classes = {f"label {label.name} has a class, and the class": list(label.classes) for label in order.label_rules}
    return {"label": list(order.label_names), **classes}


def _check_options(order: PrepareRequest) -> None:
    """Refuse options that the dataset does not have, and text for those whose default is a number."""
    defaults = order.reader.options
    if unknown := sorted(set(order.options) - set(defaults)):
        raise RaylabError(f"{order.dataset} has no option {', '.join(unknown)} (it has {', '.join(defaults) or 'none'})")
    if order.reader.kind == "utterances":
        return  # readers of utterances check the values themselves, all in one message
    no_numbers = [
        f"{name}={value}: expected a number, as {name}={defaults[name]}"
        for name, value in order.options.items()
        if type(defaults[name]) in (int, float) and type(value) not in (int, float)
    ]
    if no_numbers:
        raise RaylabError(f"--option {'; '.join(no_numbers)}")


def _claim(folder: Folder, overwrite: bool) -> None:
    """Make room: half-written windows go; finished ones only if asked."""
    if folder.exists(CARD) and not overwrite:
        raise RaylabError(f"{folder.uri} holds prepared windows already; a dataset is prepared once (--overwrite replaces it)")
    if folder.exists(CARD) or folder.exists(NOTES):
        folder.remove(CARD)
        folder.remove(INDEX)
        for name in folder.folders(""):
            if name.startswith("participant=") or name == NOTES:
                folder.remove(name)
    elif folder.exists("") and (folder.folders("") or folder.names("")):
        raise RaylabError(f"{folder.uri} is not empty and holds no windows; give another --out")


@contextlib.contextmanager
def _progress(folder: Folder, participants: list[str], say: Callable[[str], None]) -> Iterator[None]:
    """Say every few seconds how many participants are done: Ray Data's own lines speak of blocks."""
    stop = threading.Event()

    def watch() -> None:
        last = 0
        while not stop.wait(PROGRESS_EVERY_S):
            finished = len(folder.names(NOTES, ".json")) - 1  # less the note that it started
            if finished > last:
                say(f"  {finished}/{len(participants)} participants")
                last = finished

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _write(order: PrepareRequest, participants: list[str]) -> None:
    connect()  # before Ray Data starts a Ray of its own, which would listen on every interface
    items = [{"participant": name, "number": i} for i, name in enumerate(participants)]
    with quiet_ray_data() as context:
        context.max_errored_blocks = -1  # go on to the other participants, so that every problem is named at once
        rows = ray.data.from_items(items, override_num_blocks=len(items))
    # Ray Data's own number of retries is infinite: a file that crashes its reader would be read for ever
    settings = {"batch_size": 1, "batch_format": "pyarrow", "fn_kwargs": {"order": order}, "max_retries": RETRIES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray's own, of how the retries are passed on
        rows.map_batches(_prepare_participant, **settings).materialize()


def _write_local(order: PrepareRequest, participants: list[str]) -> None:
    """The same files without Ray, one participant after the other."""
    failure: Exception | None = None
    for number, name in enumerate(participants):
        try:
            _prepare_participant(pa.table({"participant": [name], "number": [number]}), order)
        except Exception as error:  # go on to the other participants, so that every problem is named at once
            failure = failure or error
    if failure:
        raise failure


def prepare(
    order: PrepareRequest, overwrite: bool = False, say: Callable[[str], None] = print, where: Executor = "ray"
) -> WindowsCard:
    """Prepare a dataset on the connected Ray (a local one is started if there is none), or in this process (``local``).

    Returns:
        the card.

    Raises:
        RaylabError: with every participant's problem; no card is written then.
    """
    folder, participants = Folder(order.out), participants_of(order)
    labels = order.label_rules
    _claim(folder, overwrite)
    say(
        f"{order.dataset}: {len(participants)} participants, label(s) {', '.join(order.label_names)}; {order.settings.description}"
    )
    for note in order.reader.notes:
        say(f"  {note}")
    folder.write_json(f"{NOTES}/started.json", {"participants": participants})
    try:
        with _progress(folder, participants, say):
            (_write if where == "ray" else _write_local)(order, participants)
    except Exception as error:  # Ray wraps the cause; the notes say it in our words
        cause = cause_of(error)
        read_notes(folder, participants, death_of(cause))
        raise RaylabError(
            sentence(cause, "writing the windows") or f"writing the windows failed: {first_line(cause)}"
        ) from error
    card = _card(order, labels, *read_notes(folder, participants))
    index = write_index(folder, card)
    card = card.changed(order=tuple(sentence for label in labels for sentence in order_sentences(index, label.name)))
    folder.write_json(CARD, card.as_json())
    folder.remove(NOTES)
    for line in card_report(card):
        say(line)
    return card


def _card(
    order: PrepareRequest,
    labels: list[Label],
    participants: list[ParticipantCard],
    channels: tuple[ChannelCard, ...],
) -> WindowsCard:
    """The card of windows that are written; their fingerprints are of the rows that were written, and every start compares the files with them."""
    reader = order.reader
    return WindowsCard(
        format=FORMAT,
        dataset=reader.name,
        raylab=raylab.__version__,
        caution=f"{reader.caution} {order.settings.caution}".strip(),
        licence=reader.licence,
        citation=reader.citation,
        options=dict(order.all_options),
        preprocessing=order.settings,
        labels=tuple(label_card(label) for label in labels),
        channels=channels,
        similarity_traits=tuple(name for name in reader.traits if name not in (SESSION_GROUP, *CIRCUMSTANCES)),
        participants=tuple(participants),
        fingerprint=joint_fingerprint(participants),
    )
