"""Does personalization help, whom, and how sure is that? Scores to comparisons, tests, rankings, fairness and confusion.

May import ``analysis.scores`` and the modules of ``analysis`` itself.
"""
