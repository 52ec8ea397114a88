"""Numbers that several modules share."""

ALPHA = 0.05  # level of every test; intervals are 95%
INTERVAL_QUANTILES = (0.025, 0.975)  # ends of a two-sided 95% interval
RESAMPLES = 9999  # of a bootstrap
READERS = 16  # threads: object stores answer that many requests at once, and a local disk is not slower for it
SMALLEST_EFFECT = 0.02  # of interest, in the units of the metric, unless the study declares another
