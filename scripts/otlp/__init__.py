"""Metrics by the OpenTelemetry protocol: limits, credits and turns, sent to the collector that ``OTEL_*`` names.

`settings` reads these variables, `instruments` makes metrics of the database, `delivery` sends them, and `program` is
the loop of ``codex-tap otlp``. The packages of OpenTelemetry are an extra; `instruments` and `delivery` import them.
"""
