"""Trials: the study file, the plan of records, and the worker that runs one of them."""
