"""The plan of a run and the records of its trials that ended: what stands in them is checked, and what cannot be read is left out and named."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from pyarrow import fs

from analysis.errors import AnalysisError
from analysis.plain_text import printable_frame, printable_values
from analysis.scores.keys import FOLD, VARIANT
from analysis.scores.stored_files import SHOWN_PROBLEMS, read_all, read_json, read_parquet

LABELS = [*VARIANT, *FOLD]  # the columns that name a trial, in its record as in the plan
STATUSES = ("ok", "failed", "blocked", "missing")
PLAN_REMEDY = "start the run again with this version of raylab, which writes it anew"
TABLE_REMEDY = "remove it: the same records are in trials/, and the next start of the run gathers them again"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and not math.isinf(value))


FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("trial", *VARIANT, "participant"), (_is_text, "text")),
    "seed": (_is_whole, "a whole number"),
    "status": (lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"),
}
NUMBERS = (
    "seconds",
    "ended",
    "epochs",
    "windows_trained",
    "stages_reused",
    "n_test",
    "people",
    "auroc",
    "labels_used",
    "expected_gain",
)


def record_problem(record: Any) -> str:
    """Why this is no record of a trial, as the end of a sentence; empty if it is one."""
    if not isinstance(record, dict):
        return "it is no object"
    if missing := [name for name in FIELDS if name not in record]:
        return f"it has no {', '.join(missing)}"
    for name, (right, expected) in FIELDS.items():
        if not right(record[name]):
            return f"its {name} is {str(record[name])[:40]!r}, not {expected}"
    wrong = [name for name in NUMBERS if not _is_number(record.get(name))]
    return f"its {wrong[0]} is {str(record[wrong[0]])[:40]!r}, not a number" if wrong else ""


def left_out(name: str, problem: str) -> str:
    """The sentence on a record that cannot be read."""
    return (
        f"{name} is left out: {problem}. Another version of raylab may have written it; the next start runs that trial again."
    )


def read_plan(system: fs.FileSystem, path: str) -> pd.DataFrame:
    """The plan: one row per trial.

    Raises:
        AnalysisError: naming the file, if it is damaged or lacks a column.
    """
    table = read_parquet(system, f"{path}/plan.parquet", ("trial", *LABELS), PLAN_REMEDY)
    plan = printable_frame(table.to_pandas())
    for name in ("trial", *LABELS):
        if not plan[name].map(FIELDS[name][0]).all() and len(plan):
            raise AnalysisError(
                f"{path}/plan.parquet has something else than {FIELDS[name][1]} in its column {name}; {PLAN_REMEDY}"
            )
    if twice := plan["trial"][plan["trial"].duplicated()].tolist():
        raise AnalysisError(f"{path}/plan.parquet has the trial {twice[0]} twice; {PLAN_REMEDY}")
    return plan


def read_records(system: fs.FileSystem, path: str, plan: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The trials of the plan that ended: the compacted table, and the small objects written since; and a sentence on each that was left out.

    Raises:
        AnalysisError: naming the file, if the table is damaged, or if records name other trials than the plan does under their keys.
    """
    keys, rows, skipped = set(plan["trial"]), {}, []
    in_table: dict[str, str] = {}  # problems of the table's records; their small files may be whole
    if system.get_file_info(f"{path}/trials.parquet").type != fs.FileType.NotFound:
        table = read_parquet(system, f"{path}/trials.parquet", ("trial",), TABLE_REMEDY)
        for row in printable_values(table.to_pylist()):
            if row["trial"] not in keys:
                continue
            if problem := record_problem(row):
                in_table[row["trial"]] = problem
            else:
                rows[row["trial"]] = row
    infos = system.get_file_info(fs.FileSelector(f"{path}/trials", allow_not_found=True))
    names = {f"{key}.json": key for key in keys - rows.keys()}
    files = [info for info in infos if info.base_name in names]
    for file, record in zip(files, read_all(lambda info: (_read(system, info.path),), files, "records"), strict=True):
        key, (content, damage) = names[file.base_name], record[0]
        if problem := damage or record_problem(content):
            skipped.append(left_out(f"trials/{key}.json", problem))
        elif content["trial"] != key:
            skipped.append(left_out(f"trials/{key}.json", f"it is the record of another trial ({content['trial'][:40]})"))
        else:
            rows[key] = content
        in_table.pop(key, None)
    skipped += [left_out(f"the record of trial {key} in trials.parquet", problem) for key, problem in in_table.items()]
    frame = pd.DataFrame(list(rows.values()))
    if len(frame):
        _refuse_other_names(path, plan, frame)
    return frame, skipped


def _read(system: fs.FileSystem, path: str) -> tuple[Any, str]:
    """The content of a record, and the damage if it cannot be parsed."""
    try:
        return read_json(system, path), ""
    except AnalysisError as error:
        return None, str(error)


def _refuse_other_names(path: str, plan: pd.DataFrame, records: pd.DataFrame) -> None:
    """Refuse records whose dataset, model, participant or other name is not the plan's: the one or the other was changed."""
    planned = plan.set_index("trial").loc[records["trial"], LABELS].reset_index()
    problems = [
        f"trials/{key}.json has {name} {own!r}, the plan {other!r}"
        for name in LABELS
        for key, own, other in _differing(records["trial"], records[name], planned[name])
    ]
    if problems:
        more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise AnalysisError(
            f"{path}: records of trials differ from the plan: {'; '.join(problems[:SHOWN_PROBLEMS])}{more}. Remove these and trials.parquet "
            "from the run folder, and start the run again: it repeats these trials"
        )


def _differing(keys: Iterable[Any], own: Iterable[Any], planned: Iterable[Any]) -> list[tuple[Any, Any, Any]]:
    return [(key, a, b) for key, a, b in zip(keys, own, planned, strict=True) if a != b]
