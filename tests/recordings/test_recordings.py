"""Readers: what they refuse, and what they return on small files written in the published layouts."""

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import openpyxl
import pandas as pd
import pytest

from raylab.errors import RecordingError
from raylab.recordings import DATASETS, Recording
from raylab.recordings.e4 import read_csv
from raylab.recordings.safe_path import safe_path
from raylab.recordings.safe_pickle import as_array, read_pickle
from raylab.recordings.simulated import SIMULATED
from raylab.recordings.stress_predict import STRESS_PREDICT
from raylab.recordings.wesad import WESAD

WRIST = ["wrist_acc_x", "wrist_acc_y", "wrist_acc_z", "wrist_bvp", "wrist_eda", "wrist_temp"]
CHEST = ["chest_acc_x", "chest_acc_y", "chest_acc_z", "chest_ecg", "chest_emg", "chest_eda", "chest_temp", "chest_resp"]


# --- files as WESAD publishes them -------------------------------------------------------------------------------


class _Python2Pickler(pickle._Pickler):
    """Writes str and bytes as Python 2 wrote its str, which is what WESAD's pickles hold."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_text(self, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_text


def write_python2_pickle(path: Path, value: Any) -> None:
    """A protocol 2 pickle with byte strings and numpy's old module name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        _Python2Pickler(file, protocol=2).dump(value)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def wesad_content(name: str = "S2", seconds: int = 40, devices: tuple[str, ...] = ("wrist",), seed: int = 0) -> dict[str, Any]:
    """What S#.pkl holds: half amusement (3), half stress (2), noise as signals."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.array([3, 2], dtype=np.int32), seconds * 350)
    wrist = {
        key: rng.normal(0, 1, (seconds * rate, width)) for key, rate, width in (("BVP", 64, 1), ("EDA", 4, 1), ("TEMP", 4, 1))
    }
    wrist["ACC"] = rng.integers(-64, 64, (seconds * 32, 3)).astype(np.float64)
    chest = {key: rng.normal(0, 1, (seconds * 700, 1)) for key in ("ECG", "EMG", "EDA", "Resp")}
    chest |= {"ACC": rng.normal(0, 1, (seconds * 700, 3)), "Temp": rng.normal(34, 1, (seconds * 700, 1)).astype(np.float32)}
    both = {"chest": chest, "wrist": wrist}
    return {"signal": {device: both[device] for device in devices}, "label": label, "subject": name}


def write_wesad(root: Path, content: dict[str, Any], name: str = "S2") -> None:
    """One subject's pickle and readme."""
    write_python2_pickle(root / name / f"{name}.pkl", content)
    (root / name / f"{name}_readme.txt").write_text(
        "### Personal information ###\nAge: 27\nHeight (cm): 175\nWeight (kg): 80\nGender: Female\nDominant hand: right\n\n"
        "### Study pre-requisites ###\nDid you drink coffee today? NO\n"
    )


def read_wesad(root: Path, **options: str) -> Recording:
    return WESAD.read(root, "S2", {**WESAD.options, **options})


# --- files as Stress-Predict publishes them ----------------------------------------------------------------------

T0 = 1644227574  # the first file's start; the others start later
STARTS_S = {"ACC": 0, "BVP": 1, "EDA": 2, "TEMP": 0}
RATES = {"ACC": 32, "BVP": 64, "EDA": 4, "TEMP": 4}
PSS = {1: 4, 2: 4, 3: 4, 4: 0, 5: 1, 6: 3, 7: 4, 8: 2, 9: 0, 10: 2}
STAI = {item: 1 + item % 4 for item in range(1, 41)}


def write_e4(path: Path, start: float, rate: float, samples: npt.NDArray[np.float64]) -> None:
    """One E4 csv: start and rate repeated over the columns, then the samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width = samples.shape[1]
    head = [", ".join([f"{value:.6f}"] * width) for value in (start, rate)]
    path.write_text("\n".join([*head, *(",".join(f"{value:g}" for value in row) for row in samples)]) + "\n")


def write_sheet(book: openpyxl.Workbook, title: str, people: dict[str, dict[int, Any]], after: int) -> None:
    """One questionnaire: names over column pairs, Before / After in row 3, an item a row, an unreversed total."""
    sheet = book.create_sheet(title)
    names, kinds, moments = [None], ["Question "], [None]
    for name in people:
        names += [name, None]
        kinds += [title.split(maxsplit=1)[0], None]
        moments += ["Before", "After"]
    for row in (names, kinds, moments):
        sheet.append(row)
    for item in next(iter(people.values())):
        sheet.append([item, *(value for answers in people.values() for value in (answers[item], after))])
    sheet.append([])
    sheet.append(["Total", *["=SUM(B4:B13)"] * (2 * len(people))])


def write_stress_predict(
    root: Path,
    seconds: int = 60,
    label_times: npt.NDArray[np.int64] | None = None,
    pss: dict[int, Any] | None = None,
    stai: dict[int, Any] | None = None,
    after: int = 1,
) -> None:
    """S02 and S03; every sample is its own time since T0; labels from T0 + 7, stress from T0 + 30."""
    for number in (1, 2, 3):
        for name, rate in RATES.items():
            times = STARTS_S[name] + np.arange((seconds - STARTS_S[name]) * rate) / rate
            samples = np.repeat(times[:, None], 3 if name == "ACC" else 1, axis=1)
            write_e4(root / f"Raw_data/S{number:02d}/{name}.csv", T0 + STARTS_S[name], rate, samples)
    times_s = np.arange(T0 + 7, T0 + seconds) if label_times is None else label_times
    rows = [(number, 80.0, 15.0, time, int(time >= T0 + 30)) for number in (3, 2) for time in times_s]
    (root / "Processed_data").mkdir()
    frame = pd.DataFrame(rows, columns=["Participant", "HR", "respr", "Time(sec)", "Label"])
    frame.to_csv(root / "Processed_data/Improved_All_Combined_hr_rsp_binary.csv", index=False)
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, answers in (("STAI Score", stai or STAI), ("PSS Score", pss or PSS)):
        ones = dict.fromkeys(answers, 1)
        write_sheet(book, title, {"S01": ones, "S02": answers, "S03": ones}, after)
    book.save(root / "Processed_data/Questionnaires_scores.xlsx")


# --- the safe pickle ---------------------------------------------------------------------------------------------


class _Hostile:
    """Unpickling it calls ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def _attacks(marker: Path) -> dict[str, _Hostile]:
    return {
        "os.system": _Hostile(os.system, f"touch '{marker}'"),
        "builtins.exec": _Hostile(exec, f"open({str(marker)!r}, 'w').close()"),
        "numpy": _Hostile(np.savetxt, str(marker), [1.0]),
    }


@pytest.mark.parametrize("attack", ["os.system", "builtins.exec", "numpy"])
@pytest.mark.parametrize("protocol", range(6))
def test_hostile_pickle_does_not_run(tmp_path: Path, attack: str, protocol: int) -> None:
    """A pickle that calls something runs nothing, and the refusal names file, participant and remedy."""
    marker = tmp_path / "ran"
    data = pickle.dumps({"signal": {"wrist": np.zeros(3), "more": _attacks(marker)[attack]}}, protocol)
    (tmp_path / "S2.pkl").write_bytes(data)
    with pytest.raises(RecordingError) as refusal:
        read_pickle(tmp_path, "S2.pkl", "S2")
    assert not marker.exists()
    message = str(refusal.value)
    assert all(part in message for part in (str(tmp_path / "S2.pkl"), "participant S2", "What to do: download the file again"))
    pickle.loads(data)
    assert marker.exists(), "the attack is none, so this test shows nothing"


@pytest.mark.parametrize(
    "name", [b"c_codecs\ndecode\n", b"cnumpy.core.multiarray\nfromfile\n", b"cnumpy\nload\n", b"ccopyreg\n_reconstructor\n"]
)
def test_only_listed_names_are_admitted(tmp_path: Path, name: bytes) -> None:
    """A name beside the admitted ones, in the same modules, is refused by name."""
    (tmp_path / "a.pkl").write_bytes(name + b".")
    wanted = name[1:-1].decode().replace("\n", ".")
    with pytest.raises(RecordingError, match=f"it asks for {wanted}"):
        read_pickle(tmp_path, "a.pkl", "S2")


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_opens(tmp_path: Path, protocol: int) -> None:
    """Arrays (of any memory order), numpy scalars, bytes and plain containers come back from protocols 0 to 5."""
    value = {
        "array": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "codes": np.arange(4, dtype=np.int32),
        "scalar": np.float64(2.5),
        "bytes": b"\x00\xff",
        "plain": [1, "two", (3.0, None)],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    found = read_pickle(tmp_path, "a.pkl", "S2")
    assert list(found) == list(value)
    for key in ("array", "fortran", "codes"):
        np.testing.assert_array_equal(found[key], value[key], strict=True)
    assert [found[key] for key in ("scalar", "bytes", "plain")] == [value[key] for key in ("scalar", "bytes", "plain")]


@pytest.mark.parametrize("protocol", range(4))
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_both_numpy_module_names_open(tmp_path: Path, module: bytes, protocol: int) -> None:
    """Files written before and after numpy 2 renamed its modules give the same array."""
    data = pickle.dumps(np.arange(5.0), protocol)
    renamed = data.replace(b"numpy._core.multiarray", module)
    assert module in renamed
    (tmp_path / "a.pkl").write_bytes(renamed)
    np.testing.assert_array_equal(read_pickle(tmp_path, "a.pkl", "S2"), np.arange(5.0), strict=True)


def test_protocol_2_bytes_need_codecs_encode(tmp_path: Path) -> None:
    """Python 3 writes an array's bytes as a call of _codecs.encode in protocol 2, and such a file opens."""
    data = pickle.dumps(np.arange(5.0), 2)
    assert b"c_codecs\nencode\n" in data
    (tmp_path / "a.pkl").write_bytes(data)
    np.testing.assert_array_equal(read_pickle(tmp_path, "a.pkl", "S2"), np.arange(5.0), strict=True)


@pytest.mark.parametrize("kept", [0, 1, 0.5, -1])
def test_truncated_pickle_is_refused(tmp_path: Path, kept: float) -> None:
    """A file cut anywhere is refused with its name, the participant and a remedy."""
    data = pickle.dumps({"a": np.arange(100.0)}, 2)
    (tmp_path / "a.pkl").write_bytes(data[: int(kept * len(data)) if kept == 0.5 else int(kept)])
    with pytest.raises(RecordingError, match=r"participant S2.*a\.pkl.*cannot be unpickled.*download the file again"):
        read_pickle(tmp_path, "a.pkl", "S2")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.array([{}, None], dtype=object), "object (2,)"),
        (np.array(["1", "2"]), "<U1 (2,)"),
        (np.array([1j, 2]), "complex128 (2,)"),
        (np.zeros((2, 2, 2)), "float64 (2, 2, 2)"),
        (np.array(1.0), "float64 ()"),
        ([1.0, 2.0], "list"),
        (None, "NoneType"),
    ],
)
def test_only_numeric_arrays_are_signals(value: Any, found: str) -> None:
    """Object arrays, text, scalars and lists are refused with what was found, where, and what to do."""
    with pytest.raises(RecordingError) as refusal:
        as_array(value, "S2.pkl", "S2", "EDA")
    message = str(refusal.value)
    assert all(part in message for part in ("participant S2", "channel EDA", "file S2.pkl", f"found {found}.", "What to do"))


def test_object_array_in_a_pickle_is_refused(tmp_path: Path) -> None:
    """A subject whose signal is an array of objects is refused before any of it is used."""
    content = wesad_content()
    content["signal"]["wrist"]["EDA"] = np.array([None] * 160, dtype=object).reshape(-1, 1)
    write_wesad(tmp_path, content)
    with pytest.raises(RecordingError, match=r"participant S2, channel EDA.*found object"):
        read_wesad(tmp_path)


def test_empty_array_is_refused() -> None:
    """An array without samples is refused as a recording's problem, not as a numpy error."""
    with pytest.raises(RecordingError, match="channel EDA"):
        as_array(np.zeros(0), "S2.pkl", "S2", "EDA")


# --- paths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "relative", ["../outside.txt", "S2/../../outside.txt", "S2/..", "/etc/passwd", "link.txt", "linked/outside.txt"]
)
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, relative: str) -> None:
    """Neither ``..``, an absolute path nor a link reaches outside the root, although the file exists there."""
    root = tmp_path / "root"
    (root / "S2").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(RecordingError, match=r"participant S2.*What to do: put the data itself into the folder"):
        safe_path(root, relative, "S2")


def test_link_inside_the_root_is_followed(tmp_path: Path) -> None:
    """A link that stays in the root is a file like others."""
    (tmp_path / "data.txt").write_text("fine")
    (tmp_path / "link.txt").symlink_to(tmp_path / "data.txt")
    assert safe_path(tmp_path, "link.txt").read_text() == "fine"


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A missing file is named with its participant and two remedies."""
    with pytest.raises(RecordingError, match=r"participant S2, file .*S2\.pkl: is missing.*--root.*--exclude"):
        safe_path(tmp_path, "S2/S2.pkl", "S2")


@pytest.mark.parametrize("what", ["S2", "S2/S2.pkl", "S2/S2_readme.txt"])
def test_wesad_does_not_follow_links_out(tmp_path: Path, what: str) -> None:
    """A subject's folder, pickle or readme that links out of the root is refused."""
    root = tmp_path / "root"
    write_wesad(root, wesad_content())
    (root / what).rename(tmp_path / "elsewhere")
    (root / what).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match="is a link out of"):
        read_wesad(root)


# --- WESAD -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        (("wrist",), "all", WRIST),
        (("wrist",), "wrist", WRIST),
        (("chest",), "all", CHEST),
        (("chest", "wrist"), "all", CHEST + WRIST),
        (("chest", "wrist"), "wrist", WRIST),
        (("chest", "wrist"), "chest", CHEST),
    ],
)
def test_wesad_devices(tmp_path: Path, held: tuple[str, ...], asked: str, expected: list[str]) -> None:
    """The devices that are read follow the file and the option; every channel has samples of its own."""
    write_wesad(tmp_path, wesad_content(devices=held))
    recording = read_wesad(tmp_path, devices=asked)
    assert [channel.name for channel in recording.channels] == expected
    shapes = {channel.name: (40 * channel.rate_hz, 1) for channel in recording.channels}
    assert {name: signal.shape for name, signal in recording.segments[0].signals.items()} == shapes


def test_wesad_rates_are_the_papers(tmp_path: Path) -> None:
    """The 14 channels carry the recorded and target rates of PROTOCOL's table, and the samples of their own column."""
    content = wesad_content(devices=("chest", "wrist"))
    write_wesad(tmp_path, content)
    recording = read_wesad(tmp_path)
    targets = [10, 10, 10, 70, 10, 7, 7, 7, 8, 8, 8, 64, 4, 4]
    assert [channel.target_rate_hz for channel in recording.channels] == targets
    assert [channel.rate_hz for channel in recording.channels] == [700] * 8 + [32] * 3 + [64, 4, 4]
    keys = ["ACC"] * 3 + ["ECG", "EMG", "EDA", "Temp", "Resp"]
    columns = [0, 1, 2] + [0] * 5
    signal, found = content["signal"], recording.segments[0].signals
    for name, key, column in zip(CHEST, keys, columns, strict=True):
        np.testing.assert_array_equal(found[name][:, 0], signal["chest"][key][:, column])
    for name, key, column in zip(WRIST, ["ACC"] * 3 + ["BVP", "EDA", "TEMP"], [0, 1, 2, 0, 0, 0], strict=True):
        np.testing.assert_array_equal(found[name][:, 0], signal["wrist"][key][:, column])


def test_wesad_labels_are_700_hz_codes(tmp_path: Path) -> None:
    """The condition track holds the file's codes, 700 a second from 0 s."""
    write_wesad(tmp_path, wesad_content())
    track = read_wesad(tmp_path).segments[0].tracks["condition"]
    np.testing.assert_allclose(track.times_s, np.arange(28000) / 700, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(track.values, np.repeat([3.0, 2.0], 14000))


def test_wesad_traits_come_from_the_readme(tmp_path: Path) -> None:
    """Age, height and weight are numbers, gender is lower-case text."""
    write_wesad(tmp_path, wesad_content())
    assert read_wesad(tmp_path).traits == {"age": 27.0, "height_cm": 175.0, "weight_kg": 80.0, "gender": "female"}


@pytest.mark.parametrize(("held", "asked"), [("wrist", "chest"), ("chest", "wrist")])
def test_wesad_missing_device_is_refused(tmp_path: Path, held: str, asked: str) -> None:
    """Asking for a device that the file lacks names both and the option."""
    write_wesad(tmp_path, wesad_content(devices=(held,)))
    with pytest.raises(RecordingError, match=f"participant S2.*holds no {asked} signals, only {held}.*--option devices"):
        read_wesad(tmp_path, devices=asked)


def test_wesad_unknown_device_and_empty_signal_are_refused(tmp_path: Path) -> None:
    """An unknown device names the allowed ones; a file without signals says that it holds nothing."""
    write_wesad(tmp_path, wesad_content())
    with pytest.raises(RecordingError, match=r"devices='head' is unknown.*devices=wrist, devices=chest or devices=all"):
        read_wesad(tmp_path, devices="head")
    write_wesad(tmp_path, wesad_content(devices=()))
    with pytest.raises(RecordingError, match="holds no all signals, only nothing"):
        read_wesad(tmp_path)


@pytest.mark.parametrize(
    ("device", "key", "columns"),
    [("wrist", "ACC", 2), ("wrist", "EDA", 2), ("wrist", "ACC", 4), ("chest", "ACC", 2), ("chest", "ECG", 2)],
)
def test_wesad_wrong_number_of_columns_is_refused(tmp_path: Path, device: str, key: str, columns: int) -> None:
    """An array with another number of columns than published is refused with channel and file, on either device."""
    content = wesad_content(devices=(device,))
    content["signal"][device][key] = np.random.default_rng(0).normal(0, 1, (len(content["signal"][device][key]), columns))
    write_wesad(tmp_path, content)
    with pytest.raises(
        RecordingError, match=rf"participant S2, channel {key}, file .*S2\.pkl: .*found {columns}.*published layout"
    ):
        read_wesad(tmp_path)


@pytest.mark.parametrize("path", [("signal",), ("label",), ("signal", "wrist", "EDA"), ("signal", "chest", "Temp")])
def test_wesad_missing_key_is_named(tmp_path: Path, path: tuple[str, ...]) -> None:
    """A key that the layout promises and the file lacks is named, with participant, file and remedy."""
    content = wesad_content(devices=("chest", "wrist"))
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    write_wesad(tmp_path, content)
    with pytest.raises(RecordingError, match=rf"participant S2, file .*S2\.pkl: lacks '{path[-1]}'.*What to do"):
        read_wesad(tmp_path)


@pytest.mark.parametrize(
    "content", [[1, 2], None, {"signal": 3, "label": np.zeros(3)}, {"signal": {"wrist": 3}, "label": np.zeros(3)}]
)
def test_wesad_other_content_is_refused(tmp_path: Path, content: Any) -> None:
    """A pickle that holds something else is a recording's problem, not a Python error."""
    write_wesad(tmp_path, content)
    with pytest.raises(RecordingError, match="participant S2"):
        read_wesad(tmp_path)


@pytest.mark.parametrize(("device", "key", "channel"), [("wrist", "BVP", "wrist_bvp"), ("chest", "ECG", "chest_ecg")])
def test_wesad_length_that_contradicts_the_labels_is_refused(tmp_path: Path, device: str, key: str, channel: str) -> None:
    """A signal more than a second longer or shorter than the labels is another file's; 0.25 s off is the release's own."""
    for share, message in ((0.5, "lasts 20.00 s"), (None, "")):
        content = wesad_content(devices=("chest", "wrist"))
        samples = content["signal"][device][key]
        rate = {"BVP": 64, "ECG": 700}[key]
        content["signal"][device][key] = samples[: int(len(samples) * share) if share else -rate // 4]
        write_wesad(tmp_path, content)
        if message:
            with pytest.raises(RecordingError, match=f"participant S2, channel {channel}.*{message}.*the labels last 40.00 s"):
                read_wesad(tmp_path)
        else:
            assert len(read_wesad(tmp_path).segments[0].signals[channel]) == len(samples) - rate // 4


def test_wesad_participants_in_the_published_order(tmp_path: Path) -> None:
    """Folders that are present count, by number; S1 and S12 were never released and files are not folders."""
    for name in ("S10", "S2", "S17", "S3", "S1", "S12", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "S4").write_text("not a folder")
    assert WESAD.participants(tmp_path, {}) == ["S2", "S3", "S10", "S17"]


@pytest.mark.parametrize("where", ["", "absent"])
def test_wesad_root_without_subjects_is_refused(tmp_path: Path, where: str) -> None:
    """An empty or missing root names the folder and what to point at."""
    with pytest.raises(RecordingError, match=r"holds none of S2\.\.S17.*point --root"):
        WESAD.participants(tmp_path / where, {})


# --- Stress-Predict ----------------------------------------------------------------------------------------------


def test_stress_predict_lists_the_people_with_labels(tmp_path: Path) -> None:
    """S01 has signals and answers but no labels, so it is no participant; the rest stand in numerical order."""
    write_stress_predict(tmp_path)
    assert STRESS_PREDICT.participants(tmp_path, {}) == ["S02", "S03"]


def test_stress_predict_labels_are_on_the_devices_clock(tmp_path: Path) -> None:
    """Signals that start at 0, 1 and 2 s share the span from 2 s, and labels are placed on that clock, not by row."""
    write_stress_predict(tmp_path)
    segment = STRESS_PREDICT.read(tmp_path, "S02", {}).segments[0]
    assert {name: signal[0, 0] for name, signal in segment.signals.items()} == dict.fromkeys(WRIST, 2.0)
    track = segment.tracks["task"]
    np.testing.assert_array_equal(track.times_s, np.arange(5.0, 58.0))
    np.testing.assert_array_equal(track.values, (track.times_s >= 28).astype(float))


def test_stress_predict_channels(tmp_path: Path) -> None:
    """The wrist channels carry the E4's rates and the paper's target rates."""
    write_stress_predict(tmp_path)
    channels = STRESS_PREDICT.read(tmp_path, "S02", {}).channels
    assert [(c.name, c.rate_hz, c.target_rate_hz) for c in channels] == list(
        zip(WRIST, [32.0] * 3 + [64.0, 4.0, 4.0], [8.0] * 3 + [64.0, 4.0, 4.0], strict=True)
    )


def test_questionnaires_are_scored_by_hand(tmp_path: Path) -> None:
    """PSS and both STAI scales sum their items, reversed ones counted backwards, not the sheet's own totals."""
    write_stress_predict(tmp_path)
    # PSS: 1-3, 6, 9, 10 as they are: 4+4+4+3+0+2 = 17; 4, 5, 7, 8 reversed: 4+3+0+2 = 9.
    # STAI answers are 1 + item mod 4, 2 3 4 1 in turn. State: five rounds of 10 = 50. Trait: another 50, but the
    # reversed items 21, 23, 26, 27, 30, 33, 34, 36, 39 answer 2 4 3 4 3 2 3 1 4 = 26 and count 3 1 2 1 2 3 2 4 1 = 19.
    expected = {"pss": 26.0, "stai_state": 50.0, "stai_trait": 43.0}
    assert STRESS_PREDICT.read(tmp_path, "S02", {}).traits == expected
    ones = {"pss": 6 * 1 + 4 * 3, "stai_state": 20, "stai_trait": 11 * 1 + 9 * 4}
    assert STRESS_PREDICT.read(tmp_path, "S03", {}).traits == ones


def test_answers_after_the_session_are_never_traits(tmp_path: Path) -> None:
    """Changing every After answer, even to an impossible one, leaves the traits as they are."""
    traits = []
    for name, after in (("a", 1), ("b", 99)):
        (tmp_path / name).mkdir()
        write_stress_predict(tmp_path / name, after=after)
        traits.append(STRESS_PREDICT.read(tmp_path / name, "S02", {}).traits)
    assert traits[0] == traits[1]


@pytest.mark.parametrize(
    ("pss", "stai", "what"),
    [
        ({**PSS, 7: 5}, STAI, r"item 7 has the answer 5, expected 0\.\.4"),
        ({**PSS, 10: -1}, STAI, r"item 10 has the answer -1, expected 0\.\.4"),
        ({**PSS, 2: None}, STAI, "item 2 has the answer None"),
        (PSS, {**STAI, 21: 0}, r"item 21 has the answer 0, expected 1\.\.4"),
        (PSS, {**STAI, 40: 5}, r"item 40 has the answer 5, expected 1\.\.4"),
    ],
)
def test_impossible_answer_is_refused(tmp_path: Path, pss: dict[int, Any], stai: dict[int, Any], what: str) -> None:
    """An answer outside the scale, or a missing one, is refused with item, participant, file and remedy."""
    write_stress_predict(tmp_path, pss=pss, stai=stai)
    with pytest.raises(RecordingError, match=rf"participant S02, file .*Questionnaires_scores\.xlsx.*{what}.*What to do"):
        STRESS_PREDICT.read(tmp_path, "S02", {})


def test_answer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """Text in the place of an answer is refused with participant and file."""
    write_stress_predict(tmp_path, pss={**PSS, 3: "often"})
    with pytest.raises(RecordingError, match=r"participant S02, file .*Questionnaires_scores\.xlsx"):
        STRESS_PREDICT.read(tmp_path, "S02", {})


@pytest.mark.parametrize("step", ["gap", "repeated", "backwards"])
def test_labels_that_are_not_one_a_second_are_refused(tmp_path: Path, step: str) -> None:
    """A gap, a repeated second or a step back in the labels is refused: labels are placed by time."""
    times = np.arange(T0 + 7, T0 + 60)
    moved = {"gap": np.delete(times, 20), "repeated": np.insert(times, 20, times[20]), "backwards": times[::-1]}[step]
    write_stress_predict(tmp_path, label_times=moved)
    with pytest.raises(
        RecordingError, match=r"participant S02, channel Label, file .*binary\.csv: labels are not one a second"
    ):
        STRESS_PREDICT.read(tmp_path, "S02", {})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Participant,Label\n2,0\n", r"lacks the column\(s\) Time\(sec\)"),
        ("Participant,Time(sec),Label\n2,0,0\n2,1,2\n", "has the label 2, expected 0 or 1"),
    ],
)
def test_other_label_file_is_refused(tmp_path: Path, text: str, what: str) -> None:
    """A label file without a column, or with a third label, is refused with what was found."""
    write_stress_predict(tmp_path)
    (tmp_path / "Processed_data/Improved_All_Combined_hr_rsp_binary.csv").write_text(text)
    with pytest.raises(RecordingError, match=what):
        STRESS_PREDICT.participants(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not an E4 csv"),
        ("1644227574.0\n4.0\n", "has 2 rows"),
        ("1644227574.0\n4.0\n0.1\nabc\n", "is not an E4 csv"),
        ("1644227574.0\n4.0\n0.1\n0.2,0.3\n", "is not an E4 csv"),
        ("1644227574.0\n8.0\n0.1\n0.2\n", r"says 8 Hz in row 2, an E4 records EDA at 4 Hz"),
        ("0.1\n0.2\n0.3\n0.4\n", r"says 0\.2 Hz in row 2"),
    ],
)
def test_malformed_e4_csv_is_refused(tmp_path: Path, text: str, what: str) -> None:
    """An empty, short, textual, ragged or wrongly timed export is refused with participant, channel, file and remedy."""
    (tmp_path / "EDA.csv").write_text(text)
    with pytest.raises(
        RecordingError, match=rf"participant S02, channel EDA, file .*EDA\.csv: {what}.*What to do: export the file again"
    ):
        read_csv(tmp_path, "EDA.csv", "S02")


def test_e4_csv_is_start_and_samples(tmp_path: Path) -> None:
    """Row 1 is the start, row 2 the rate, the rest the samples, one column an axis."""
    (tmp_path / "ACC.csv").write_text("1644227574.0, 1644227574.0, 1644227574.0\n32.0, 32.0, 32.0\n2,10,63\n-1,0,64\n")
    start, samples = read_csv(tmp_path, "ACC.csv", "S02")
    assert start == 1644227574.0
    np.testing.assert_array_equal(samples, [[2.0, 10.0, 63.0], [-1.0, 0.0, 64.0]], strict=True)


def test_stress_predict_refuses_an_acceleration_of_one_axis(tmp_path: Path) -> None:
    """An ACC file with one column is refused: the device has three axes."""
    write_stress_predict(tmp_path)
    write_e4(tmp_path / "Raw_data/S02/ACC.csv", T0, 32, np.arange(320.0)[:, None])
    with pytest.raises(RecordingError, match=r"participant S02, channel ACC.*expected 3 column\(s\), found 1"):
        STRESS_PREDICT.read(tmp_path, "S02", {})


# --- the simulated cohort ----------------------------------------------------------------------------------------

SMALL = {**SIMULATED.options, "participants": 3, "minutes": 2}


def _same(one: Recording, other: Recording) -> bool:
    first, second = one.segments[0], other.segments[0]
    signals = all(np.array_equal(first.signals[name], second.signals[name]) for name in first.signals)
    return signals and np.array_equal(first.tracks["task"].values, second.tracks["task"].values) and one.traits == other.traits


def test_simulation_repeats_to_the_bit() -> None:
    """The same options give the same recording, whoever was read in between and however numpy's global state stands."""
    first = SIMULATED.read(Path(), "P02", SMALL)
    SIMULATED.read(Path(), "P01", SMALL)
    np.random.seed(7)  # noqa: NPY002  the global state is what must not matter
    assert _same(first, SIMULATED.read(Path(), "P02", {**SMALL, "participants": 9}))


def test_simulated_people_and_seeds_differ() -> None:
    """Another person, or another seed, is another recording."""
    first = SIMULATED.read(Path(), "P01", SMALL)
    assert not _same(first, SIMULATED.read(Path(), "P02", SMALL))
    assert not _same(first, SIMULATED.read(Path(), "P01", {**SMALL, "seed": 1}))


def test_simulated_recording_is_whole() -> None:
    """Six runs, calm first and of 20 s at least; signals as long as the labels; every promised trait is there."""
    recording = SIMULATED.read(Path(), "P01", SMALL)
    values = recording.segments[0].tracks["task"].values
    borders = np.flatnonzero(np.diff(values)) + 1
    assert [run[0] for run in np.split(values, borders)] == [0, 1, 0, 1, 0, 1]
    assert np.diff([0, *borders, len(values)]).min() >= 20
    found = {channel.name: len(recording.segments[0].signals[channel.name]) / channel.rate_hz for channel in recording.channels}
    assert found == dict.fromkeys(found, len(values))
    assert set(recording.traits) == set(SIMULATED.traits)
    assert recording.traits["gender"] in ("female", "male")
    assert 18 <= float(recording.traits["age"]) <= 65


def test_simulated_participants_follow_the_option() -> None:
    """As many names as asked for."""
    assert SIMULATED.participants(Path(), SMALL) == ["P01", "P02", "P03"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("participants", 2), ("minutes", 1.9), ("minutes", float("nan")), ("strength", -1), ("noise", -0.1), ("seed", -1)],
)
def test_too_small_options_are_refused(option: str, value: float) -> None:
    """An option below its smallest sensible value is named, with one that works."""
    options = {**SMALL, option: value}
    with pytest.raises(RecordingError, match=f"option {option}=.* is below .*--option {option}="):
        _ = SIMULATED.participants(Path(), options) if option == "participants" else SIMULATED.read(Path(), "P01", options)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_listed_datasets_are_consistent(name: str) -> None:
    """A dataset's default labels are among its labels, every code leads to a class, and an unknown label lists the known."""
    dataset = DATASETS[name]
    assert dataset.name == name
    assert set(dataset.default_labels) <= {label.name for label in dataset.labels}
    coded = [label for label in dataset.labels if label.decide != "above_own_mean"]
    assert all(sorted(set(label.codes.values())) == list(range(len(label.classes))) for label in coded)
    with pytest.raises(
        ValueError, match=f"{name} has no label 'joy'; it offers {', '.join(label.name for label in dataset.labels)}"
    ):
        dataset.label("joy")


# --- the real recordings -----------------------------------------------------------------------------------------


@pytest.mark.real
def test_real_wesad_people(real_data: Path) -> None:
    """All 15 people are found in order, each with six wrist channels, an adult age and a gender."""
    root = real_data / "wesad"
    people = WESAD.participants(root, WESAD.options)
    assert people == [f"S{number}" for number in range(2, 18) if number != 12]
    for person in people:
        recording = WESAD.read(root, person, WESAD.options)
        assert [channel.name for channel in recording.channels] == WRIST
        assert 18 <= float(recording.traits["age"]) <= 60
        assert recording.traits["gender"] in ("female", "male")


@pytest.mark.real
def test_real_stress_predict_people(real_data: Path) -> None:
    """34 people have labels: S02 to S35, not S01."""
    assert STRESS_PREDICT.participants(real_data / "stress_predict", {}) == [f"S{number:02d}" for number in range(2, 36)]


@pytest.mark.real
def test_real_stress_predict_traits_and_labels(real_data: Path) -> None:
    """S05's scores equal those computed here from the sheets' cells; its labels end with the recording (to 2 s), in seven runs."""
    root = real_data / "stress_predict"
    recording = STRESS_PREDICT.read(root, "S05", {})
    sheets = pd.read_excel(root / "Processed_data/Questionnaires_scores.xlsx", sheet_name=None, header=None)
    answers = {}
    for name, sheet in sheets.items():
        column = int(np.flatnonzero((sheet.iloc[0] == "S05").to_numpy())[0])
        assert sheet.iloc[2, column] == "Before"
        items = pd.to_numeric(sheet.iloc[3:, 0], errors="coerce").notna()
        answers[name] = sheet.iloc[3:, column][items].astype(float).to_numpy()
    pss, stai = answers["PSS Score"], answers["STAI Score"]
    assert (len(pss), len(stai)) == (10, 40)
    pss[[3, 4, 6, 7]] = 4 - pss[[3, 4, 6, 7]]
    backwards = np.array([21, 23, 26, 27, 30, 33, 34, 36, 39]) - 1
    stai[backwards] = 5 - stai[backwards]
    assert recording.traits == {"pss": pss.sum(), "stai_state": stai[:20].sum(), "stai_trait": stai[20:].sum()}
    track, signals = recording.segments[0].tracks["task"], recording.segments[0].signals
    assert track.times_s[0] >= 0
    assert track.times_s[-1] == pytest.approx(len(signals["wrist_eda"]) / 4, abs=2)
    assert 1 + np.count_nonzero(np.diff(track.values)) == 7
