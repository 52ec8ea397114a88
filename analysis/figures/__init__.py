"""How do the numbers look? Named frames to matplotlib figures and their svg; nothing is read, nothing is written.

May import ``analysis.statistics``, ``analysis.scores`` and the modules of ``analysis`` itself.
"""
