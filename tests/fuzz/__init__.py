"""Fuzzing of all that reads bytes off the wire: ``python -m tests.fuzz --minutes 5``."""
