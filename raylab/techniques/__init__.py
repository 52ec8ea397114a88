"""Techniques as lists of stages."""
