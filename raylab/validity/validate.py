"""`raylab validate`: cohorts as Ray tasks, with one result file each, so that the same command continues an interrupted validation."""

import time
from itertools import zip_longest
from typing import Any

import ray

from analysis.validation.realistic_effects import markdown as realistic_page
from analysis.validation.realistic_effects import realistic_rates
from raylab.errors import InvalidValueError, RaylabError
from raylab.files import Folder
from raylab.hashing import hash_record
from raylab.runs.cluster import connect
from raylab.runs.progress import Log, duration
from raylab.runs.ray_errors import remote_result
from raylab.validity.cases import CASES, ValidityCase
from raylab.validity.cohort import run_cohort, settings_of
from raylab.validity.outcome_table import Cohort, markdown, name_of, tested, verdict

Job = tuple[ValidityCase, int]


def jobs_of(names: tuple[str, ...], cohorts: int, null_studies: int) -> list[Job]:
    """Pairs (case, seed), the cases in turn, so that a validation that is stopped early has cohorts of each.

    Args:
        names: of the cases; all if empty.
        cohorts: number of cohorts of each case with an effect to find.
        null_studies: number of cohorts of each case without one.

    Raises:
        RaylabError: if a case does not exist.
    """
    if unknown := [name for name in names if name not in CASES]:
        raise RaylabError(f"unknown case {', '.join(unknown)}; there are {', '.join(CASES)}")
    cases = [CASES[name] for name in names or tuple(CASES)]
    jobs_by_case = [[(case, seed) for seed in range(null_studies if case.null else cohorts)] for case in cases]
    return [job for turn in zip_longest(*jobs_by_case) for job in turn if job is not None]


def _result_file(case: ValidityCase, seed: int) -> str:
    return f"cohorts/{case.name}.{seed}.json"


def _stored_result(folder: Folder, case: ValidityCase, seed: int, n_participants: int) -> dict[str, Any] | None:
    """The stored result of a cohort; None if it is missing, damaged or made with other settings: then the cohort runs again."""
    if not folder.exists(_result_file(case, seed)):
        return None
    try:
        result = folder.read_json(_result_file(case, seed))
    except InvalidValueError:
        return None
    wanted = hash_record(settings_of(case, seed, n_participants))
    return result if isinstance(result, dict) and result.get("hash") == wanted else None


def _run_and_store(case: ValidityCase, seed: int, n_participants: int, out: str) -> dict[str, Any]:
    result = run_cohort(case, seed, n_participants)
    Folder(out).write_json(_result_file(case, seed), result)
    return result


def _line(cohort: Cohort) -> str:
    verdicts = [f"{name_of(row)} {verdict(row['difference'], row['p_adjusted'])}" for row in tested(cohort)]
    verdicts = [text for text in verdicts if not text.endswith("no difference")]
    settings = cohort["settings"]
    return f"{settings['case']} {settings['seed']}: {', '.join(verdicts) or 'no difference'} ({cohort['seconds']:.0f} s)"


def validate(jobs: list[Job], n_participants: int, out: str, log: Log = print) -> str:
    """Run the cohorts that the folder lacks on the connected Ray (or a local one), one CPU each.

    Args:
        jobs: of ``jobs_of``.
        n_participants: in each cohort.
        out: folder for the results, a path or a URI.
        log: called with each line to print.

    Returns:
        the page, which is also written to ``validity.md`` in the folder.
    """
    folder = Folder(out)
    stored = [(job, _stored_result(folder, *job, n_participants)) for job in jobs]
    results: list[Cohort] = [result for _, result in stored if result is not None]
    missing = [job for job, result in stored if result is None]
    log(f"{len(jobs)} cohorts of {n_participants} people; {len(results)} done already")
    connect()  # without it, the first task would start a Ray that listens on every interface
    began = time.monotonic()
    task = ray.remote(max_retries=3)(_run_and_store)
    cohorts = {task.remote(case, seed, n_participants, out): f"cohort {case.name} {seed}" for case, seed in missing}
    waiting = list(cohorts)
    while waiting:
        ended, waiting = ray.wait(waiting)
        results.append(remote_result(ended[0], cohorts[ended[0]]))
        seconds_each = (time.monotonic() - began) / (len(missing) - len(waiting))
        log(f"{len(results)}/{len(jobs)}, {duration(seconds_each * len(waiting))} left | {_line(results[-1])}")
    page = markdown(results)
    folder.write("validity.md", page.encode())
    return page


def validate_linear(cohorts: int, null_studies: int, out: str) -> str:
    """Count gains of realistic size with linear models, in this process (``analysis.validation.realistic_effects``).

    Args:
        cohorts: of each size and gain.
        null_studies: cohorts with nothing to find, shared among the sizes; under 29 cannot pass.
        out: folder for the page and its counts, a path or a URI.

    Returns:
        the page, which is also written to ``power.md`` in the folder; the counts are in ``power.csv``.
    """
    counts = realistic_rates(cohorts, null_studies)
    page = realistic_page(counts)
    folder = Folder(out)
    folder.write("power.csv", counts.to_csv(index=False).encode())
    folder.write("power.md", page.encode())
    return page
