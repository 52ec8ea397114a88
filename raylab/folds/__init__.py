"""Held-out participants, and the windows that train, validate, calibrate and test: from indices only."""
