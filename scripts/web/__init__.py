"""The web server: the page, the JSON API and the metrics, read from the database that the proxy writes.

The server and the proxy never wait for each other: each request opens the database for reading, and closes it again.
"""
