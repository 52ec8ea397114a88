"""Fuzzing of the readers: small valid inputs that the program makes itself are damaged at random, and each is read in another process.

``python -m benchmarks.fuzz READER --count N --seconds S --seed K``; ``make fuzz`` runs all readers. See docs/security.md.
"""
