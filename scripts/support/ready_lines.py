"""The lines with which sidecars report that they are ready; the launcher waits for them.

The lines of the proxy, which the addon prints, are in `store.settings`.
"""

from __future__ import annotations

SERVING = "codex-tap serving"
"""Printed on stdout by ``serve`` as soon as it accepts connections, followed by its URL."""

SHIPPING = "codex-tap shipping to"
"""Printed on stdout by ``ship --watch`` as soon as it watches, followed by the address of the team's database."""

EXPORTING = "codex-tap exporting"
"""Printed on stdout by ``otlp`` as soon as it runs, followed by the address of the collector."""

ALERTING = "codex-tap alerting"
"""Printed on stdout by ``alerts watch`` as soon as it watches, followed by the names of its targets."""
