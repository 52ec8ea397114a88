"""Recordings to windows: preprocessing, cutting, labelling, and how windows are stored and read."""
