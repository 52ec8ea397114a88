"""Prepared windows in the forms of other libraries: arrays as MOABB gives them, a Hugging Face dataset, a card as Croissant (JSON-LD)."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raylab.errors import InvalidValueError, RaylabError
from raylab.sklearn import known_channels, labelled_rows
from raylab.windows.card import WindowsCard
from raylab.windows.dataset import Windows
from raylab.windows.segmentation import NO_LABEL

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.str_], pd.DataFrame]


def _who_and_when(windows: Windows, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    index = windows.index
    return {
        "subject": np.array(index.participants)[index.participant_index[rows]],
        "session": index.segment[rows],
        "window": index.window[rows],
        "start_s": index.start_s[rows],
    }


def to_arrays(windows: Windows, label: str, channels: Sequence[str] | None = None) -> Arrays:
    """The windows that carry a label as ``X``, ``y`` and ``metadata``, as ``moabb.paradigms`` give them.

    Args:
        windows: prepared windows, as ``raylab.windows.dataset.read_windows`` gives them.
        label: one of the windows' labels.
        channels: names of channels of one length; every channel of signals if None.

    Returns:
        X (n, n_signals, length) float32, a channel of several features giving a signal for each; y (n,) names of classes; metadata, one row per
        window: ``subject``, ``session`` (number of the segment), ``window`` (id, as in a run's predictions), ``start_s``.

    Raises:
        InvalidValueError: if there is no such label or channel, or the channels differ in length; it names the lengths.

    Units:
        signals in those of the preprocessed signal, which is without a unit if the card says that it was normalized; ``start_s`` in seconds.

    Source:
        MOABB's documentation, ``BaseParadigm.get_data``. Its sessions and runs are of a protocol; here a session is a segment.
    """
    index, rows, names = windows.index, labelled_rows(windows.index, label), known_channels(windows, channels)
    lengths = {name: windows.signals[name].shape[1] for name in names}
    if len(set(lengths.values())) > 1 or any(name in windows.lengths for name in names):
        found = ", ".join(f"{name} {length}{' at most' if name in windows.lengths else ''}" for name, length in lengths.items())
        raise InvalidValueError(
            f"{index.name}: the channels have windows of different lengths ({found}), and X is one array; give channels=[...] of one length"
        )
    x = np.concatenate([windows.signals[name][rows].transpose(0, 2, 1) for name in names], axis=1)
    y = np.array(index.classes(label))[index.labels[label][rows]]
    return x, y, pd.DataFrame(_who_and_when(windows, rows))


def to_hugging_face(windows: Windows, channels: Sequence[str] | None = None) -> Any:
    """The windows as a ``datasets.Dataset``, whose folds are left to the reader (``raylab.sklearn``): windows of a person must not be split.

    Args:
        windows: prepared windows, as ``raylab.windows.dataset.read_windows`` gives them.
        channels: names of channels; every channel of signals if None.

    Returns:
        one row per window: each channel (length, n_features) float32, for one of variable length ``NAME_length``, how many of its steps are valid (0:
        the window lacks it); each label as a ``ClassLabel`` (-1 for none), ``subject``, ``session``, ``window`` and ``start_s``.

    Raises:
        RaylabError: if ``datasets`` is not installed.
        InvalidValueError: if there is no such channel.

    Units:
        as ``to_arrays``.

    Source:
        the documentation of Hugging Face ``datasets``, Features.
    """
    names, index = known_channels(windows, channels), windows.index
    if find_spec("datasets") is None:
        raise RaylabError("to_hugging_face needs the package datasets, which is not installed: pip install datasets")
    import datasets

    labels = {label.name: datasets.ClassLabel(names=list(label.classes)) for label in index.card.labels}
    signals = {name: datasets.Array2D(windows.signals[name].shape[1:], "float32") for name in names}
    lengths = {f"{name}_length": windows.lengths[name] for name in names if name in windows.lengths}
    own = {"subject": "string", "session": "int32", "window": "int64", "start_s": "float64"} | dict.fromkeys(lengths, "int32")
    features = datasets.Features({**{name: datasets.Value(kind) for name, kind in own.items()}, **labels, **signals})
    columns = _who_and_when(windows, np.arange(len(index.window))) | lengths
    columns |= {name: index.labels[name].astype(np.int64) for name in labels} | {name: windows.signals[name] for name in names}
    info = {"description": index.card.caution, "citation": index.card.citation, "license": index.card.licence}
    return datasets.Dataset.from_dict(columns, features=features, info=datasets.DatasetInfo(features=features, **info))


def croissant(card: WindowsCard) -> dict[str, Any]:
    """A card of prepared windows as Croissant 1.0: what a catalogue of datasets reads. It has no signal and no trait of a person.

    Args:
        card: as ``raylab.windows.dataset.read_card`` gives it.

    Returns:
        JSON-LD, to be written as ``croissant.json`` beside ``card.json``: the folder's Parquet files, and a field for each column. Its description
        has what the card says of caution, preprocessing and the order of classes.

    Raises:
        InvalidValueError: if the card has no licence: Croissant demands one.

    Units:
        each signal's field names its unit and rate in Hz; ``start_s`` in seconds.

    Source:
        MLCommons, Croissant Format Specification 1.0; the caution and order are raylab's, put into the description.
    """
    if not card.licence.strip():
        raise InvalidValueError(
            f"the card of {card.dataset} has no licence, and Croissant demands one; write it into dataset.yaml and prepare again"
        )
    described = [
        card.caution,
        f"{len(card.participants)} participants, {sum(entry.windows for entry in card.participants)} windows.",
        *card.order,
    ]
    return {
        "@context": {
            "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
            "dct": "http://purl.org/dc/terms/", "column": "cr:column", "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "extract": "cr:extract",
            "field": "cr:field", "fileSet": "cr:fileSet", "includes": "cr:includes", "recordSet": "cr:recordSet", "repeated": "cr:repeated",
            "source": "cr:source", "citeAs": "cr:citeAs", "conformsTo": "dct:conformsTo",
        },
        "@type": "sc:Dataset",
        "name": card.dataset,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": " ".join(text for text in described if text),
        "license": card.licence,
        "citeAs": card.citation,
        "version": card.fingerprint,
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": "parquet",
                "name": "parquet",
                "encodingFormat": "application/x-parquet",
                "includes": "participant=*/*.parquet",
            }
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "windows", "name": "windows", "field": _fields(card)}],
    }  # fmt: skip


def _fields(card: WindowsCard) -> list[dict[str, Any]]:
    """Croissant's description of each column of the Parquet files."""
    texts = {"session": "session of the recording"} | {
        channel.name: f"{channel.length} x {channel.n_features} values at {channel.rate_hz:g} Hz, {channel.unit}"
        for channel in card.channels
    }
    numbers = {
        "window": "id of the window",
        "segment": "number of the segment",
        "start_s": "seconds since the start of the recording",
    }
    numbers |= {
        f"y_{label.name}": f"class of {label.name}: {', '.join(label.classes)}, counted from 0; {NO_LABEL} for none"
        for label in card.labels
    }
    kinds = {name: "sc:Text" if name == "session" else "sc:Float" for name in texts} | {
        name: "sc:Float" if name == "start_s" else "sc:Integer" for name in numbers
    }
    return [
        {
            "@type": "cr:Field",
            "@id": f"windows/{name}",
            "name": name,
            "description": text,
            "dataType": kinds[name],
            **({"repeated": True} if name in texts and name != "session" else {}),
            "source": {"fileSet": {"@id": "parquet"}, "extract": {"column": name}},
        }
        for name, text in (texts | numbers).items()
    ]
