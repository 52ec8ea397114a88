"""A trained model on a running stream: a product of its own next to the studies, with its threads, its page and its extra (``raylab-affect[live]``).

``core`` follows a stream: windows, decisions, events. ``sources`` bring the stream, ``dashboard`` shows it, ``cli`` puts the three together.
Two modules are the only doors to the studies: ``export`` makes a model file of a finished trial, ``calibrate`` trains a model on marked windows.

The *wearer* is the person whom a stream follows: who wears the sensors, or is heard and seen. The *target* is the participant whom the study
held out, as everywhere in raylab. The wearer can be the target, in a replay, but is usually another person.

Imports go one way: ``sources`` and ``dashboard`` import from ``core`` and not from each other; ``core`` imports from neither; ``calibrate`` and
``export`` import from ``core``; ``cli`` imports from all but ``export``. What each may import from the rest of raylab is a short list in
``tests/live/test_boundary.py``. Nothing else in raylab imports this package, except the command line.
"""
