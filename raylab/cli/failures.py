"""How a command ends that fails: a user's mistake is a sentence, a fault in raylab is a stack to report."""

import sys
import traceback

from raylab.cli.console import say_aside
from raylab.errors import RaylabError

USER_ERROR, FAULT, INTERRUPTED = 1, 70, 130  # exit codes; 2 is the command line's own, for options it does not know
REPORT_IT = "this is a fault in raylab; please report it with the lines below"


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors that a user can act on: raylab's own, those of ``analysis`` (which knows no raylab), and the system's (files, disks, networks).

    Analysis takes seconds to import, and an error of it can only come up if it has been: it is looked for, not imported.
    """
    analysis_errors = sys.modules.get("analysis.errors")
    return (RaylabError, OSError, *([analysis_errors.AnalysisError] if analysis_errors else []))


def describe(error: Exception, with_stack: bool) -> int:
    """Print what went wrong to standard error; the exit code."""
    cause = getattr(error, "cause", None)  # Ray wraps what a task raised, and its text is the task's stack
    reason = cause if isinstance(cause, Exception) else error
    if isinstance(reason, _user_errors()):
        if with_stack:
            say_aside("".join(traceback.format_exception(error)).rstrip())
        say_aside(f"raylab: {reason}")
        return USER_ERROR
    say_aside(f"raylab: {REPORT_IT}")
    say_aside("".join(traceback.format_exception(error)).rstrip())
    return FAULT
