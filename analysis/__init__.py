"""From a run folder to tables: reads files, imports neither ray nor torch nor raylab.

``load(run) -> Frames``, ``score(frames) -> scores``, ``compare(scores) -> comparison``.
"""

from analysis.compare import compare
from analysis.load import Frames, load
from analysis.scores import score

__all__ = ["Frames", "compare", "load", "score"]
