"""Sources of a stream, in an explicit table; a source is chosen by the word before the first colon of ``--source``.

A source gives the messages of ``core`` and reads the model's card; it knows nothing else of the stream.
"""

from collections.abc import Callable
from dataclasses import dataclass

from raylab.errors import RaylabError
from raylab.live.core.messages import Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.devices import camera, microphone
from raylab.live.sources.film import film
from raylab.live.sources.folder import folder
from raylab.live.sources.lines import stdin
from raylab.live.sources.lsl import lsl
from raylab.live.sources.source import SourceOptions
from raylab.live.sources.wav import wav


@dataclass(frozen=True)
class SourceType:
    """An entry of the table.

    Attributes:
        utterances: whether it brings sound, for models of utterances; otherwise running signals.
    """

    name: str
    open: Callable[[ModelCard, SourceOptions], Source]
    description: str
    utterances: bool


SOURCES: dict[str, SourceType] = {
    kind.name: kind
    for kind in (
        SourceType("folder", folder, "folder:DIR, one participant of a dataset in its published layout (--participant)", False),
        SourceType("lsl", lsl, "lsl, streams of the lab streaming layer called like the model's channels; lsl:NAME, one that has them", False),
        SourceType("stdin", stdin, "stdin, lines of JSON: {\"channel\": ..., \"time\": seconds, \"samples\": [...]}", False),
        SourceType("wav", wav, "wav:FILE, a sound file", True),
        SourceType("microphone", microphone, "microphone", True),
        SourceType("film", film, "film:FILE, sound and picture", True),
        SourceType("camera", camera, "camera, with the microphone", True),
    )
}  # fmt: skip


def open_source(card: ModelCard, options: SourceOptions) -> Source:
    """Open the source that the options name.

    Raises:
        RaylabError: if there is no such source, or the model needs one of the other kind.
    """
    name = options.spec.partition(":")[0]
    if name not in SOURCES:
        raise RaylabError(f"unknown source {name!r}; there are " + "; ".join(kind.description for kind in SOURCES.values()))
    source_type = SOURCES[name]
    if source_type.utterances != (card.kind == "utterances"):
        suitable = ", ".join(other.name for other in SOURCES.values() if other.utterances == (card.kind == "utterances"))
        needs = "utterances" if card.kind == "utterances" else "running signals"
        raise RaylabError(f"this model decides {needs}, which {name} does not bring; use {suitable}")
    return source_type.open(card, options)
