"""From a run folder to tables: reads files, imports neither ray nor torch nor raylab.

``load(run) -> Frames``, ``score(frames) -> scores``, ``compare(scores, frames.primary_metric) -> comparison``; ``score_common`` for
what ranks variants against each other.
"""

from analysis.compare import compare
from analysis.load import Frames, load
from analysis.scores import score, score_common

__all__ = ["Frames", "compare", "load", "score", "score_common"]
