"""Execution of a study: Ray Data prepares windows, Ray Tune runs trials, or all of it runs in this process without Ray.

Outside this package only ``raylab.validity`` imports ray.
"""
