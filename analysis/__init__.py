"""From a run folder to tables: reads files, imports neither ray nor torch nor raylab.

``load(run) -> RunTables``, ``score(tables) -> scores``, ``variance_inflations(tables) -> inflations``,
``compare(scores, tables.primary_metric, inflations) -> comparison``; ``score_common`` for ranking variants against each other.

Packages in the order in which they may import each other: the modules of this folder, ``scores``, ``statistics``, ``figures``, ``report``,
``validation``; none imports one that comes after it.
"""

from analysis.scores.run_folder import RunTables, load
from analysis.scores.scores import score, score_common
from analysis.statistics.comparison import compare
from analysis.statistics.dependence import variance_inflations

__all__ = ["RunTables", "compare", "load", "score", "score_common", "variance_inflations"]
