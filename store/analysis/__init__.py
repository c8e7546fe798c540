"""Pure functions over rows and documents: limit status, events, attribution, forecast, ranking, alerts.

No SQL, no clock, no input or output: rows and timestamps are arguments.
"""
