"""The plan of a run, kept in its folder: a start of the same study on the same windows takes it from there.

``plan.parquet`` names every trial with its stages. Its metadata say what it was made from: the study, the windows and their card, the hyperparameters
that a search selected, the code that plans, the plugins, and the libraries that cluster people. If all of that is the same, so is the plan; a few
trials are planned again all the same, and the plan is made anew if one differs.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

import raylab
from raylab.hashing import hash_record
from raylab.plugins import entered
from raylab.runs.folder import RunFolder, identity_of
from raylab.runs.progress import Log
from raylab.trials.plan import SelectedHyperparameters, plan, with_stage_hashes
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex

PLANNING = ("hashing.py", "windows", "folds", "models", "techniques", "training", "trials")
LIBRARIES = ("numpy", "scikit-learn")
CHECKED = 16  # trials of a stored plan that are planned again, spread over it


@cache
def _code() -> str:
    """Digest of the source that plans."""
    root, digest = Path(raylab.__file__).parent, hashlib.blake2b(digest_size=10)
    for part in PLANNING:
        for path in sorted((root / part).rglob("*.py")) if (root / part).is_dir() else [root / part]:
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def plan_identity(study: Study, indexes: Mapping[str, WindowIndex], selected: SelectedHyperparameters | None) -> str:
    """Hash of everything that decides the plan."""
    settings = study.as_dict()
    del settings["resources"]["stage_store"]  # which stages are stored, and not which there are
    return hash_record(
        {
            "study": settings,
            "windows": {source: [index.fingerprint, index.card.model_dump(mode="json")] for source, index in indexes.items()},
            "selected": sorted([repr(fold), dict(candidate)] for fold, candidate in (selected or {}).items()),
            "code": _code(),
            "plugins": [plugin.record for plugin in entered()],
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


class _Stored:
    """The trials of a stored plan by their labels."""

    def __init__(self, table: pa.Table) -> None:
        columns = [table[name].to_pylist() for name in ("trial", "stages", "problem")]
        names = [name for name in table.column_names if name not in ("trial", "stages", "problem", "searched")]
        labels = zip(*(table[name].to_pylist() for name in names), strict=True)
        self.names, self.rows = names, dict(zip(labels, zip(*columns, strict=True), strict=True))

    def known(self, trial: Trial) -> Trial | None:
        """The trial with its stages; None if it is not there, or is not what its key says."""
        labels = trial.labels
        row = self.rows.get(tuple(labels[name] for name in self.names))
        planned = trial.planned(row[1], row[2]) if row else None
        return planned if row and planned and planned.key == row[0] else None


def planned_trials(
    study: Study,
    indexes: Mapping[str, WindowIndex],
    run: RunFolder,
    selected: SelectedHyperparameters | None,
    identity: str,
    log: Log,
) -> list[Trial]:
    """The trials of the study, from the run folder if it holds this very plan.

    Args:
        identity: ``plan_identity`` of the same.

    Raises:
        StudyError: as ``raylab.trials.plan.plan``.
    """
    table = run.stored_plan()
    if table is None or identity_of(table) != identity:
        return list(plan(study, indexes, selected))
    trials = list(plan(study, indexes, selected, _Stored(table).known))
    checked = trials[:: max(1, len(trials) // CHECKED)]
    wrong = [trial for trial in checked if with_stage_hashes(trial, indexes[trial.windows]) != trial]
    if not wrong:
        return trials
    log(f"the plan in {run.uri} is not that of this study ({len(wrong)} of {len(checked)} trials differ); it is made anew")
    return list(plan(study, indexes, selected))
