"""Errors about a run, or about a request to analyse it. Any other error that leaves ``analysis`` is a fault in it."""


class AnalysisError(ValueError):
    """A run folder or a request that cannot be analysed; the message names it and the remedy."""


class RunNotFoundError(FileNotFoundError, AnalysisError):
    """A folder that holds no run."""
