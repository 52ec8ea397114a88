"""Predictions of a run that has more of them than fit into memory: read and checked once, and laid out by what is scored together.

Each part (a dataset, label, model and seed) becomes a file of Arrow's in a temporary folder, which is mapped when the part is looked at, so that no
more than a part is in memory, and small files are opened once, however many tables are made of a run.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import fs

from analysis.arrays import Bools, Ints
from analysis.errors import AnalysisError
from analysis.scores.keys import CELL
from analysis.scores.predictions import Classes, read_predictions

LARGEST_HELD = 20_000_000  # predictions; a run of fewer has all of them in memory (about 5 GB while they are scored)
PART = [*CELL, "seed"]
ROW = {"window": np.int64, "y_true": np.int8, "purged": np.bool_}


def windows_tested(trials: pd.DataFrame) -> int:
    """How many windows these trials tested, as far as their records say it: that decides whether their predictions are held."""
    return int(pd.to_numeric(trials["n_test"], errors="coerce").fillna(0).sum()) if "n_test" in trials else 0


class PackedPredictions:
    """The predictions of trials that ended well, on the disk.

    Args:
        folder: of the files of predictions, one a trial.
        trials: the record of each that ended well.
        classes: names of the classes of each dataset and label.

    Raises:
        AnalysisError: as ``read_predictions``, of the first part with files that cannot be used. Where files have no digests, a window's true class
            is compared among the trials of a part alone.
    """

    def __init__(self, system: fs.FileSystem, folder: str, trials: pd.DataFrame, classes: Classes) -> None:
        self._place = tempfile.mkdtemp(prefix="raylab-analysis-")
        weakref.finalize(self, shutil.rmtree, self._place, ignore_errors=True)
        self._of_trial: dict[str, tuple[int, int]] = {}  # the part and the place in it of each trial
        for number, rows in enumerate(trials.groupby(PART, sort=False, observed=True).indices.values()):
            part = trials.iloc[rows]
            self._of_trial |= {str(key): (number, place) for place, key in enumerate(part["trial"])}
            self._write(number, read_predictions(system, folder, part, classes))

    def _path(self, number: int) -> str:
        return str(Path(self._place) / f"{number}.arrow")

    def _write(self, number: int, frame: pd.DataFrame) -> None:
        names = [*ROW, *(name for name in map(str, frame.columns) if name.startswith("p_"))]
        columns = {name: frame[name].to_numpy() for name in names}
        place = pd.Index(frame["trial"].cat.categories).map(lambda key: self._of_trial[key][1]).to_numpy(dtype=np.int32)
        table = pa.table({"place": place[frame["trial"].cat.codes] if len(frame) else np.empty(0, np.int32), **columns})
        try:
            with pa.OSFile(self._path(number), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        except OSError as error:
            raise AnalysisError(
                f"{self._place} has no room for the predictions of this run ({error}); set TMPDIR to a larger disk"
            ) from error

    def of(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The predictions of these trials, with the columns of ``read_predictions``; those that did not end well have none."""
        parts = list(self._parts([str(key) for key in trials["trial"]]))
        p = np.full((max([2, *(len(columns) for *_, columns in parts)]), sum(len(of) for of, *_ in parts)), np.nan, np.float32)
        end = 0
        for of, _, columns in parts:
            for k, column in enumerate(columns):
                p[k, end : end + len(of)] = column
            end += len(of)
        of = np.concatenate([np.empty(0, np.int64), *(of for of, *_ in parts)])
        named = {
            name: pd.Categorical.from_codes(codes[of], categories=categories)
            for name in ("trial", "participant")
            for codes, categories in [pd.factorize(trials[name])]
        }
        arrays = {
            name: np.concatenate([np.empty(0, dtype), *(row[name] for _, row, _ in parts)]) for name, dtype in ROW.items()
        }
        probabilities = pd.DataFrame(p.T, columns=[f"p_{k}" for k in range(len(p))])
        return pd.concat([pd.DataFrame({**named, **arrays}), probabilities], axis=1)

    def _parts(self, keys: list[str]) -> Iterator[tuple[Ints, dict[str, np.ndarray], list[np.ndarray]]]:
        """Of each part that has some of these trials: the position among them of each row, the rows' other columns, and p_0, p_1, ..."""
        wanted: dict[int, list[tuple[int, int]]] = {}
        for position, key in enumerate(keys):
            if key in self._of_trial:
                number, place = self._of_trial[key]
                wanted.setdefault(number, []).append((place, position))
        for number, pairs in wanted.items():
            with pa.memory_map(self._path(number)) as file:
                table = pa.ipc.open_file(file).read_all()
                columns = {name: table[name].to_numpy() for name in table.column_names}
                places, positions = np.array(pairs, dtype=np.int64).T
                position_of = np.full(max(int(columns["place"].max(initial=-1)), int(places.max())) + 1, -1)
                position_of[places] = positions
                of = position_of[columns["place"]]
                chosen: Bools = of >= 0
                yield (
                    of[chosen],
                    {name: columns[name][chosen] for name in ROW},
                    [columns[name][chosen] for name in columns if name.startswith("p_")],
                )


class NotHeld:
    """Stands for the frame of predictions of a run that has too many: whoever asks for them is told how to."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AnalysisError(_NOT_HELD)

    def __getitem__(self, key: object) -> object:
        raise AnalysisError(_NOT_HELD)

    def __len__(self) -> int:
        raise AnalysisError(_NOT_HELD)


_NOT_HELD = (
    f"this run has more than {LARGEST_HELD:,} predictions, which are not held at once; go through them with "
    "tables.parts([...]), by the columns that name a part, or ask for those of some trials: tables.of_trials(trials)"
)
