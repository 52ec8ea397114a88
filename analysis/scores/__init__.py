"""How well did each trial predict? Run folders to tables, predictions to metrics and to scores per participant.

May import only the modules of ``analysis`` itself (arrays, constants, formatting).
"""
