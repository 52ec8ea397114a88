"""How a session of the tests is shared out to two workers, and which of its skips are failures."""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

# Files whose tests share something that is made once a session, beside those that use Ray: what librosa compiles for seconds.
SOUND = ("test_features", "test_film", "test_speech_corpora", "test_live_speech", "test_utterances")
# What takes longest comes first, so that no worker is left alone with it at the end. The order of docs/results/test_time.md.
FIRST = ("ray", "sound", "test_validate", "test_paper_study", "test_worker_group", "test_resume", "live")


@cache
def _arguments(path: Path) -> dict[str, set[str]]:
    """Each function of a file with the names of its arguments, which for tests and fixtures are the fixtures that they ask for."""
    functions = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    return {function.name: {argument.arg for argument in function.args.args} for function in functions}


def group_of(test: str, root: Path) -> str:
    """Tests of one group run on one worker of pytest-xdist: those that use Ray, those of sound, of live runs, or of one file.

    Read from the files, since the process that shares the tests out knows their ids alone (pytest-xdist 3.8's own marks do nothing under
    pytest 9.2, which composes an id anew whenever it is asked for).
    """
    path = root / test.split("::", maxsplit=1)[0]
    functions = _arguments(root / "tests" / "conftest.py") | _arguments(path)
    fixtures, names = set[str](), {test.rsplit("::", maxsplit=1)[-1].split("[", maxsplit=1)[0]}
    while names := set().union(*(functions.get(name, set()) for name in names)) - fixtures:
        fixtures |= names
    if "cluster" in fixtures:
        return "ray"
    if path.stem in SOUND:
        return "sound"
    return "live" if "live_run" in fixtures else path.stem


def place_of(group: str) -> int:
    """Where a group stands in the order of the session."""
    return FIRST.index(group) if group in FIRST else len(FIRST)


def forbidden_skips(skipped: Iterable[Any], environment: Mapping[str, str]) -> list[str]:
    """Skips that are failures: of a test on real recordings that are at hand, and in CI of one whose packages `make setup` installs."""
    forbidden = []
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        has_data = "real" in report.keywords and bool(environment.get("RAYLAB_DATA"))
        if has_data or (environment.get("CI") and "installed" in reason):
            forbidden.append(f"{report.nodeid}: {reason}")
    return forbidden


def outcomes(reports: Mapping[str, Iterable[Any]]) -> list[str]:
    """A line for each test with its outcome and seconds (setup included), the longest first, and one that counts them."""
    seconds: dict[str, float] = {}
    outcome: dict[str, str] = {}
    for name in ("", "passed", "skipped", "failed", "error"):  # "": setups and teardowns that went well
        for report in reports.get(name, []):
            seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration
            if name:
                outcome[report.nodeid] = name
    counted = {name: list(outcome.values()).count(name) for name in ("passed", "failed", "error", "skipped")}
    lines = [
        f"{outcome[test]:8}{seconds[test]:8.1f} s  {test}" for test in sorted(outcome, key=seconds.__getitem__, reverse=True)
    ]
    return [*lines, ", ".join(f"{count} {name}" for name, count in counted.items()) + f"; {sum(seconds.values()):.0f} s"]
