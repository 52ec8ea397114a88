"""The card of prepared windows: everything that a reader has to know of them besides the numbers themselves.

``card.json`` is written last, so a folder without it is half written, and read strictly: a card that lacks a field, has one that raylab does
not write, or contradicts itself is refused, because windows that are taken for others give results without a warning. It carries a digest of
its own content, so that an edit of a class name or a setting is noticed; the fingerprint of the windows is another matter, and stays what it is.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    field_serializer,
    model_serializer,
    model_validator,
)

from raylab.errors import RaylabError, first_of, shown
from raylab.hashing import hash_record
from raylab.recordings.recording import DatasetKind, Decision, Label, OwnMean, Recording
from raylab.windows.card_problems import content_digest, field_problem
from raylab.windows.channel_card import CardPart, ChannelCard, Count, Name
from raylab.windows.number_types import NotNegative, finite
from raylab.windows.preprocess import Preprocessing, required_settings
from raylab.windows.segmentation import ParticipantWindows
from raylab.windows.utterances import Utterances

FORMAT: Literal[1] = 1
REMEDY = "prepare the dataset again"
DIGEST = "digest"  # in the file only: a digest of all the rest of it
NO_DIGEST = "The card of these windows was written before raylab kept a digest of it: an edit of it would not be noticed."


def kind_of(preprocessing: Mapping[str, Any]) -> DatasetKind:
    """The kind of data that a card's ``preprocessing`` is for. A card does not state it: only running signals are filtered."""
    return "signals" if "lowpass_hz" in preprocessing else "utterances"


def _tag(settings: Any) -> DatasetKind | None:
    """The kind of these settings or of this part of a file; None if they are neither."""
    if isinstance(settings, Preprocessing | Utterances):
        return settings.kind
    return kind_of(settings) if isinstance(settings, Mapping) else None


def _every_setting(settings: Any) -> Any:
    """The same, if no setting is missing: the default of another version of raylab might not be what was done."""
    if isinstance(settings, Mapping):
        signals = kind_of(settings) == "signals"
        required = required_settings(settings) if signals else [field.name for field in fields(Utterances)]
        if missing := [name for name in required if name not in settings]:
            raise ValueError(f"{', '.join(missing)} is missing")
    return settings


def _trait(value: Any) -> float | str:
    return value if isinstance(value, str) else finite(value)


CardTrait = Annotated[int | float | str, PlainValidator(_trait)]
Settings = Annotated[
    Annotated[Preprocessing, Tag("signals")] | Annotated[Utterances, Tag("utterances")],
    Discriminator(_tag, custom_error_type="settings", custom_error_message="it has to be an object with the settings"),
    BeforeValidator(_every_setting),
]


class LabelCard(CardPart):
    """One label.

    Attributes:
        classes: names of the classes, in the order of their index.
        decide: how the codes within a window become its class; see ``raylab.recordings.recording.Label``.
        own_mean: the own mean of ``above_own_mean``; cards from before there was a choice have none, which is ``time``.
    """

    name: Name
    classes: tuple[Name, ...]
    decide: Decision
    own_mean: OwnMean | None = None

    @model_serializer(mode="wrap")
    def _own_mean_if_used(self, content: Any) -> dict[str, Any]:
        """``own_mean`` is written if the label is decided by it."""
        return {name: value for name, value in content(self).items() if name != "own_mean" or value}

    @model_validator(mode="after")
    def _each_class_once(self) -> Self:
        _refuse_repeated(f"label {self.name} has the class", self.classes)
        return self


class ParticipantSummary(CardPart):
    """One participant, as its windows are cut.

    Attributes:
        windows: their number; ``duration_s``: of the whole recording.
        counts: label -> class -> number of windows.
        traits: numbers, or text for categories.
        notes: the reader's sentences on data that it left out, or that differ from the publication.
        missing: channel of features -> feature -> number of windows that do not have it; features that all have are not named.
        quality: channel of quality -> measure -> its mean over the windows.
    """

    name: Name
    windows: Count
    duration_s: NotNegative
    counts: dict[str, dict[str, Count]]
    traits: dict[str, CardTrait]
    notes: tuple[str, ...] = ()  # the first cards had none
    missing: dict[str, dict[str, Count]] = Field(default_factory=dict)
    quality: dict[str, dict[str, NotNegative]] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _later_if_any(self, content: Any) -> dict[str, Any]:
        """``missing`` and ``quality`` are written if there is something."""
        return {name: value for name, value in content(self).items() if name not in ("missing", "quality") or value}


class ParticipantCard(ParticipantSummary):
    """One participant, as its windows are stored.

    Attributes:
        fingerprint: digest of the stored windows.
    """

    fingerprint: Name


class ProbeCard(CardPart):
    """A leak probe that these windows went through (``raylab.validity.probes``).

    Attributes:
        kind, seed: of the probe.
        origin: fingerprint of the windows that it was made from; ``from`` in the file.
        kept_own: of shuffled traits: how many participants got their own by chance.
        channels: of shuffled transcripts: the channels that were permuted.
        person, noise: of a duplicated participant: the name, and the standard deviation of the noise on its copy.
    """

    model_config = ConfigDict(populate_by_name=True)

    kind: Name
    seed: int
    origin: Annotated[str, Field(alias="from")]
    kept_own: Count | None = None
    channels: tuple[str, ...] | None = None
    person: str | None = None
    noise: NotNegative | None = None

    @model_serializer(mode="wrap")
    def _of_this_kind(self, content: Any) -> dict[str, Any]:
        """Fields of other kinds of probes are not written."""
        return {name: value for name, value in content(self).items() if value is not None}

    @property
    def suffix(self) -> str:
        """The mark behind a dataset's name in every table."""
        return self.kind.replace("_", " ")


class WindowsCard(CardPart):
    """A dataset's prepared windows.

    Attributes:
        format: of the card and of the Parquet files beside it.
        raylab: the version that prepared them.
        dataset: its name, by which ``raylab.recordings.DATASETS`` knows it unless it described itself.
        caution: the sentence that every table of this data must carry; may be empty.
        licence: of the data; ``citation``: the publication.
        options: of the reader, all of them.
        preprocessing: how recordings became windows.
        labels: in the order they were asked for.
        channels: in the order of the recording.
        participants: in the order of the dataset; ids of windows count them.
        similarity_traits: the traits that similarity of participants is computed from.
        order: sentences on which class came first, for how many people (``raylab.windows.order``); none for utterances and older cards.
        probes: leak probes that the windows went through, first ones first.
        fingerprint: digest of all participants' windows; part of the hash of every stage trained on them.
    """

    format: Literal[1]
    raylab: str
    dataset: Name
    caution: str
    licence: str
    citation: str
    options: dict[str, Any]
    preprocessing: Settings
    labels: tuple[LabelCard, ...]
    channels: tuple[ChannelCard, ...]
    participants: tuple[ParticipantCard, ...]
    similarity_traits: tuple[str, ...]
    order: tuple[str, ...] = ()
    probes: tuple[ProbeCard, ...] = ()
    fingerprint: Name

    @property
    def kind(self) -> DatasetKind:
        """``signals``: windows were cut from running signals; ``utterances``: each is one utterance."""
        return self.preprocessing.kind

    def label(self, name: str) -> LabelCard:
        """The label of this name.

        Raises:
            KeyError: if there is none.
        """
        return {label.name: label for label in self.labels}[name]

    def participant(self, name: str) -> ParticipantCard:
        """The participant of this name.

        Raises:
            KeyError: if there is none.
        """
        return {entry.name: entry for entry in self.participants}[name]

    @property
    def variable_channels(self) -> tuple[str, ...]:
        """Names of the channels of which each window has its own number of valid steps."""
        return tuple(channel.name for channel in self.channels if channel.variable)

    @property
    def linguistic_channels(self) -> tuple[str, ...]:
        """Names of the channels that hold the spoken words."""
        return tuple(channel.name for channel in self.channels if channel.modality == "linguistic")

    @property
    def signal_channels(self) -> tuple[str, ...]:
        """Names of the channels that are no features: those that models get unless they ask for features."""
        return tuple(channel.name for channel in self.channels if not channel.features)

    def reach_s(self, names: Iterable[str] | None = None) -> float:
        """Seconds of signal, ending with a window, that these channels (all if None) see: a window, or more if features look further back."""
        wanted = None if names is None else set(names)
        reaches = [channel.reach_s for channel in self.channels if wanted is None or channel.name in wanted]
        return max([float(self.preprocessing.window_s), *reaches])

    def missing_share(self, channel: str, feature: str) -> float:
        """Share of all windows that do not have a feature."""
        missing = sum(entry.missing.get(channel, {}).get(feature, 0) for entry in self.participants)
        return missing / max(sum(entry.windows for entry in self.participants), 1)

    @property
    def has_traits(self) -> bool:
        """Whether participants can be compared by traits."""
        return bool(self.similarity_traits) and any(entry.traits for entry in self.participants)

    @field_serializer("preprocessing")
    def _as_the_settings_write(self, settings: Preprocessing | Utterances) -> dict[str, Any]:
        return settings.as_dict()

    @model_serializer(mode="wrap")
    def _what_there_is(self, content: Any) -> dict[str, Any]:
        """``order`` and ``probes`` are written if there are any."""
        return {name: value for name, value in content(self).items() if name not in ("order", "probes") or value}

    @model_validator(mode="after")
    def _one_of_each_name(self) -> Self:
        for part, entries in (("label", self.labels), ("channel", self.channels), ("participant", self.participants)):
            _refuse_repeated(f"it has the {part}", [entry.name for entry in entries])
        return self

    @model_validator(mode="after")
    def _counts_of_these_classes(self) -> Self:
        classes = {label.name: set(label.classes) for label in self.labels}
        for entry in self.participants:
            if {name: set(counts) for name, counts in entry.counts.items()} != classes:
                raise ValueError(f"the counts of participant {entry.name} are not of the labels and classes that the card has")
        return self

    def as_json(self) -> dict[str, Any]:
        """The content of ``card.json``, with its digest."""
        content = self.model_dump(mode="json", by_alias=True)
        return {**content, DIGEST: hash_record(content)}


def _refuse_repeated(what: str, names: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} {', '.join(repeated)} twice")


def channel_cards(recording: Recording, windows: ParticipantWindows) -> tuple[ChannelCard, ...]:
    """The channels of a recording and of the windows that were cut from it."""
    return tuple(
        ChannelCard(
            name=channel.name,
            modality=channel.modality,
            recorded_hz=channel.rate_hz,
            rate_hz=channel.target_rate_hz,
            unit=channel.unit,
            length=windows.signals[channel.name].shape[1],
            n_features=windows.signals[channel.name].shape[2],
            variable=channel.variable,
        )
        for channel in recording.channels
    )


def label_card(label: Label) -> LabelCard:
    """A label as the card holds it."""
    own_mean = label.own_mean if label.decide == "above_own_mean" else None
    return LabelCard(name=label.name, classes=tuple(label.classes), decide=label.decide, own_mean=own_mean)


def participant_summary(recording: Recording, windows: ParticipantWindows, labels: Iterable[Label]) -> ParticipantSummary:
    """A participant's windows, counted by label and class, with traits and the reader's notes."""
    return ParticipantSummary(
        name=recording.participant,
        windows=len(windows.start_s),
        duration_s=round(windows.duration_s, 3),
        counts={
            label.name: {name: int((windows.labels[label.name] == i).sum()) for i, name in enumerate(label.classes)}
            for label in labels
        },
        traits=dict(recording.traits),
        notes=tuple(recording.notes),
    )


def stored_participant(summary: ParticipantSummary, fingerprint: str) -> ParticipantCard:
    """The participant with the digest of the windows as they were stored."""
    return ParticipantCard.model_validate({**dict(summary), "fingerprint": fingerprint})


def joint_fingerprint(participants: Iterable[ParticipantCard], *more: Any) -> str:
    """Digest of all participants' windows and of what else (JSON) tells them from others."""
    return hash_record([*([entry.name, entry.fingerprint] for entry in participants), *more])


def parse_card(content: bytes, path: str) -> WindowsCard:
    """The card from the content of ``card.json``; ``path`` is named in messages.

    Raises:
        RaylabError: if it is no JSON, of another format, damaged, or edited; it names each field that raylab would not write.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RaylabError(f"{path} is damaged: it is no JSON ({error}); {REMEDY}") from error
    written = parsed.get("format") if isinstance(parsed, dict) else None
    if written != FORMAT:
        raise RaylabError(f"{path} has format {shown(written)}, this raylab reads {FORMAT}; {REMEDY}")
    digest = parsed.pop(DIGEST, None)
    try:
        card = WindowsCard.model_validate_json(json.dumps(parsed))
    except ValidationError as error:
        problems = [field_problem(detail) for detail in error.errors()]
        raise RaylabError(
            f"{path} is damaged, or was edited into no card: {first_of(problems)}. What to do: {REMEDY}"
        ) from error
    if digest is None:
        return card.changed(caution=f"{card.caution} {NO_DIGEST}".strip())
    if digest != content_digest(parsed):
        raise RaylabError(
            f"{path}: the card's digest does not match: the card was edited or damaged after the windows were prepared (their classes, settings, "
            f"channels or participants may be others). What to do: {REMEDY}"
        )
    return card
