"""How a command ends that fails: a user's mistake is a sentence, a fault in raylab is a stack to report."""

import sys
import traceback

from raylab.cli.console import say_aside
from raylab.errors import RaylabError, memory_ran_out
from raylab.runs.stop import exit_code, ignore_signals

# Exit codes; 2 is the command line's own, for options it does not know, 130 and 143 are those of signals.
USER_ERROR, FAULT = 1, 70
REPORT_IT = "this is a fault in raylab; please report it with the lines below"

INTERRUPTED = "interrupted before it was done"
AFTER_A_STOP = {  # by command
    "run": "; the same command resumes it: what ended is stored, and nothing that had not ended was counted as failed",
    "validate": "; the same command resumes it: the cohorts that ended are stored",
    "prepare": "; no card was written, so no run takes these windows for complete: the same command prepares them anew",
}


def describe_stop(stop: KeyboardInterrupt, command: str | None) -> int:
    """Say that the user stopped the command, and how it goes on; the exit code."""
    say_aside(f"raylab: {INTERRUPTED}{AFTER_A_STOP.get(command or '', '')}.")
    ignore_signals()  # Python's own end takes the handlers away, and a second signal would then change the exit code
    return exit_code(stop)


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors that a user can act on: raylab's own, those of ``analysis`` (which knows no raylab), and the system's (files, disks, networks).

    Analysis takes seconds to import, and an error of it can only come up if it has been: it is looked for, not imported.
    """
    analysis_errors = sys.modules.get("analysis.errors")
    return (RaylabError, OSError, *([analysis_errors.AnalysisError] if analysis_errors else []))


def _words_for(error: Exception) -> str:
    """A sentence for an error that a library raised and that no part of raylab put into words; empty for a fault in raylab."""
    if memory_ran_out(error):
        return f"memory ran out ({error or 'no details'}). What to do: use a machine with more memory, or do less at once"
    ray_errors = sys.modules.get("raylab.runs.ray_errors")  # imported only if Ray is in use
    return str(ray_errors.sentence(error)) if ray_errors else ""


def describe(error: Exception, with_stack: bool) -> int:
    """Print what went wrong to standard error; the exit code."""
    cause = getattr(error, "cause", None)  # Ray wraps what a task raised, and its text is the task's stack
    reason = cause if isinstance(cause, Exception) else error
    if isinstance(reason, _user_errors()) and not memory_ran_out(reason):
        if with_stack:
            say_aside("".join(traceback.format_exception(error)).rstrip())
        say_aside(f"raylab: {reason}")
        return USER_ERROR
    if message := _words_for(reason):
        if with_stack:
            traceback.print_exception(error)
        say_aside(f"raylab: {message}")
        return USER_ERROR
    say_aside(f"raylab: {REPORT_IT}")
    say_aside("".join(traceback.format_exception(error)).rstrip())
    return FAULT
