"""How the tests are shared out to two workers, which skips are failures, and the summary of `make slow`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders.session import forbidden_skips, group_of, outcomes, place_of

ROOT = Path(__file__).resolve().parents[2]


def report(test: str, seconds: float = 0.0, reason: str = "", **keywords: int) -> Any:
    return SimpleNamespace(nodeid=test, duration=seconds, longrepr=("test.py", 1, f"Skipped: {reason}"), keywords=keywords)


@pytest.mark.parametrize(
    ("expected", "environment"),
    [
        ([], {}),
        (["words"], {"CI": "true"}),
        (["recordings"], {"RAYLAB_DATA": "/data"}),
        (["words", "recordings"], {"CI": "true", "RAYLAB_DATA": "/data"}),
    ],
)
def test_skips_that_are_failures(expected: list[str], environment: dict[str, str]) -> None:
    """In CI a package that is not installed; a test of real recordings that are at hand; never what the machine itself lacks."""
    skipped = [
        report("words", reason="the packaged text models are not installed"),
        report("recordings", reason="no data", real=1),
        report("latex", reason="no pdflatex at hand"),
    ]

    assert expected == [line.split(":")[0] for line in forbidden_skips(skipped, environment)]


@pytest.mark.parametrize(
    ("expected", "test"),
    [
        ("ray", "tests/runs/test_s3.py::test_the_lease_on_s3"),  # by a fixture of a fixture
        ("ray", "tests/project/test_read_a_run.py::test_tensorboard_shows_what_the_page_says"),
        ("ray", "tests/recordings/test_speech_corpora.py::test_extraction_runs_by_ray_data"),
        ("sound", "tests/recordings/test_speech_corpora.py::test_real_ravdess_reads"),
        ("sound", "tests/features/test_features.py::test_every_rate_becomes_16_khz[22050]"),
        ("live", "tests/live/test_live_stream.py::test_latency_counts_from_the_last_sample"),
        ("test_prepare", "tests/runs/test_prepare.py::test_missing_root_is_refused"),
        ("test_validate", "tests/validity/test_validate.py::test_settings_tell_cohorts_apart"),
    ],
)
def test_tests_of_ray_stay_together(expected: str, test: str) -> None:
    """One Ray for the session; what is compiled or run once for several files stays together, too; all else goes by files."""
    assert expected == group_of(test, ROOT)


def test_the_longest_groups_come_first() -> None:
    """Ray before sound before live runs before a file that is quick."""
    assert ["ray", "sound", "live", "test_s3"] == sorted(["test_s3", "live", "sound", "ray"], key=place_of)


def test_the_slow_tests_are_summed_up() -> None:
    """Each with its outcome and the seconds of setup and call, the longest first; skips and failures are counted."""
    stats = {
        "": [report("a", 2.0), report("a", 0.5)],
        "passed": [report("a", 3.0)],
        "failed": [report("b", 9.0)],
        "skipped": [report("c", 0.1)],
    }

    lines = outcomes(stats)

    assert ["failed       9.0 s  b", "passed       5.5 s  a", "skipped      0.1 s  c"] == lines[:-1]
    assert "1 passed, 1 failed, 0 error, 1 skipped; 15 s" == lines[-1]
