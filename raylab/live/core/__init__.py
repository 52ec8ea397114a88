"""The stream itself: alignment of samples, windows, the model's decisions, events.

Imports neither ``sources``, ``dashboard`` nor anything that trains: a source and a calibrator are handed to ``pipeline.Stream``. From the rest of
raylab it takes preprocessing, features, networks and the table of datasets, so that a stream gives the numbers of a study.
"""
