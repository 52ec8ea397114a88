"""The csv files of an Empatica E4."""

from pathlib import Path

import numpy as np
import pytest

from raylab.errors import RecordingError
from raylab.recordings.e4 import read_csv


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
