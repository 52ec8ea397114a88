"""WESAD (Schmidt et al., ICMI 2018): 15 participants, wrist and chest devices, stress against amusement by stimulus.

Layout: ``S#/S#.pkl`` with the keys signal (chest, wrist), label (codes at 700 Hz) and subject; ``S#/S#_readme.txt`` with the traits.
The label codes are 0 transient, 1 baseline, 2 stress, 3 amusement, 4 meditation, and 5 to 7, which the publisher says to ignore.

A copy may hold the wrist device only: the reader takes the devices that the file holds, or those of ``--option devices=``. The paper's
input is both devices, 14 channels.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.e4 import check_columns, wrist_channels
from raylab.recordings.recording import Baseline, Channel, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path
from raylab.recordings.safe_pickle import as_array, read_pickle

LABEL_HZ = 700.0
SUBJECTS = tuple(f"S{n}" for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17))
DEVICES = ("chest", "wrist")

# Channel, key in the file, column, modality, target rate (Hz; docs/protocol.md, Windows), unit.
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
    """The participants that have a folder, in the order of the publication (S1 and S12 were never released)."""
    present = [name for name in SUBJECTS if (root / name).is_dir()]
    if not present:
        raise RecordingError(
            f"holds none of {SUBJECTS[0]}..{SUBJECTS[-1]}", file=root, remedy="point --root at the folder with S2, S3, ..."
        )
    return present


def _selected_devices(signal: Mapping[str, Any], options: Options, participant: str, file: str) -> tuple[str, ...]:
    """The devices to read, of ``chest`` and ``wrist``.

    Raises:
        RecordingError: if the option is unknown, or the file lacks the device.
    """
    device_option = options.get("devices", "all")
    if device_option not in ("all", *DEVICES):
        raise RecordingError(f"devices={device_option!r} is unknown", remedy="use devices=wrist, devices=chest or devices=all")
    devices = tuple(device for device in DEVICES if device in signal) if device_option == "all" else (device_option,)
    if not devices or devices[0] not in signal:
        raise RecordingError(
            f"holds no {device_option} signals, only {', '.join(signal) or 'nothing'}",
            file=file,
            participant=participant,
            remedy="ask for a device that the files hold (--option devices=...)",
        )
    return devices


def _chest_channels(
    arrays: dict[str, npt.NDArray[np.float64]], file: str, participant: str
) -> tuple[tuple[Channel, ...], dict[str, npt.NDArray[np.float64]]]:
    """The chest channels of the paper, and channel name to samples (n, 1), from arrays (n, 3) for ACC and (n, 1) for the others.

    Raises:
        RecordingError: if an array has another number of columns.
    """
    check_columns(arrays, {key: 3 if key == "ACC" else 1 for _, key, *_ in _CHEST}, file, participant)
    channels = tuple(Channel(name, mod, LABEL_HZ, target, unit, file) for name, _, _, mod, target, unit in _CHEST)
    return channels, {name: arrays[key][:, column : column + 1] for name, key, column, *_ in _CHEST}


def _read_traits(root: Path, participant: str) -> dict[str, Trait]:
    """Age (years), height (cm), weight (kg) and gender from the participant's readme; a trait that is not in it is left out."""
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
    """One participant: the whole session is one segment with the track ``condition``.

    Raises:
        RecordingError: on a missing, damaged or hostile file, a missing key, or signals and labels of different duration.
    """
    relative = f"{participant}/{participant}.pkl"
    content = read_pickle(root, relative, participant)
    file = str(root / relative)
    try:
        signal, codes = content["signal"], content["label"]
        channels: tuple[Channel, ...] = ()
        signals: dict[str, npt.NDArray[np.float64]] = {}
        for device in _selected_devices(signal, options, participant, file):
            arrays = {name: as_array(value, file, participant, name) for name, value in signal[device].items()}
            reader = _chest_channels if device == "chest" else wrist_channels
            device_data = reader(arrays, file, participant)
            channels, signals = channels + device_data[0], signals | device_data[1]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise RecordingError(
            f"lacks {error}, expected signal.wrist/chest and label",
            file=file,
            participant=participant,
            remedy="compare the file with the published layout",
        ) from error
    _check_subject(content, file, participant)
    values = as_array(codes, file, participant, "label")[:, 0]
    track = LabelTrack(np.arange(len(values)) / LABEL_HZ, values)
    _check_durations(channels, signals, len(values) / LABEL_HZ, participant)
    segment = Segment("session", 0.0, signals, {"condition": track})
    return Recording(participant, channels, (segment,), _read_traits(root, participant))


def _check_subject(content: Mapping[str, Any], file: str, participant: str) -> None:
    """Refuse a file of another participant than its folder's; a file that does not say whose it is, is taken at its folder's word.

    Raises:
        RecordingError: naming both.
    """
    subject = content.get("subject", participant)
    name = subject.decode("latin1") if isinstance(subject, bytes) else str(subject)
    if name.strip() != participant:
        raise RecordingError(
            f"says that its subject is {name[:40]!r}, it lies in the folder of {participant}",
            file=file,
            participant=participant,
            channel="subject",
            remedy="put each file into its own participant's folder, or download it again",
        )


def _check_durations(
    channels: tuple[Channel, ...], signals: dict[str, npt.NDArray[np.float64]], label_s: float, participant: str
) -> None:
    """Refuse a channel whose duration (s) differs from the labels' ``label_s`` by more than 1 s.

    The publisher cut devices and labels to one span: they agree within 0.25 s, so a difference of 1 s means another participant's signal.

    Raises:
        RecordingError: naming the channel and both durations.
    """
    for channel in channels:
        lasts_s = len(signals[channel.name]) / channel.rate_hz
        if abs(lasts_s - label_s) > 1.0:
            raise RecordingError(
                f"lasts {lasts_s:.2f} s at {channel.rate_hz:g} Hz, the labels last {label_s:.2f} s",
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
    baseline=Baseline("condition", 1),
    caution="WESAD has one run per label: calibration and test windows of a label share the run, so a gain of a technique that "
    "uses target labels may be the run's identity.",
)
