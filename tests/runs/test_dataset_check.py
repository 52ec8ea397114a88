"""`raylab prepare --check` and `raylab datasets --root`: what is there, before anything is written."""

from pathlib import Path

import numpy as np
import pytest
from builders.csv_folder import write

from raylab.recordings import DATASETS, Channel, Recording, Segment
from raylab.recordings.availability import availability
from raylab.recordings.wesad import WESAD
from raylab.runs.cluster import Executor
from raylab.runs.dataset_check import check_dataset
from raylab.runs.prepare import PrepareRequest
from raylab.windows.recording_check import examine


def recording(**signals: tuple[float, np.ndarray]) -> Recording:
    """One segment; name to (rate, samples)."""
    channels = tuple(Channel(name, name, rate, rate, "") for name, (rate, _) in signals.items())
    return Recording("P1", channels, (Segment("s", 0.0, {name: x[:, None] for name, (_, x) in signals.items()}, {}),), {})


def test_findings_by_hand() -> None:
    """100 s at 4 Hz with 10 NaN, a channel whose rate is twice the promised one, and one that is flat for 30 of 100 s."""
    rng = np.random.default_rng(0)
    noise, flat = rng.normal(0, 1, 400), rng.normal(0, 1, 400)
    noise[5:15] = np.nan
    flat[100:220] = 1.0
    made = {
        f.channel: f
        for f in examine(
            recording(a=(4.0, noise), b=(4.0, flat), c=(4.0, rng.normal(0, 1, 800)), d=(1.0, rng.normal(0, 1, 100)))
        )
    }
    assert pytest.approx((100.0, 10 / 400, 0.0)) == (made["a"].seconds, made["a"].nan, made["a"].flat)
    assert pytest.approx(0.3) == made["b"].flat
    assert pytest.approx(8.0) == made["c"].found_hz
    assert {"a", "b", "c"} == {name for name, f in made.items() if f.odd}


@pytest.mark.parametrize("where", ["ray", "local"])
def test_check_reads_everything_and_writes_nothing(tmp_path: Path, where: Executor, request: pytest.FixtureRequest) -> None:
    """Every participant and channel has a line, label coverage is told, a broken participant is named and counted."""
    if where == "ray":
        request.getfixturevalue("cluster")
    root = write(tmp_path / "in", ("anna", "ben", "cleo"))
    (root / "cleo" / "eda.csv").write_text("value\nx\n")
    before = sorted(tmp_path.rglob("*"))
    said: list[str] = []
    assert 1 == check_dataset(PrepareRequest("csv_folder", str(root), ""), said.append, where)
    text = "\n".join(said)
    assert "anna eda" in text and "ben pulse" in text
    assert "anna label stress: 94.4% of the windows" in text
    assert "cleo cannot be read" in text and "2 of 3 participants can be read" in text
    assert before == sorted(tmp_path.rglob("*"))


def test_state_names_who_is_missing(tmp_path: Path) -> None:
    """A folder with two of WESAD's people says which thirteen are missing; an empty one says that nothing is there."""
    for name in ("S2", "S3"):
        (tmp_path / "wesad" / name).mkdir(parents=True)
    said = availability(WESAD, tmp_path)
    assert "2 participants, missing S4, S5" in said
    assert "S17" in said
    assert "not in" in availability(DATASETS["stress_predict"], tmp_path)
