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
        ("1644227574.0\n4.0\n0.1\n# lost\n0.2\n", "is not an E4 csv: column 1 has '# lost' in row 4"),
        ("1644227574.0\n4.0\n0.1\n\n0.2\n", "is not an E4 csv: row 4 is blank"),
        ('1644227574.0\n4.0\n0.1\n""\n0.2\n', "has an empty cell in row 4"),
        ("1644227574.0\n4.0\n0,1\n0,2\n", "is not an E4 csv: row 3 has 2 fields, the first row has 1: '0,1'"),
        ("1644227574.0\n4.0\n0.1\n1e308\n", "is not an E4 csv: column 1 has '1e.308' in row 4"),
        ("1644227574000\n4.0\n0.1\n0.2\n", "says that it starts at 1644227574000.000000, expected one unix time in s"),
        ("eda\n4.0\n0.1\n0.2\n", "is not an E4 csv: column 1 has 'eda' in row 1"),
    ],
)
def test_malformed_e4_csv_is_refused(tmp_path: Path, text: str, what: str) -> None:
    """An empty, short, textual, ragged or wrongly timed export is refused with participant, channel, file and remedy."""
    (tmp_path / "EDA.csv").write_text(text)
    with pytest.raises(
        RecordingError, match=rf"participant S02, channel EDA, file .*EDA\.csv: {what}.*What to do: export the file again"
    ):
        read_csv(tmp_path, "EDA.csv", "S02")


def test_axes_start_together(tmp_path: Path) -> None:
    """The three starts of an acceleration are one time."""
    (tmp_path / "ACC.csv").write_text("1644227574.0, 1644227575.0, 1644227574.0\n32.0, 32.0, 32.0\n2,10,63\n-1,0,64\n")
    with pytest.raises(RecordingError, match=r"channel ACC.*expected one unix time in s in row 1"):
        read_csv(tmp_path, "ACC.csv", "S02")


def test_numbers_are_those_that_python_reads(tmp_path: Path) -> None:
    """As before, to the bit: the nearest number to the digits."""
    digits = ["0.276801", "0.1", "12.11", "33.770000000000003", "1e-7", "-0.3"]
    (tmp_path / "EDA.csv").write_text("\n".join(["1644227574.0", "4.0", *digits]) + "\n")
    np.testing.assert_array_equal(read_csv(tmp_path, "EDA.csv", "S02")[1][:, 0], [float(text) for text in digits])


def test_e4_csv_is_start_and_samples(tmp_path: Path) -> None:
    """Row 1 is the start, row 2 the rate, the rest the samples, one column an axis."""
    (tmp_path / "ACC.csv").write_text("1644227574.0, 1644227574.0, 1644227574.0\n32.0, 32.0, 32.0\n2,10,63\n-1,0,64\n")
    start, samples = read_csv(tmp_path, "ACC.csv", "S02")
    assert start == 1644227574.0
    np.testing.assert_array_equal(samples, [[2.0, 10.0, 63.0], [-1.0, 0.0, 64.0]], strict=True)
