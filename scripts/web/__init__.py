"""The web server: the page, the JSON API and the metrics, read from the database that the proxy writes.

It needs the extra ``codex-tap[web]``. The server and the proxy never wait for each other: each request opens the
database for reading, and closes it again.
"""
