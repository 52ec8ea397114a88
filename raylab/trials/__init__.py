"""Trials: the study file, the plan (one record per trial), and the worker that runs one of them."""
