"""Status of a run, read from its folder, also while the run goes on in another process."""

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from raylab.errors import RaylabError
from raylab.runs.folder import SEARCH, RunFolder
from raylab.runs.lease import FOLDER, NO_DRIVER, describe_holder, driver, latest, lease_places
from raylab.runs.progress import FAILURES, duration, failure_line

VARIANT = ("dataset", "label", "model", "technique", "variant")

TrialRecord = dict[str, Any]


def status_lines(uri: str) -> list[str]:
    """Trials done, running and failed, the driver, rate, time left and running averages of the run in this folder. Reads only.

    Args:
        uri: a run folder, a path or a URI.

    Raises:
        RaylabError: if there is no run.
    """
    run = RunFolder(uri)
    if not run.folder.exists("plan.parquet") and run.folder.exists(f"{SEARCH}/plan.parquet"):
        return ["hyperparameters are searched:", *status_lines(run.folder.sub(SEARCH).uri)]
    if not run.folder.exists("plan.parquet"):
        raise RaylabError(f"{uri} is no run folder (it has no plan.parquet)")
    planned, stages = run.planned()
    records = run.records()
    ended = [row for row in records if row["trial"] in planned]
    places = lease_places(run.folder) or [FOLDER]
    holders = [holder for place in places if (holder := driver(run.folder, place))]
    holder, holder_lines = next(iter(holders), None), [describe_holder(run.folder, place) for place in places]
    held = [line for line in holder_lines if line != NO_DRIVER]
    counts = Counter(row["status"] for row in ended)
    last = [owner for place in places if (owner := latest(run.folder, place)[1])]
    running = planned & {key for owner in last for key in owner.running}
    trainings = _training_lines(run, stages, records, running, bool(holder))  # in any case, so that what cannot be read is told
    return [
        f"{len(ended)}/{len(planned)} ended: " + (", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "none"),
        *(held or [state_line(len(planned) - len(ended), sum(counts[name] for name in FAILURES), uri)]),
        *(trainings if held or len(ended) < len(planned) else []),
        *(_rate_lines(ended, len(planned), datetime.fromisoformat(holder.since).timestamp()) if holder else []),
        *_average_lines(ended),
        *(f"  {failure_line(row)}" for row in ended if row["error"]),
        *(
            [f"{len(records) - len(ended)} other trial(s) in the folder belong to another plan"]
            if len(records) > len(ended)
            else []
        ),
        *run.skipped,
    ]


def state_line(n_left: int, n_failed: int, uri: str) -> str:
    """Whether a run without a driver waits for the same command, or has finished."""
    if n_left:
        return "no driver: the same command runs what is missing"
    if n_failed:
        return f"finished, but {n_failed} trial(s) failed: the same command tries them again"
    return f"finished; next: raylab report {uri}"


def _training_lines(run: RunFolder, stages: set[str], records: list[TrialRecord], running: set[str], driven: bool) -> list[str]:
    """Number of trials whose training was started and did not end: under way, or interrupted if the run has no driver.

    Args:
        running: keys of trials that the driver's lease names.
    """
    trainings = run.trainings(records)
    started = {row["trial"] for row in trainings if row["status"] == "started" and row["stage"] in stages} | running
    started -= {row["trial"] for row in records}
    return [f"{len(started)} {'training' if driven else 'interrupted while training'}"]


def _rate_lines(ended: list[TrialRecord], planned: int, since: float) -> list[str]:
    """Trials per minute and the time left, from the trials that ended since this driver started; empty with fewer than two of them."""
    times = sorted(row["ended"] for row in ended if (row.get("ended") or 0) > since)
    if len(times) < 2:
        return []
    per_s = len(times) / (times[-1] - since)
    return [f"{per_s * 60:.1f} trials/min, {duration((planned - len(ended)) / per_s)} left"]


def _average_lines(ended: list[TrialRecord]) -> list[str]:
    """Mean AUROC of each variant over its ended trials, a line each."""
    aurocs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in ended:
        if row.get("auroc") is not None:
            aurocs[tuple(row[name] for name in VARIANT)].append(row["auroc"])
    return [f"  {' / '.join(key)}: mean AUROC {sum(v) / len(v):.3f} over {len(v)}" for key, v in sorted(aurocs.items())]
