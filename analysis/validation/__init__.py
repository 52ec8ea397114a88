"""Can the statistics be trusted? Their error rates and power, counted on simulated scores of known truth.

May import every package of ``analysis``; none imports this one.
"""
