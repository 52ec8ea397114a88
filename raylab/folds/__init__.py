"""Who is held out, and which windows train, validate, calibrate and test: from indices only."""
