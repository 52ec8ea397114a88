"""WESAD (Schmidt et al. 2018): 15 people, wrist and chest devices, stress against amusement by stimulus.

Layout: ``S#/S#.pkl`` with keys signal (chest, wrist), label (700 Hz codes) and subject; ``S#/S#_readme.txt`` with the
traits. A release or a cut of it may hold the wrist only; which devices are read follows the file and ``--option devices=``.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.e4 import check_columns, wrist_channels
from raylab.recordings.recording import Channel, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path
from raylab.recordings.safe_pickle import as_array, read_pickle

LABEL_HZ = 700.0
SUBJECTS = tuple(f"S{n}" for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17))
DEVICES = ("chest", "wrist")

# name, key in the file, column, modality, target rate (Hz; PROTOCOL, Windows), unit
_CHEST = (
    ("chest_acc_x", "ACC", 0, "acc", 10.0, "g"),
    ("chest_acc_y", "ACC", 1, "acc", 10.0, "g"),
    ("chest_acc_z", "ACC", 2, "acc", 10.0, "g"),
    ("chest_ecg", "ECG", 0, "ecg", 70.0, "mV"),
    ("chest_emg", "EMG", 0, "emg", 10.0, "mV"),
    ("chest_eda", "EDA", 0, "eda", 7.0, "uS"),
    ("chest_temp", "Temp", 0, "temp", 7.0, "degC"),
    ("chest_resp", "Resp", 0, "resp", 7.0, "%"),
)


def participants(root: Path, options: Options) -> list[str]:
    """The subjects whose folder is present, in the order of the publication (S1 and S12 were never released)."""
    found = [name for name in SUBJECTS if (root / name).is_dir()]
    if not found:
        raise RecordingError(
            f"holds none of {SUBJECTS[0]}..{SUBJECTS[-1]}", file=root, remedy="point --root at the folder with S2, S3, ..."
        )
    return found


def _devices(signal: Mapping[str, Any], options: Options, participant: str, file: str) -> tuple[str, ...]:
    asked = options.get("devices", "all")
    if asked not in ("all", *DEVICES):
        raise RecordingError(f"devices={asked!r} is unknown", remedy="use devices=wrist, devices=chest or devices=all")
    wanted = tuple(device for device in DEVICES if device in signal) if asked == "all" else (asked,)
    if not wanted or wanted[0] not in signal:
        raise RecordingError(
            f"holds no {asked} signals, only {', '.join(signal) or 'nothing'}",
            file=file,
            participant=participant,
            remedy="ask for a device that the files hold (--option devices=...)",
        )
    return wanted


def _chest(
    arrays: dict[str, npt.NDArray[np.float64]], file: str, participant: str
) -> tuple[tuple[Channel, ...], dict[str, npt.NDArray[np.float64]]]:
    check_columns(arrays, {key: 3 if key == "ACC" else 1 for _, key, *_ in _CHEST}, file, participant)
    channels = tuple(Channel(name, mod, LABEL_HZ, target, unit, file) for name, _, _, mod, target, unit in _CHEST)
    return channels, {name: arrays[key][:, column : column + 1] for name, key, column, *_ in _CHEST}


def _traits(root: Path, participant: str) -> dict[str, Trait]:
    path = safe_path(root, f"{participant}/{participant}_readme.txt", participant)
    text = path.read_text(encoding="utf-8", errors="replace")
    traits: dict[str, Trait] = {}
    for name, pattern in (
        ("age", r"Age:\s*(\d+)"),
        ("height_cm", r"Height \(cm\):\s*(\d+)"),
        ("weight_kg", r"Weight \(kg\):\s*(\d+)"),
    ):
        match = re.search(pattern, text)
        if match:
            traits[name] = float(match.group(1))
    if match := re.search(r"Gender:\s*(\w+)", text):
        traits["gender"] = match.group(1).lower()
    return traits


def read(root: Path, participant: str, options: Options) -> Recording:
    """One subject.

    Raises:
        RecordingError: on a missing, damaged or hostile file, a missing key, or lengths that contradict the labels.
    """
    relative = f"{participant}/{participant}.pkl"
    content = read_pickle(root, relative, participant)
    file = str(root / relative)
    try:
        signal, codes = content["signal"], content["label"]
        channels: tuple[Channel, ...] = ()
        signals: dict[str, npt.NDArray[np.float64]] = {}
        for device in _devices(signal, options, participant, file):
            arrays = {name: as_array(value, file, participant, name) for name, value in signal[device].items()}
            reader = _chest if device == "chest" else wrist_channels
            more = reader(arrays, file, participant)
            channels, signals = channels + more[0], signals | more[1]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise RecordingError(
            f"lacks {error}, expected signal.wrist/chest and label",
            file=file,
            participant=participant,
            remedy="compare the file with the published layout",
        ) from error
    values = as_array(codes, file, participant, "label")[:, 0]
    track = LabelTrack(np.arange(len(values)) / LABEL_HZ, values)
    _agree(channels, signals, len(values) / LABEL_HZ, participant)
    segment = Segment("session", 0.0, signals, {"condition": track})
    return Recording(participant, channels, (segment,), _traits(root, participant))


def _agree(
    channels: tuple[Channel, ...], signals: dict[str, npt.NDArray[np.float64]], seconds: float, participant: str
) -> None:
    """Devices and labels were cut to one span; the release agrees within 0.25 s, so 1 s off is another file's signal."""
    for channel in channels:
        found = len(signals[channel.name]) / channel.rate_hz
        if abs(found - seconds) > 1.0:
            raise RecordingError(
                f"lasts {found:.2f} s at {channel.rate_hz:g} Hz, the labels last {seconds:.2f} s",
                file=channel.file,
                participant=participant,
                channel=channel.name,
                remedy="check the rate, or download the file again",
            )


def _device_notes(channels: Sequence[str]) -> tuple[str, ...]:
    """The paper uses both devices; channels are named by theirs."""
    if {"chest", "wrist"} <= {channel.split("_")[0] for channel in channels}:
        return ()
    return ("one device only, not the paper's input of 14 channels from chest and wrist.",)


WESAD = Dataset(
    name="wesad",
    signals="wrist E4: ACC x3, BVP, EDA, TEMP; chest RespiBAN: ACC x3, ECG, EMG, EDA, Temp, Resp",
    traits=("age", "gender"),
    labels=(
        Label("stress", "condition", "mode", ("amusement", "stress"), {3: 0, 2: 1}),
        Label("stress_baseline", "condition", "mode", ("baseline", "stress"), {1: 0, 2: 1}),
        Label("three_class", "condition", "mode", ("baseline", "stress", "amusement"), {1: 0, 2: 1, 3: 2}),
    ),
    default_labels=("stress",),
    published=SUBJECTS,
    licence="research use, credit Schmidt et al. 2018",
    obtain="https://archive.ics.uci.edu/dataset/465/wesad",
    citation="Schmidt et al., Introducing WESAD, ICMI 2018",
    participants=participants,
    read=read,
    options={"devices": "all"},
    channel_notes=_device_notes,
    caution="WESAD has one run per label: calibration and test windows of a label share the run, so a gain of a technique that "
    "uses target labels may be the run's identity.",
)
