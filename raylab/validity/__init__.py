"""Checks of raylab itself: simulated cohorts with a known truth, and probes that look for leaks in any dataset."""
