"""The colours of the levels of windows (`store.analysis.levels`), shared by tables and status bars."""

COLOURS = {"low": "green", "medium": "yellow", "high": "red"}
"""The colour of each level."""
