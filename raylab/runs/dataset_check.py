"""`raylab prepare --check`: reads every recording, one participant a task, and reports on its channels and labels. Writes nothing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray

from raylab.errors import RaylabError
from raylab.runs.cluster import Executor, connect
from raylab.runs.participant_notes import problem_of
from raylab.runs.prepare import PrepareRequest, participants_of
from raylab.runs.ray_errors import remote_result
from raylab.windows.copied_sessions import SessionContent, contents, copied_sessions
from raylab.windows.recording_check import Finding, coverage, examine
from raylab.windows.recording_rules import checked

HEAD = f"{'participant':>12} {'channel':<14} {'seconds':>9} {'promised':>9} {'found':>9} {'NaN':>7} {'flat':>6}"


def _line(participant: str, finding: Finding) -> str:
    mark = "  <- look" if finding.odd else ""
    rates = f"{finding.rate_hz:>7g}Hz {finding.found_hz:>7.2f}Hz"
    shares = f"{finding.nan:>7.2%} {finding.flat:>6.1%}"
    return f"{participant:>12} {finding.channel:<14} {finding.seconds:>9.1f} {rates} {shares}{mark}"


def _check_participant(order: PrepareRequest, participant: str) -> tuple[list[str], str, tuple[SessionContent, ...]]:
    """Lines of the report; the problem, empty if there is none; and the content of the sessions, by which copies are found."""
    lines: list[str] = []
    try:
        recording = order.reader.read(Path(order.root), participant, order.all_options)
        lines += [_line(participant, finding) for finding in examine(recording)]
        recording = checked(recording, order.label_rules, order.settings)
        shares = coverage(recording, order.label_rules, order.settings)
        lines += [f"{participant:>12} label {name}: {share:.1%} of the windows" for name, share in shares.items()]
        return lines + [f"{participant:>12} {note}" for note in recording.notes], "", contents(recording)
    except Exception as error:  # the report names every problem, whatever it is
        return lines, problem_of(error, participant), ()


def _read_on_ray(order: PrepareRequest, participants: list[str]) -> Callable[[str], Any]:
    """Start reading everyone; what it returns waits for one of them."""
    connect()  # a task without it would start a Ray that listens on every interface
    task = ray.remote(_check_participant)
    references = {name: task.remote(order, name) for name in participants}
    return lambda name: remote_result(references[name], f"participant {name}")


def check_dataset(order: PrepareRequest, say: Callable[[str], None] = print, where: Executor = "ray") -> int:
    """Read everything on the connected Ray (a local one is started if there is none), or in this process (``local``), and report.

    Returns:
        the number of problems: participants that cannot be prepared, and pairs with the same sessions.
    """
    participants = participants_of(order)
    read = _read_on_ray(order, participants) if where == "ray" else partial(_check_participant, order)
    for note in order.reader.notes:
        say(note)
    say(HEAD)
    problems, sessions = [], {}
    for participant in participants:
        try:
            lines, problem, sessions[participant] = read(participant)
        except RaylabError as error:  # its process died: the others are read all the same
            lines, problem = [], str(error)
        for line in lines:
            say(line)
        if problem:
            problems.append(problem)
            say(f"{participant:>12} cannot be {'prepared' if lines else 'read'}")
    say(f"{len(participants) - len(problems)} of {len(participants)} participants can be read; nothing was written")
    copies, copy_notes = copied_sessions(sessions)
    for participant, notes in copy_notes.items():
        for note in notes:
            say(f"{participant:>12} {note}")
    problems += copies
    for problem in problems:
        say(f"  - {problem}")
    return len(problems)
