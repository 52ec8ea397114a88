"""How the tests are shared out to two workers, which skips are failures, and the summary of `make slow`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders.session import forbidden_skips, group_of, outcomes, place_of


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


def test_tests_of_ray_stay_together_and_come_first() -> None:
    """One Ray for the session; what is compiled or run once for several files is, too; all else goes by files."""

    def group(path: str, *fixtures: str) -> str:
        return group_of(SimpleNamespace(path=Path(path), fixturenames=fixtures))  # type: ignore[arg-type]

    groups = [group("runs/test_s3.py", "bucket", "cluster"), group("runs/test_s3.py"), group("features/test_film.py"),
              group("live/test_live_stream.py", "live_run")]  # fmt: skip
    assert ["ray", "test_s3", "sound", "live"] == groups
    assert ["ray", "sound", "live", "test_s3"] == sorted(groups, key=place_of)


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
