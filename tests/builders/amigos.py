"""AMIGOS as it is published, at a small size: the tree, names, types, shapes, rates and quirks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt
import openpyxl
import scipy.io

from raylab.recordings import Recording
from raylab.recordings.amigos import AMIGOS

VIDEOS = ["4", "5", "9", "10", "13", "18", "19", "20", "23", "30", "31", "34", "36", "58", "80", "138"]
LONG = ["N1", "P1", "B1", "U1"]
BIG_FIVE = ["Extroversion", "Agreeableness", "Conscientiousness", "Emotional Stability", "Creativity (openness)"]
ANSWERS = ["arousal", "valence", "dominance", "liking", "familiarity"]
EMOTIONS = ["neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness"]
COLUMNS = {"EEG_DATA": (25, 128), "ECG_DATA": (6, 256), "GSR_DATA": (5, 128), "joined_data": (17, 128)}
BASELINE_S = 5
SELF = "Metadata_xlsx/SelfAsessment.xlsx"  # the publisher's spelling
Array = npt.NDArray[np.float64]


@dataclass
class Known:
    """What was written: per person, video to (arousal, valence), the order shown, the order in the file, Big Five, age, gender."""

    ratings: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    shown: dict[str, list[str]] = field(default_factory=dict)
    trials: dict[str, list[str]] = field(default_factory=dict)
    big_five: dict[str, list[float]] = field(default_factory=dict)
    age: dict[str, int] = field(default_factory=dict)
    gender: dict[str, str] = field(default_factory=dict)


def level(variable: str, column: int, video: str) -> int:
    """The level of a known signal: every column of every variable has another pattern over the videos."""
    first = {"EEG_DATA": 1, "ECG_DATA": 26, "GSR_DATA": 32, "joined_data": 1}[variable]
    return 100 * ((VIDEOS.index(video) + 1) * (first + column) % 67)


def known_trial(variable: str, video: str, seconds: float) -> Array:
    """Every column is its level plus the seconds since the video's start; negative in the baseline."""
    width, rate = COLUMNS[variable]
    before = BASELINE_S if variable == "joined_data" else 0
    time = np.arange(round((before + seconds) * rate)) / rate - before
    return np.stack([level(variable, column, video) + time for column in range(width)], axis=1)


def simulated_trials(variable: str, seconds: float, seed: int) -> list[Array]:
    """Sixteen trials of NeuroKit2 signals; EEG and acceleration are noise."""
    width, rate = COLUMNS[variable]
    before = BASELINE_S if variable == "joined_data" else 0
    each, rng = round((before + seconds) * rate), np.random.default_rng(seed)
    samples = rng.normal(0, 1, (each * len(VIDEOS), width))
    length = {"duration": int(np.ceil(len(samples) / rate)), "sampling_rate": rate, "random_state": seed}
    right = nk.ecg_simulate(**length, method="simple", heart_rate=60 + seed % 30)[: len(samples)]
    ecg = [right, 0.7 * right + 0.05 * rng.normal(0, 1, len(samples))]
    eda = nk.eda_simulate(**length, scr_number=len(VIDEOS))[: len(samples)]
    for name, columns in {"ECG_DATA": (1, 2), "joined_data": (14, 15)}.items():
        if name == variable:
            samples[:, columns] = np.stack(ecg, axis=1)
    for name, column in {"GSR_DATA": 1, "joined_data": 16}.items():
        if name == variable:
            samples[:, column] = eda
    return np.split(samples, len(VIDEOS))


def cell(entries: Iterable[Any]) -> npt.NDArray[np.object_]:
    """A 1 x n cell."""
    entries = list(entries)
    made = np.empty((1, len(entries)), dtype=object)
    for i, entry in enumerate(entries):
        made[0, i] = entry
    return made


def mat_path(root: Path, person: str, release: str = "original", flat: bool = False) -> Path:
    """Where a person's file stands."""
    stem = f"Data_{release.capitalize()}_{person}"
    return root / f"{stem}.mat" if flat else root / stem / f"{stem}.mat"


def _content(
    person: int,
    known: Known,
    release: str,
    seconds: float,
    signals: str,
    absent: Iterable[str],
    nan: Mapping[str, float],
    rate: float,
) -> dict[str, Any]:
    """The variables of one person's .mat, short videos in the file's order, then the four long ones (1 s)."""
    name = f"P{person:02d}"
    content: dict[str, Any] = {"VideoIDs": cell([*known.trials[name], *LONG])}
    for variable in ["joined_data"] if release == "preprocessed" else ["EEG_DATA", "ECG_DATA", "GSR_DATA"]:
        width, hz = COLUMNS[variable]
        if signals == "known":
            made = {video: known_trial(variable, video, seconds) for video in known.trials[name]}
        else:
            made = dict(zip(known.trials[name], simulated_trials(variable, seconds, person), strict=True))
        for video, share in nan.items():
            made[video][: round(share * len(made[video]))] = np.nan
        if variable != "joined_data":
            for video, samples in made.items():
                samples[:, 0] = 1.4e12 + 1e6 * VIDEOS.index(video) + np.arange(len(samples)) * 1000 / (hz * rate)
        made |= dict.fromkeys(absent, np.zeros((0, 0)))
        content[variable] = cell([*(made[video] for video in known.trials[name]), *[np.zeros((hz, width))] * 4])
    if release == "preprocessed":
        said = {video: np.array([[*known.ratings[name][video], 5, 5, 5, *[0] * 7]], float) for video in known.trials[name]}
        said |= dict.fromkeys(absent, np.zeros((1, 0)))
        content["labels_selfassessment"] = cell([*(said[video] for video in known.trials[name]), *[np.full((1, 12), 5.0)] * 4])
        content["labels_ext_annotation"] = cell([np.zeros((6, 3))] * 20)
    return content


def write_amigos(
    root: Path,
    participants: Iterable[int] = range(1, 8),
    release: str = "original",
    seconds: float = 12.0,
    signals: str = "neurokit",
    trials_in: str = "video",
    arrangement: str = "reformatted",
    flat: bool = False,
    video_ids: bool = True,
    absent: Iterable[str] = (),
    nan: Mapping[str, float] = {},
    no_personality: Iterable[int] = (),
    rate: float = 1.0,
) -> Known:
    """The study of the given people.

    Arguments:
        signals: ``neurokit``, or ``known``: levels and ramps that tell column, video and time.
        trials_in: order of the trials in the .mat: ``video`` or ``presentation``.
        arrangement: of SelfAsessment.xlsx: ``reformatted`` (pnum, unnamed, vnum, ...), or ``published``: two rows of headings, and
            answers from before the video in front of those that count.
        absent: videos whose cells are empty; ``nan``: video to the share of its samples that are NaN.
        rate: factor on the rate that the time stamps tell.
    """
    known, people = Known(), list(participants)
    for person in people:
        name, rng = f"P{person:02d}", np.random.default_rng(person)
        known.ratings[name] = {video: tuple(np.round(rng.uniform(1, 9, 2), 2).tolist()) for video in VIDEOS}
        known.shown[name] = [VIDEOS[i] for i in rng.permutation(16)]
        known.trials[name] = VIDEOS if trials_in == "video" else known.shown[name]
        known.big_five[name] = np.round(rng.uniform(1, 7, 5), 2).tolist()
        known.age[name], known.gender[name] = int(rng.integers(21, 41)), ["female", "male"][person % 2]
        content = _content(person, known, release, seconds, signals, absent, nan, rate)
        if not video_ids:
            del content["VideoIDs"]
        path = mat_path(root, name, release, flat)
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(path, content)
    write_metadata(root, people, known, arrangement, no_personality)
    return known


def _self_assessment(people: list[int], known: Known, arrangement: str) -> list[list[Any]]:
    """Rows of Experiment_1; the answers from before the video are turned round (10 - rating)."""
    rows: list[list[Any]] = [["pnum", None, "vnum", *ANSWERS, *EMOTIONS]]
    if arrangement == "published":
        rows = [["UserID", "VideoID", "Rep_Index", "Initial_SelfAssessment", *[None] * 11, "SelfAssessment", *[None] * 11]]
        rows.append([None, None, None, *ANSWERS, *EMOTIONS, *ANSWERS, *EMOTIONS])
    for person in people:
        name = f"P{person:02d}"
        for video in VIDEOS:
            rated = known.ratings[name][video]
            before = [10 - rated[0], 10 - rated[1], 5, 5, 5, *[0] * 7] if arrangement == "published" else []
            position = known.shown[name].index(video) + 1
            rows.append([person, f"'{video}'", position, *before, *rated, 5.0, 5.0, 5.0, *[0] * 7])
    return rows


def _book(path: Path, **sheets: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)


def write_metadata(root: Path, people: list[int], known: Known, arrangement: str, no_personality: Iterable[int]) -> None:
    """Metadata_xlsx with the publisher's names."""
    folder = root / "Metadata_xlsx"
    folder.mkdir(parents=True, exist_ok=True)
    _book(folder / "SelfAsessment.xlsx", Experiment_1=_self_assessment(people, known, arrangement), Experiment_2=[["UserID"]])
    _book(
        folder / "Participant_Questionnaires.xlsx",
        Sheet1=[
            ["UserID", "Age", "Gender"],
            *([p, known.age[f"P{p:02d}"], known.gender[f"P{p:02d}"]] for p in people),
        ],
    )
    rated = [person for person in people if person not in list(no_personality)]
    rows = [[trait, *(known.big_five[f"P{p:02d}"][i] for p in rated)] for i, trait in enumerate(BIG_FIVE)]
    _book(folder / "Participants_Personality.xlsx", Items=[["other"]], Personalities=[["UserID", *rated], *rows])
    order = [["UserID", *["Video_Number"] * 16], *([p, *map(int, known.shown[f"P{p:02d}"])] for p in people)]
    _book(folder / "Experiment_Data.xlsx", Short_Videos_Order=order, Long_Videos_Order=[["UserID(s)"]])


def edit_mat(path: Path, **changes: Any) -> None:
    """Replace variables of a .mat; None deletes one."""
    content = {name: value for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")} | changes
    scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})


def edit_sheet(path: Path, sheet: str, where: str, value: Any) -> None:
    """Set one cell of an Excel book."""
    book = openpyxl.load_workbook(path)
    book[sheet][where] = value
    book.save(path)


def read(root: Path, person: str = "P01", **options: Any) -> Recording:
    """A person's recording, with the dataset's options unless told otherwise."""
    return AMIGOS.read(root, person, {**AMIGOS.options, **options})
