"""The parts of a report by subject: each computes a frame, writes files, fills a section of the page, or several of these.

May import every other module of ``analysis.report`` but ``registry``, ``page`` and ``write``, which put the parts together.
"""
