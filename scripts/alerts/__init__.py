"""Alerts: messages before a limit hits, configured in a file, and sent by a process independent of the proxy.

`store.analysis.alerting` decides which alerts are due. This package has the file (`settings`, `settings_schema`), one
evaluation of the database (`evaluate`), the state between evaluations (`state`), the polling process (`watcher`), the
queue of messages with retries (`outbox`), and sending itself (`targets`).
"""
