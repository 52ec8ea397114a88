"""What planning costs: processor time and memory of a whole plan, each size in a process of its own."""

import resource
import time
from typing import Any

from benchmarks.scale.cohort import cohort_index
from raylab.trials.plan import plan
from raylab.trials.study import Study, parse_study

# The techniques of studies/paper.yaml: 20 variants.
PAPER: list[Any] = [
    "non_personalized",
    {"name": "fine_tuning", "layers": ["all", "last"], "budget": [0.2, 0.3, 0.4, 0.5], "unit": "window"},
    {"name": "hybrid", "budget": [0.2, 0.3, 0.4, 0.5], "unit": "window"},
    {"name": "cluster_specific", "k": [2, 3, 4, 5, "silhouette"]},
    {"name": "multi_task", "task": ["user", "cluster"]},
]
PLAIN = PAPER[:3]  # 13 variants, none of which clusters people


def planned_study(techniques: str, models: int, seeds: int, groups: int) -> Study:
    """A study of these techniques: ``paper``, or ``plain`` without those that cluster people."""
    encoders = [{"encoder": "fcn", "width": 1 / 2**k} for k in range(models)]
    content = {
        "name": "scale",
        "datasets": [{"windows": "cohort", "label": "stress"}],
        "models": encoders,
        "techniques": {"paper": PAPER, "plain": PLAIN}[techniques],
        "seeds": list(range(seeds)),
        **({"folds": {"group_k_fold": groups}} if groups else {}),
    }
    return parse_study(content, "scale")


def measure(people: int, windows: int, techniques: str, models: int, seeds: int, groups: int) -> dict[str, float]:
    """Plan once in this process: trials, processor seconds, and MiB that the plan added to the peak of memory."""
    study, index = planned_study(techniques, models, seeds, groups), cohort_index(people, windows)
    list(
        plan(study, {"cohort": cohort_index(5 + 2 * groups, windows)})
    )  # imports of scikit-learn and the like are no part of the law
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    trials = list(plan(study, {"cohort": index}))
    seconds = time.process_time() - began
    stages = len({stage for trial in trials for stage in trial.stages})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "people": people,
        "trials": len(trials),
        "stages": stages,
        "cpu_s": round(seconds, 2),
        "ms_a_trial": round(1000 * seconds / len(trials), 3),
        "added_mib": round((peak - before) / 1024, 1),
        "peak_mib": round(peak / 1024, 1),
    }
