"""A user's own table of features (csv or Parquet, one row a window) as one more channel beside the windows.

Its rows are matched to windows by participant and start. What the table's features looked at is not known here: the user says how many seconds
before a window's end they see, and that decides which windows share samples (``raylab.folds.fold.Fold.overlapping``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from raylab.errors import RecordingError
from raylab.names import nfc
from raylab.recordings.recording import Recording
from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import read_header, read_text_table
from raylab.windows.channel_card import FEATURES, ChannelCard, FeatureCard
from raylab.windows.feature_channels import FeatureChannels
from raylab.windows.segmentation import ParticipantWindows

if TYPE_CHECKING:
    import pandas as pd

CHANNEL = "table_features"
PARTICIPANT, SESSION, START = "participant", "session", "start_s"
TOLERANCE_S = 0.01  # between a row's start and its window's: tables write starts with two or three decimals
MOST_FEATURES = 4000


@dataclass(frozen=True)
class FeatureTable:
    """A table to take features from.

    Attributes:
        path: a csv file, or a Parquet file, with the columns ``participant``, ``start_s`` (the window's start in seconds, as in the prepared
            windows), perhaps ``session``, and one column a feature; an empty cell is a missing value.
        context_s: seconds of signal, ending with the window, that its features were computed from; None: the window.
    """

    path: str
    context_s: float | None = None

    def of(self, recording: Recording, windows: ParticipantWindows, window_s: float) -> FeatureChannels:
        """The features of a participant's windows, NaN where the table has no row or no value.

        Raises:
            RecordingError: if the table cannot be read, has two rows for a window, or none for any window of the participant.
        """
        rows = self._rows(recording.participant)
        features = [str(name) for name in rows.columns if name not in (PARTICIPANT, SESSION, START)]
        values = np.full((len(windows.start_s), 1, len(features)), np.nan, dtype=np.float32)
        sessions = windows.sessions if SESSION in rows else [""] * len(windows.start_s)
        row_sessions = rows[SESSION].astype(str).map(nfc).to_numpy() if SESSION in rows else np.full(len(rows), "")
        starts, cells, found = rows[START].to_numpy(np.float64), rows[features].to_numpy(np.float32), 0
        for session in dict.fromkeys(sessions):
            of_session = np.flatnonzero([name == session for name in sessions])
            given = np.flatnonzero(row_sessions == session)
            nearest = _nearest(windows.start_s[of_session], starts[given])
            self._refuse_two(recording.participant, starts[given])
            matched = nearest >= 0
            values[of_session[matched], 0] = cells[given[nearest[matched]]]
            found += int(matched.sum())
        if not found:
            raise self._error(
                f"none of its {len(rows)} rows begins where a window begins (rows from {starts.min():.2f} s, windows from "
                f"{windows.start_s.min():.2f} s on)",
                recording.participant,
                f"give {START} as prepared windows have it: read them with pandas.read_parquet, the columns {SESSION} and {START}",
            )
        values[~np.isfinite(values)] = np.nan
        return FeatureChannels((self._card(features, window_s),), {CHANNEL: values})

    def _card(self, features: Sequence[str], window_s: float) -> ChannelCard:
        context_s = self.context_s or window_s
        return ChannelCard(
            name=CHANNEL,
            modality=FEATURES,
            recorded_hz=1 / window_s,
            rate_hz=1 / window_s,
            unit=f"computed elsewhere, read from {Path(self.path).name}",
            length=1,
            n_features=len(features),
            features=tuple(
                FeatureCard(
                    name=name, unit="as in the table", sources=(), context_s=context_s, missing="the table has no value"
                )
                for name in features
            ),
        )

    def _rows(self, participant: str) -> "pd.DataFrame":
        """The rows of a participant: text in ``participant`` and ``session``, all other columns float64."""
        path = Path(self.path)
        if not path.is_file():
            raise self._error("is no file", participant, "give the table with --feature-table")
        frame = self._parquet(path, participant) if path.suffix == ".parquet" else self._text(path, participant)
        rows = frame[frame[PARTICIPANT].astype(str).map(nfc) == participant]
        if not len(rows):
            have = ", ".join(sorted(frame[PARTICIPANT].astype(str).unique())[:20])
            raise self._error(
                f"has no row of the participant; it has {have}",
                participant,
                "add the rows, or leave the participant out (--exclude)",
            )
        if rows[START].isna().any():
            raise self._error(
                f"has {int(rows[START].isna().sum())} rows without {START}", participant, "give each row its start"
            )
        return rows

    def _text(self, path: Path, participant: str) -> "pd.DataFrame":
        numbers = [name for name in read_header(path) if name not in (PARTICIPANT, SESSION)]
        self._check_columns([PARTICIPANT, *numbers], participant)
        try:
            return read_text_table(path, numbers, (PARTICIPANT, SESSION)).frame
        except TableError as error:
            raise self._error(error.problem, participant, error.remedy) from error

    def _parquet(self, path: Path, participant: str) -> "pd.DataFrame":
        try:
            frame: pd.DataFrame = pq.read_table(path).to_pandas()  # without the index that pandas stores
        except (pa.ArrowException, OSError) as error:
            raise self._error(f"cannot be read as Parquet ({error})", participant, "write the table again") from error
        self._check_columns([str(name) for name in frame.columns], participant)
        kinds = {name: kind for name, kind in frame.dtypes.items() if name not in (PARTICIPANT, SESSION)}
        if wrong := [f"{name} holds {kind}" for name, kind in kinds.items() if kind.kind not in "iuf"]:
            raise self._error(f"its column {wrong[0]}, expected numbers", participant, "drop the column")
        return frame

    def _check_columns(self, names: Sequence[str], participant: str) -> None:
        features = [name for name in names if name not in (PARTICIPANT, SESSION, START)]
        problem = ""
        if lacking := [name for name in (PARTICIPANT, START) if name not in names]:
            problem = f"lacks the column(s) {', '.join(lacking)}"
        elif not 1 <= len(features) <= MOST_FEATURES:
            problem = f"has {len(features)} columns of features"
        elif any(not name or name.startswith("Unnamed:") for name in features):
            problem = "has a column without a name, which may be an index"  # row numbers tell the time
        if problem:
            remedy = f"write one row a window, with {PARTICIPANT}, {START} and 1 to {MOST_FEATURES} features, each with a name"
            raise self._error(problem, participant, remedy)

    def _refuse_two(self, participant: str, starts: npt.NDArray[np.float64]) -> None:
        gaps = np.diff(np.sort(starts))
        if (gaps <= TOLERANCE_S).any():
            at = np.sort(starts)[int((gaps <= TOLERANCE_S).argmax())]
            raise self._error(f"has two rows that begin at {at:.2f} s", participant, f"keep one, or add the column {SESSION}")

    def _error(self, problem: str, participant: str, remedy: str) -> RecordingError:
        return RecordingError(problem, file=self.path, participant=participant, channel=CHANNEL, remedy=remedy)


def _nearest(wanted: npt.NDArray[np.float64], starts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(n,) position in ``starts`` of the start within the tolerance of each wanted one; -1 where there is none."""
    if not len(starts):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(starts)
    right = np.clip(np.searchsorted(starts, wanted, sorter=order), 0, len(starts) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.where(np.abs(starts[order[left]] - wanted) < np.abs(starts[order[right]] - wanted), left, right)
    return np.where(np.abs(starts[order[nearer]] - wanted) <= TOLERANCE_S, order[nearer], -1)
