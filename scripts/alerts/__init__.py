"""A word before a limit hits: what is to be told is in a file of the user's, and a process of its own tells it.

The proxy knows nothing of it. `store.analysis.alerting` says what is due; here are the file (`settings`), whom it is
told (`targets`), what is remembered between looks (`state`), and who looks and sends (`watcher`).
"""
