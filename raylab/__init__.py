"""raylab: which personalization of affect recognition works on new people.

The packages read as the method, and import only what stands before them:
recordings, windows, folds, models, techniques, training, trials, runs.
"""

__version__ = "0.1.0"
DISTRIBUTION = "raylab-affect"  # what pip installs; pyproject.toml has the same name, which a test compares
