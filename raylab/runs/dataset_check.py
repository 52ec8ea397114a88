"""`raylab prepare --check`: reads every recording, one participant a task, and says what it found. Writes nothing."""

from collections.abc import Callable
from pathlib import Path

import ray

from raylab.errors import RaylabError
from raylab.runs.cluster import connect
from raylab.runs.prepare import PrepareRequest, people_of
from raylab.windows.recording_check import Finding, coverage, examine

HEAD = f"{'participant':>12} {'channel':<14} {'seconds':>9} {'promised':>9} {'found':>9} {'NaN':>7} {'flat':>6}"


def _line(participant: str, found: Finding) -> str:
    mark = "  <- look" if found.odd else ""
    rates = f"{found.rate_hz:>7g}Hz {found.found_hz:>7.2f}Hz"
    return f"{participant:>12} {found.channel:<14} {found.seconds:>9.1f} {rates} {found.nan:>7.2%} {found.flat:>6.1%}{mark}"


def _one(order: PrepareRequest, participant: str) -> tuple[list[str], str]:
    """Lines of the report, and a problem or nothing."""
    try:
        recording = order.reader.read(Path(order.root), participant, order.all_options)
        lines = [_line(participant, found) for found in examine(recording)]
        shares = coverage(recording, [order.reader.label(name) for name in order.label_names], order.settings)
        lines += [f"{participant:>12} label {name}: {share:.1%} of the windows" for name, share in shares.items()]
        return lines + [f"{participant:>12} {note}" for note in recording.notes], ""
    except Exception as error:  # the report names every problem, whatever it is
        return [], str(error) if isinstance(
            error, RaylabError
        ) else f"participant {participant}: {type(error).__name__}: {error}"


def check_dataset(order: PrepareRequest, say: Callable[[str], None] = print) -> int:
    """Read everything on the connected Ray (a local one is started if there is none) and report.

    Returns:
        how many participants cannot be read.
    """
    people = people_of(order)
    connect()  # a task without it would start a Ray that listens on every interface
    task = ray.remote(_one)
    say(HEAD)
    problems = []
    for participant, ref in [(name, task.remote(order, name)) for name in people]:
        lines, problem = ray.get(ref)
        for line in lines:
            say(line)
        if problem:
            problems.append(problem)
            say(f"{participant:>12} cannot be read")
    say(f"{len(people) - len(problems)} of {len(people)} participants can be read; nothing was written")
    for problem in problems:
        say(f"  - {problem}")
    return len(problems)
