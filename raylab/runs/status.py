"""What a run folder says of a run, also while it goes on in another process."""

from collections import defaultdict
from typing import Any

from raylab.errors import RaylabError
from raylab.runs.folder import RunFolder
from raylab.runs.progress import clock


def status_lines(where: str) -> list[str]:
    """Done, running, failed, rate, time left and running averages of the run at this place.

    Raises:
        RaylabError: where there is no run.
    """
    run = RunFolder(where)
    if not run.folder.exists("plan.parquet"):
        raise RaylabError(f"{where} is no run folder (it has no plan.parquet)")
    planned = run.folder.read_table("plan.parquet").to_pylist()
    ended = {row["trial"]: row for row in run.records() if row["trial"] in {trial["trial"] for trial in planned}}
    trainings = [t for t in run.store.trainings() if t["stage"] in {stage for trial in planned for stage in trial["stages"]}]
    under_way = {t["trial"] for t in trainings if t["status"] == "started"} - set(ended)
    counts: dict[str, int] = defaultdict(int)
    for row in ended.values():
        counts[row["status"]] += 1
    lines = [
        f"{len(ended)}/{len(planned)} ended: " + (", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "none"),
        f"{len(under_way)} training (or interrupted while training)",
        *_rate(list(ended.values()), len(planned)),
    ]
    aurocs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in ended.values():
        if row.get("auroc") is not None:
            aurocs[tuple(row[name] for name in ("dataset", "label", "model", "technique", "variant"))].append(row["auroc"])
    lines += [f"  {' / '.join(key)}: mean AUROC {sum(v) / len(v):.3f} over {len(v)}" for key, v in sorted(aurocs.items())]
    lines += [
        f"  {row['status']}: {row['participant']} {row['technique']} {row['variant']}: {row['error']}"
        for row in ended.values()
        if row["error"]
    ]
    return lines


def _rate(ended: list[dict[str, Any]], planned: int) -> list[str]:
    times = sorted(row["ended"] for row in ended if row.get("ended"))
    if len(times) < 2 or times[-1] == times[0]:
        return []
    rate = (len(times) - 1) / (times[-1] - times[0])
    return [f"{rate * 60:.1f} trials/min, {clock((planned - len(ended)) / rate)} left"]
