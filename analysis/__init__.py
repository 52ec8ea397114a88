"""From a run folder to tables: reads files, imports neither ray nor torch nor raylab.

``load(run) -> RunTables``, ``score(frames) -> scores``, ``compare(scores, frames.primary_metric) -> comparison``; ``score_common`` for
what ranks variants against each other.
"""

from analysis.scores.run_folder import RunTables, load
from analysis.scores.scores import score, score_common
from analysis.statistics.comparison import compare

__all__ = ["RunTables", "compare", "load", "score", "score_common"]
