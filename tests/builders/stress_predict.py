"""Stress-Predict as it is published, at a small size: E4 files, labels, questionnaires."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openpyxl
import pandas as pd

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
