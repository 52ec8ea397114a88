"""How is a run told to a reader? Tables as text, Markdown and LaTeX, figures in files, and ``report.html``, written into the run folder.

May import every package of ``analysis`` but ``validation``.
"""
