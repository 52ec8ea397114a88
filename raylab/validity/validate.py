"""`raylab validate`: cohorts as Ray tasks, one file each, so that the same command goes on where it stopped."""

import time
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import ray

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.hashing import hash_record
from raylab.runs.cluster import connect
from raylab.runs.progress import duration
from raylab.validity.cases import CASES, ValidityCase
from raylab.validity.cohort import run_cohort, settings_of
from raylab.validity.outcome_table import Cohort, markdown, name_of, tested, verdict

Say = Callable[[str], None]
Job = tuple[ValidityCase, int]


def jobs_of(names: tuple[str, ...], cohorts: int, null_studies: int) -> list[Job]:
    """(case, seed), the cases in turn, so that a run that is stopped early has some of each.

    Raises:
        RaylabError: on a case that does not exist.
    """
    if unknown := [name for name in names if name not in CASES]:
        raise RaylabError(f"unknown case {', '.join(unknown)}; there are {', '.join(CASES)}")
    chosen = [CASES[name] for name in names or tuple(CASES)]
    counts = [[(case, seed) for seed in range(null_studies if case.null else cohorts)] for case in chosen]
    return [job for turn in zip_longest(*counts) for job in turn if job is not None]


def _file(case: ValidityCase, seed: int) -> str:
    return f"cohorts/{case.name}.{seed}.json"


def _stored(folder: Folder, case: ValidityCase, seed: int, people: int) -> dict[str, Any] | None:
    """What the folder holds of a cohort; None where it is missing or was made with other settings."""
    if not folder.exists(_file(case, seed)):
        return None
    found: dict[str, Any] = folder.read_json(_file(case, seed))
    return found if found["hash"] == hash_record(settings_of(case, seed, people)) else None


def _one(case: ValidityCase, seed: int, people: int, out: str) -> dict[str, Any]:
    done = run_cohort(case, seed, people)
    Folder(out).write_json(_file(case, seed), done)
    return done


def _line(done: Cohort) -> str:
    said = [f"{name_of(row)} {verdict(row['difference'], row['p_adjusted'])}" for row in tested(done)]
    said = [text for text in said if not text.endswith("no difference")]
    return (
        f"{done['settings']['case']} {done['settings']['seed']}: {', '.join(said) or 'no difference'} ({done['seconds']:.0f} s)"
    )


def validate(jobs: list[Job], people: int, out: str, say: Say = print) -> str:
    """Run the cohorts that the folder lacks on the connected Ray (or a local one), one CPU each; the page, which is also written there."""
    folder = Folder(out)
    stored = [(job, _stored(folder, *job, people)) for job in jobs]
    done: list[Cohort] = [found for _, found in stored if found is not None]
    missing = [job for job, found in stored if found is None]
    say(f"{len(jobs)} cohorts of {people} people; {len(done)} done already")
    connect()  # a task without it would start a Ray that listens on every interface
    began = time.monotonic()
    task = ray.remote(max_retries=3)(_one)
    waiting = [task.remote(case, seed, people, out) for case, seed in missing]
    while waiting:
        ready, waiting = ray.wait(waiting)
        done.append(ray.get(ready[0]))
        rate = (time.monotonic() - began) / (len(missing) - len(waiting))
        say(f"{len(done)}/{len(jobs)}, {duration(rate * len(waiting))} left | {_line(done[-1])}")
    page = markdown(done)
    folder.write("validity.md", page.encode())
    return page
